/** What became of one test. */
export interface TestCase {
  /** The file it stands in, as `deno test` names it. */
  readonly file: string;
  /** The test's name, then ` > ` and the name of each step. */
  readonly name: string;
  readonly state: "passed" | "failed" | "skipped";
}

/**
 * Reads the report that `deno test --junit-path` writes. A test whose steps are listed counts through them, so that
 * each row of a table is one case; it counts itself only when it failed and no step did.
 */
export function readJunit(xml: string): TestCase[] {
  const cases: TestCase[] = [];
  for (
    const [, file, body] of xml.matchAll(/<testsuite name="([^"]*)"[^>]*>([\s\S]*?)<\/testsuite>/g)
  ) {
    for (
      const [, name, inside] of body!.matchAll(
        /<testcase name="([^"]*)"[^>]*>([\s\S]*?)<\/testcase>/g,
      )
    ) {
      cases.push({ file: unescapeXml(file!), name: unescapeXml(name!), state: stateOf(inside!) });
    }
  }
  return cases.filter((one) => {
    const steps = cases.filter((other) =>
      other.file === one.file && other.name.startsWith(`${one.name} > `)
    );
    if (steps.length === 0) return true;
    return one.state === "failed" && !steps.some((step) => step.state === "failed");
  });
}

function stateOf(inside: string): TestCase["state"] {
  if (inside.includes("<skipped")) return "skipped";
  return /<(failure|error)\b/.test(inside) ? "failed" : "passed";
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&lt;": "<",
  "&gt;": ">",
  "&quot;": '"',
  "&apos;": "'",
  "&#39;": "'",
  "&amp;": "&",
};

function unescapeXml(text: string): string {
  return text.replace(/&(?:lt|gt|quot|apos|#39|amp);/g, (entity) => ENTITIES[entity] ?? entity);
}

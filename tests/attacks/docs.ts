/**
 * Writes the table of docs/security.md from the attack table.
 *
 *     deno run -A tests/attacks/docs.ts
 */
import { ATTACKS } from "./table.ts";

const PAGE = new URL("../../docs/security.md", import.meta.url);
const BEGIN = "<!-- attacks: written by tests/attacks/docs.ts -->\n";
const END = "<!-- end of attacks -->";

/** The attack table as Markdown, a section for each topic. */
function attackTables(): string {
  return [...new Set(ATTACKS.map(({ topic }) => topic))].map((topic) => {
    const rows = ATTACKS.filter((attack) => attack.topic === topic).map(({ name, reason, twin }) =>
      `| ${name} | \`${reason}\` | ${twin?.name ?? ""} |`
    );
    const outside = ATTACKS.some((attack) => attack.topic === topic && attack.from === "outside");
    return [
      `### ${topic}`,
      "",
      `| ${outside ? "somebody" : "a pod"} sends | drop reason | passes |`,
      "|---|---|---|",
      ...rows,
      "",
    ]
      .join("\n");
  }).join("\n");
}

/** @returns the page as it is, and as it should be. */
export function securityPage(): { readonly current: string; readonly wanted: string } {
  const current = Deno.readTextFileSync(PAGE);
  const [begin, end] = [current.indexOf(BEGIN), current.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error("docs/security.md has no place for the table");
  const wanted = current.slice(0, begin) + BEGIN + "\n" + attackTables() + current.slice(end);
  return { current, wanted };
}

if (import.meta.main) Deno.writeTextFileSync(PAGE, securityPage().wanted);

import assert from "node:assert/strict";
import { type LastGoodTexts, type ManifestSnapshot, ManifestStore } from "./manifest_store.ts";
import { SeededRandom } from "../../shared/testing/seeded_random.ts";
import { formatProblem } from "./objects/problem.ts";

function pod(name: string, label = "x"): string {
  return `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, labels: {l: ${label}}}\n`;
}

/** Pods in force as `name=label`, then held and missing files. */
function shown({ pods, held, missing }: ManifestSnapshot): string {
  const names = [...pods.values()].map(({ name, labels }) => `${name}=${labels.get("l")}`);
  return `${names.sort()} held:${held} missing:${missing}`;
}

function errorsOf({ errors }: ManifestSnapshot): string[] {
  return errors.map(formatProblem);
}

class MemoryTexts implements LastGoodTexts {
  readonly texts = new Map<string, string>();
  files(): Iterable<string> {
    return this.texts.keys();
  }
  get(file: string): string | undefined {
    return this.texts.get(file);
  }
  set(file: string, text: string): void {
    this.texts.set(file, text);
  }
  delete(file: string): void {
    this.texts.delete(file);
  }
}

Deno.test("a file that becomes invalid stays in force as it was; a deleted one goes", () => {
  const store = new ManifestStore();
  store.setFile("a.yaml", pod("a"));
  store.setFile("b.yaml", pod("b"));
  assert.equal(shown(store.snapshot()), "a=x,b=x held: missing:");
  store.setFile("a.yaml", pod("a", "w") + "---\nkind: Pod\n");
  assert.equal(shown(store.snapshot()), "a=x,b=x held:a.yaml missing:");
  assert.deepEqual(errorsOf(store.snapshot()), ["a.yaml:5 apiVersion: required"]);
  store.setUnreadable("b.yaml", "it is not UTF-8");
  assert.equal(shown(store.snapshot()), "a=x,b=x held:a.yaml,b.yaml missing:");
  store.removeFile("b.yaml");
  store.setFile("a.yaml", pod("a", "z"));
  assert.equal(shown(store.snapshot()), "a=z held: missing:");
  assert.deepEqual(errorsOf(store.snapshot()), []);
});

Deno.test("a file that was never valid is missing, its objects absent", () => {
  const store = new ManifestStore();
  store.setFile("a.yaml", pod("a") + "---\nkind: Pod\n");
  assert.equal(shown(store.snapshot()), " held: missing:a.yaml");
});

Deno.test("last valid texts outlive the process when they are kept", () => {
  const texts = new MemoryTexts();
  const first = new ManifestStore(texts);
  first.setFile("a.yaml", pod("a"));
  first.snapshot();
  first.setFile("a.yaml", "kind:");
  first.snapshot();
  const second = new ManifestStore(texts);
  second.setFile("a.yaml", "kind:");
  assert.equal(shown(second.snapshot()), "a=x held:a.yaml missing:");
  assert.deepEqual(second.files(), ["a.yaml"]);
  second.removeFile("a.yaml");
  assert.deepEqual([...texts.files()], []);
});

Deno.test("an object in two files is an error that names both; who has it keeps it", () => {
  const store = new ManifestStore();
  store.setFile("b.yaml", pod("p", "b"));
  store.snapshot();
  store.setFile("a.yaml", pod("p", "a") + "---\n" + pod("q"));
  assert.equal(shown(store.snapshot()), "p=b held: missing:a.yaml");
  assert.deepEqual(errorsOf(store.snapshot()), [
    'a.yaml:1 metadata.name "Pod default/p": the same object stands in b.yaml:1, which keeps it',
  ]);
  store.removeFile("b.yaml");
  assert.equal(shown(store.snapshot()), "p=a,q=x held: missing:");
  assert.deepEqual(errorsOf(store.snapshot()), []);
});

Deno.test("of files that come together with one object the first by name has it", () => {
  const store = new ManifestStore();
  for (const file of ["c.yaml", "a.yaml", "b.yaml"]) store.setFile(file, pod("p", file));
  assert.equal(shown(store.snapshot()), "p=a.yaml held: missing:b.yaml,c.yaml");
});

Deno.test("objects can move and swap between files in one step", () => {
  const store = new ManifestStore();
  store.setFile("a.yaml", pod("p", "a"));
  store.setFile("b.yaml", pod("q", "b"));
  store.snapshot();
  store.setFile("a.yaml", pod("q", "a"));
  store.setFile("b.yaml", pod("p", "b"));
  assert.equal(shown(store.snapshot()), "p=b,q=a held: missing:");
});

Deno.test("a file that falls back can push another one back", () => {
  const store = new ManifestStore();
  store.setFile("a.yaml", pod("p", "a"));
  store.setFile("b.yaml", pod("q", "b"));
  store.setFile("c.yaml", pod("r", "c"));
  store.snapshot();
  // a wants r, which c keeps, so a keeps p, which b therefore cannot have.
  store.setFile("a.yaml", pod("r", "a"));
  store.setFile("b.yaml", pod("p", "b2"));
  assert.equal(shown(store.snapshot()), "p=a,q=b,r=c held:a.yaml,b.yaml missing:");
});

Deno.test("what did not change stays the same reference", () => {
  const store = new ManifestStore();
  store.setFile("a.yaml", `${pod("p")}---\n${pod("q")}`);
  const before = store.snapshot();
  store.setFile("a.yaml", `${pod("p")}---\n${pod("q", "w")}`);
  const after = store.snapshot();
  assert.equal(before.pods.get("default/p"), after.pods.get("default/p"));
  assert.notEqual(before.pods.get("default/q"), after.pods.get("default/q"));
});

Deno.test("looking at what was noted alone comes to the same as deciding between all files", () => {
  const random = new SeededRandom(8);
  const [few, all] = [new ManifestStore(), new ManifestStore()];
  // Two files that contradict each other for ever: with them every file is looked at each time.
  for (const file of ["y.yaml", "z.yaml"]) all.setFile(file, pod("own"));
  const of = (store: ManifestStore) => {
    const snapshot = store.snapshot();
    const own = (texts: readonly string[]) => texts.filter((text) => !/^[yz]\.yaml/.test(text));
    const pods = [...snapshot.pods.values()].filter(({ name }) => name !== "own");
    return {
      pods: pods.map(({ name, labels, source }) => `${name} ${labels.get("l")} ${source.file}`)
        .sort(),
      errors: own(errorsOf(snapshot)),
      held: own(snapshot.held),
      missing: own(snapshot.missing),
    };
  };
  for (let round = 0; round < 600; round++) {
    for (let notes = random.below(3); notes >= 0; notes--) {
      const file = `${random.below(5)}.yaml`;
      const text = Array.from(
        { length: random.below(3) },
        () => pod(`p${random.below(6)}`, `l${random.below(2)}`),
      ).join("---\n");
      const kind = random.below(6);
      for (const store of [few, all]) {
        if (kind === 0) store.removeFile(file);
        else if (kind === 1) store.setUnreadable(file, "it is not UTF-8");
        else if (kind === 2) store.setFile(file, `${text}---\nkind: Pod\n`);
        else store.setFile(file, text);
      }
    }
    assert.deepEqual(of(few), of(all), `round ${round}`);
  }
});

Deno.test("kinds and objects that did not change are the same references", () => {
  const store = new ManifestStore();
  store.setFile("a.yaml", pod("a"));
  store.setFile("n.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n");
  const before = store.snapshot();
  store.setFile("b.yaml", pod("b"));
  const after = store.snapshot();
  assert.equal(after.namespaces, before.namespaces);
  assert.equal(after.pods.get("default/a"), before.pods.get("default/a"));
  assert.deepEqual([...before.pods.keys()], ["default/a"]);
  assert.equal(store.snapshot().pods, after.pods);
});

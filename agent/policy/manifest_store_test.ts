import assert from "node:assert/strict";
import { type LastGoodTexts, type ManifestSnapshot, ManifestStore } from "./manifest_store.ts";
import { formatProblem } from "./objects/problem.ts";
import { diffObjects, type PolicyObjects } from "./snapshot.ts";
import { SeededRandom } from "../../shared/testing/seeded_random.ts";

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

const FILES = ["a.yaml", "b.yaml", "c.yaml"];
const CONTENTS = ["p", "q", "r", "s"];

/** A random text of some pods, now and then an invalid one. */
function randomText(random: SeededRandom): string {
  if (random.chance(15)) return "kind: [";
  const names = CONTENTS.filter(() => random.chance(35));
  return names.map((name) => pod(name, random.pick(["x", "y"]))).join("---\n");
}

/** A snapshot without the two files that always contradict each other. */
function withoutRivals(snapshot: ManifestSnapshot): unknown[] {
  const isRival = (file: string) => file.startsWith("z");
  const { pods, errors, held, missing } = snapshot;
  return [
    [...pods.values()].filter(({ source }) => !isRival(source.file))
      .map((pod) => JSON.stringify([pod.name, pod.source, [...pod.labels]])).sort(),
    errors.filter(({ file }) => !isRival(file)).map(formatProblem).sort(),
    held.filter((file) => !isRival(file)),
    missing.filter((file) => !isRival(file)),
  ];
}

Deno.test("what changed alone gives what a look at everything gives", () => {
  let moved = 0;
  for (let seed = 0; seed < 80; seed++) {
    const random = new SeededRandom(seed);
    const [quick, whole] = [new ManifestStore(), new ManifestStore()];
    for (const rival of ["z1.yaml", "z2.yaml"]) whole.setFile(rival, pod("rival", rival));
    let before: PolicyObjects | undefined;
    for (let step = 0; step < 20; step++) {
      for (let change = random.below(3); change >= 0; change--) {
        const file = random.pick(FILES);
        const text = random.chance(20) ? undefined : randomText(random);
        for (const store of [quick, whole]) {
          if (text === undefined) store.removeFile(file);
          else store.setFile(file, text);
        }
      }
      const now = quick.snapshot();
      assert.deepEqual(withoutRivals(now), withoutRivals(whole.snapshot()), `${seed} ${step}`);
      // The difference that it knows is the one that a comparison finds.
      const { pods, namespaces, policies } = now;
      assert.deepEqual(
        sorted(diffObjects(before, now)),
        sorted(diffObjects(before && { ...before }, { pods, namespaces, policies })),
      );
      if (before !== undefined && now.lineage?.version !== before.lineage?.version) moved++;
      before = now;
    }
  }
  assert(moved > 300, `${moved}`);
});

function sorted({ pods }: ReturnType<typeof diffObjects>): string[][] {
  return [pods.upserted, pods.removed].map((list) =>
    list.map(({ name, source }) => `${name} ${source.file}:${source.line}`).sort()
  );
}

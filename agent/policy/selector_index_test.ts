import assert from "node:assert/strict";
import type { LabelRequirement, LabelSelector } from "./objects/types.ts";
import { anchorsOf, ANYWHERE, SelectorIndex } from "./selector_index.ts";

type Written = [key: string, operator: LabelRequirement["operator"], ...values: string[]];

function selector(...requirements: Written[]): LabelSelector {
  return {
    requirements: requirements.map(([key, operator, ...values]) => ({ key, operator, values })),
  };
}

const ANCHORS: [LabelSelector | undefined, string[] | undefined][] = [
  [undefined, undefined],
  [selector(), undefined],
  [selector(["app", "Exists"], ["tier", "NotIn", "a"]), undefined],
  [selector(["app", "In", "web"]), ["app=web"]],
  [selector(["app", "In", "web", "db"], ["tier", "In", "back"]), ["tier=back"]],
  [selector(["app", "In"]), []],
];
for (const [written, anchors] of ANCHORS) {
  Deno.test(`anchors of ${JSON.stringify(written?.requirements)}: ${anchors}`, () => {
    assert.deepEqual(anchorsOf(written), anchors);
  });
}

Deno.test("candidates are those of the scope with one of the labels, or with none", () => {
  const index = new SelectorIndex<string>();
  index.add("shop", selector(["app", "In", "web", "api"]), "web or api");
  index.add("shop", selector(["app", "Exists"]), "any app");
  index.add("office", selector(["app", "In", "web"]), "office");
  index.add(ANYWHERE, selector(["app", "In", "web"]), "anywhere");
  const candidates = (scope: string, app: string) =>
    [...index.candidates(scope, new Map([["tier", "x"], ["app", app]]))].sort();
  assert.deepEqual(candidates("shop", "web"), ["any app", "web or api"]);
  assert.deepEqual(candidates("shop", "db"), ["any app"]);
  assert.deepEqual(candidates("office", "web"), ["office"]);
  assert.deepEqual(candidates(ANYWHERE, "web"), ["anywhere"]);
  index.remove("shop", selector(["app", "In", "web", "api"]), "web or api");
  index.remove("shop", selector(["app", "Exists"]), "any app");
  assert.deepEqual(candidates("shop", "api"), []);
});

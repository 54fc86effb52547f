import assert from "node:assert/strict";
import { closure, readImportGraph, specifiers, withoutComments } from "./import_graph.ts";

const graph = readImportGraph();

/** The edges that a rule forbids, as `importer -> imported`. */
function edges(forbidden: (importer: string, imported: string) => boolean): string[] {
  return [...graph.imports].flatMap(([importer, imported]) =>
    [...imported].filter((path) => forbidden(importer, path)).map((path) =>
      `${importer} -> ${path}`
    )
  );
}

const isTest = (path: string) => path.endsWith("_test.ts") || path.startsWith("tests/");
const forTests = (path: string) => /(^|\/)testing(\/|\.ts$)/.test(path);
const inside = (path: string, ...folders: string[]) =>
  folders.some((folder) => path === folder || path.startsWith(`${folder}/`));
const isLocal = (path: string) => graph.imports.has(path);

const PROGRAMS = ["dataplane", "agent", "cni", "cli"];

Deno.test("dataplane, agent, cni and cli import shared and themselves only", () => {
  for (const program of PROGRAMS) {
    assert.deepEqual(
      edges((importer, imported) =>
        inside(importer, program) && isLocal(imported) && !inside(imported, program, "shared")
      ),
      [],
    );
  }
});

Deno.test("shared imports shared only", () => {
  assert.deepEqual(
    edges((importer, imported) =>
      inside(importer, "shared") && isLocal(imported) && !inside(imported, "shared")
    ),
    [],
  );
});

Deno.test("tests alone import what is there for tests", () => {
  assert.deepEqual(
    edges((importer, imported) =>
      forTests(imported) &&
      !(isTest(importer) || forTests(importer) || inside(importer, "bench", "demo", "tools/test"))
    ),
    [],
  );
});

// Outer to inner: a layer may import itself and what stands after it.
const DATAPLANE_LAYERS = [["server"], ["reconcile"], ["maps", "programs"]];

Deno.test("in dataplane, server imports reconcile, reconcile imports maps and programs, never back", () => {
  const layerOf = (path: string) =>
    DATAPLANE_LAYERS.findIndex((folders) =>
      inside(path, ...folders.map((folder) => `dataplane/${folder}`))
    );
  assert.deepEqual(
    edges((importer, imported) =>
      !isTest(importer) && layerOf(imported) >= 0 && layerOf(importer) > layerOf(imported)
    ),
    [],
  );
});

Deno.test("in dataplane, server and reconcile reach the kernel through maps and programs only", () => {
  assert.deepEqual(
    edges((importer, imported) =>
      !isTest(importer) && inside(importer, "dataplane/server", "dataplane/reconcile") &&
      inside(imported, "shared/ffi") && !/\/(errno|fd)\.ts$/.test(imported)
    ),
    [],
  );
});

Deno.test("cni loads nothing that uses FFI", () => {
  const needed = closure(graph, "cni/main.ts");
  assert(needed.size > 1, "cni/main.ts is not there");
  const found = [...needed].filter((path) =>
    inside(path, "shared/ffi", "shared/netlink", "shared/netns")
  );
  assert.deepEqual(found, []);
});

Deno.test("shared/ffi alone touches pointers", () => {
  const found = [...graph.code]
    .filter(([path]) => !inside(path, "shared/ffi", "tests/repo"))
    .filter(([, code]) => /\bDeno\s*\.\s*(Unsafe\w+|dlopen)\b/.test(code))
    .map(([path]) => path);
  assert.deepEqual(found, []);
});

/** Code that must give the same answer anywhere: codecs, allocators, the policy compiler, value types. */
const PURE = [
  "shared/btf",
  "shared/gen",
  "shared/net",
  ...["ack", "address", "attribute", "constants", "family_message", "link", "message"]
    .map((name) => `shared/netlink/${name}.ts`),
  ...["neighbour", "netlink_error", "qdisc", "route"].map((name) => `shared/netlink/${name}.ts`),
  "shared/ffi/errno.ts",
  "shared/rpc/errors.ts",
  "agent/identity",
  "agent/ipam",
  "agent/policy",
  "dataplane/policy",
];
/** Parts of those folders that do I/O. */
const NOT_PURE = ["agent/policy/folder", "agent/policy/mod.ts"];

Deno.test("pure code uses no Deno API and imports pure code only", () => {
  const pure = (path: string) =>
    !isTest(path) && !forTests(path) && inside(path, ...PURE) && !inside(path, ...NOT_PURE);
  const users = [...graph.code].filter(([path, code]) => pure(path) && /\bDeno\s*\./.test(code));
  assert.deepEqual(users.map(([path]) => path), []);
  assert.deepEqual(
    edges((importer, imported) =>
      pure(importer) && (isLocal(imported) ? !pure(imported) : !PURE_MODULES.has(imported))
    ),
    [],
  );
});

/** Modules from elsewhere that compute and do no I/O. */
const PURE_MODULES: ReadonlySet<string> = new Set([
  "@bufbuild/protobuf",
  "@bufbuild/protobuf/codegenv2",
  "@bufbuild/protobuf/wkt",
  "node:crypto",
  "yaml",
]);

Deno.test("the model of NetworkPolicy shares no code with the compiler: it imports nothing", () => {
  const model = "tests/policy/model.ts";
  assert(graph.imports.has(model), `${model} is not there`);
  assert.deepEqual(edges((importer) => importer === model), []);
});

Deno.test("specifiers finds every way to import", () => {
  const text = `
    import "a";
    import type { B } from "b";
    import c, { d as e, type F } from 'c';
    import * as g from "g";
    export * from "h";
    export { i } from "i";
    const j = await import("j");
    // import "k";
    /* import "l"; */
    const url = "https://m";
    import { n } from "n";`;
  assert.deepEqual(specifiers(withoutComments(text)), ["a", "b", "c", "g", "h", "i", "j", "n"]);
});

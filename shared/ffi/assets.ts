/** The files that are embedded in the executables. */

/** What can be embedded. */
export type AssetName = "libnovanet.so" | "datapath.bpf.o";

const BUILD_FOLDERS: Readonly<Record<AssetName, string>> = {
  "libnovanet.so": "native",
  "datapath.bpf.o": "bpf",
};

/** An asset that is neither embedded nor built. */
export class AssetMissingError extends Error {
  override readonly name = "AssetMissingError";

  /** @param asset the file's name; @param tried where it was looked for */
  constructor(readonly asset: AssetName, readonly tried: readonly string[]) {
    super(`${asset} is not there (looked at ${tried.join(" and ")}); run ./run build`);
  }
}

/**
 * Reads an asset: beside the bundle in a compiled executable, from `.build` when run from source.
 * @throws AssetMissingError when it is in neither place
 */
export function readAsset(name: AssetName): Uint8Array<ArrayBuffer> {
  const here = import.meta.dirname ?? "";
  const tried = [
    `${here}/assets/${name}`,
    `${here}/../../.build/${BUILD_FOLDERS[name]}/${name}`,
  ];
  for (const path of tried) {
    try {
      return Deno.readFileSync(path);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  throw new AssetMissingError(name, tried);
}

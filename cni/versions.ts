import { CniCode, CniError } from "./errors.ts";

/** The versions of the CNI specification that the plugin speaks, oldest first. */
export const SUPPORTED_VERSIONS = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;

/** One of {@link SUPPORTED_VERSIONS}. */
export type CniVersion = typeof SUPPORTED_VERSIONS[number];

/** Stands in errors whose configuration could not be read. */
export const NEWEST_VERSION: CniVersion = "1.1.0";

/** Semantic versions, of which runtimes leave out parts as they please. */
const VERSION = /^\d+(\.\d+){0,2}([-+][0-9A-Za-z.+-]+)?$/;

/**
 * @param text `cniVersion` of a network configuration.
 * @throws {CniError} code 6 when it is no version, 1 when it is none of ours.
 */
export function parseVersion(text: string): CniVersion {
  if (!VERSION.test(text)) {
    const why = `cniVersion ${JSON.stringify(text)} is not a version like 1.0.0`;
    throw new CniError(CniCode.DECODING_FAILURE, why);
  }
  const version = SUPPORTED_VERSIONS.find((supported) => supported === text);
  if (version !== undefined) return version;
  const why = `cniVersion ${text} is not supported`;
  throw new CniError(
    CniCode.INCOMPATIBLE_VERSION,
    why,
    `supported: ${SUPPORTED_VERSIONS.join(", ")}`,
  );
}

/** @returns whether `version` is `floor` or newer. */
export function isAtLeast(version: CniVersion, floor: CniVersion): boolean {
  return SUPPORTED_VERSIONS.indexOf(version) >= SUPPORTED_VERSIONS.indexOf(floor);
}

/** The answer to VERSION. `asked` is the version the runtime spoke, which the answer repeats. */
export function versionInfo(asked: string | undefined): {
  readonly cniVersion: string;
  readonly supportedVersions: readonly string[];
} {
  return { cniVersion: asked ?? NEWEST_VERSION, supportedVersions: SUPPORTED_VERSIONS };
}

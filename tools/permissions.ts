/** The executables in dist/. */
export type ExecutableName =
  | "novanet-dataplane"
  | "novanet-agent"
  | "novanet-cni"
  | "novanetctl";

/**
 * The Deno permissions of each executable, as flags of `deno compile`; what is not here is refused at run time.
 * tests/repo/permissions_test.ts removes each one and sees something fail.
 */
export const PERMISSIONS: Readonly<Record<ExecutableName, readonly string[]>> = {
  // Flags say where socket and pins are, so paths can't be narrowed here or below.
  "novanet-dataplane": [
    "--allow-ffi",
    "--allow-read",
    "--allow-sys=osRelease,systemMemoryInfo",
    "--allow-write",
  ],
  "novanet-agent": [
    "--allow-env=NOVANET_*,NOVAROUTE_*",
    "--allow-ffi",
    // metrics_address
    "--allow-net",
    "--allow-read",
    "--allow-sys=hostname,osRelease",
    "--allow-write",
    "--ignore-env",
  ],
  // `install --chain` asks the plugins it names for their versions.
  "novanet-cni": ["--allow-env=CNI_*", "--allow-read", "--allow-run", "--allow-write"],
  // NO_COLOR may always be read.
  "novanetctl": ["--allow-read", "--allow-write"],
};

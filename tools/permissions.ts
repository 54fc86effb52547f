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
  "novanet-dataplane": [
    "--allow-env",
    "--allow-ffi",
    "--allow-net",
    "--allow-read",
    "--allow-sys",
    "--allow-write",
  ],
  "novanet-agent": [
    "--allow-env",
    "--allow-ffi",
    "--allow-net",
    "--allow-read",
    "--allow-sys",
    "--allow-write",
  ],
  // The configuration says where socket, spool and log are, so paths can't be narrowed here.
  "novanet-cni": ["--allow-env=CNI_*", "--allow-read", "--allow-write"],
  "novanetctl": ["--allow-env", "--allow-net", "--allow-read", "--allow-write"],
};

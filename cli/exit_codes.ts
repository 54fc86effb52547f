/** Exit codes of novanetctl; docs/cli.md and `novanetctl --help` list them from here. */
export const ExitCode = {
  OK: 0,
  FAILURE: 1,
  USAGE: 2,
  UNREACHABLE: 3,
  NOT_FOUND: 4,
  PERMISSION: 5,
} as const;

/** One of {@link ExitCode}. */
export type ExitCode = typeof ExitCode[keyof typeof ExitCode];

/** What each code means, for people. */
export const EXIT_CODE_MEANINGS: Readonly<Record<ExitCode, string>> = {
  0: "it worked; also after Ctrl-C or when the reader of a pipe goes away",
  1: "it failed",
  2: "the command line is wrong",
  3: "the daemon can't be reached or does not answer in time",
  4: "what was asked for does not exist",
  5: "not permitted: the sockets serve root only",
};

/**
 * A configuration that cannot be used. The message names where the value came from, the key and the
 * value; nothing should match on its text.
 */
export class ConfigError extends Error {
  override readonly name = "ConfigError";

  /**
   * @param source where the value came from: a file's path, an environment variable or a flag
   * @param key dotted path of the key, `""` when the whole source is unusable
   * @param value the value as it was found
   * @param why what is wrong with it
   */
  constructor(
    readonly source: string,
    readonly key: string,
    readonly value: unknown,
    readonly why: string,
    options?: ErrorOptions,
  ) {
    super(
      key === ""
        ? `Cannot read the configuration from ${source}: ${why}`
        : `Cannot use ${key} = ${quote(value)} from ${source}: ${why}`,
      options,
    );
  }
}

function quote(value: unknown): string {
  return value === undefined ? "(nothing)" : JSON.stringify(value);
}

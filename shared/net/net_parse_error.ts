/** Options that every parser of shared/net takes. */
export interface ParseOptions {
  /** Where the text came from (a configuration key, an RPC field), for the message. */
  readonly field?: string | undefined;
}

/** Text, or bytes, that is not the value it should be. */
export class NetParseError extends Error {
  override readonly name = "NetParseError";
  /** gRPC INVALID_ARGUMENT; a plain number, because shared/net stands below shared/rpc. */
  readonly rpcCode = 3;
  /** The field that held the text, when the caller named one. */
  readonly field: string | undefined;
  /** The text as it was given. */
  readonly text: string;
  /** What is wrong with it. */
  readonly why: string;

  constructor(what: string, text: string, why: string, options: ParseOptions = {}) {
    const where = options.field === undefined ? "" : `${options.field}: `;
    super(`${where}Cannot parse ${what} ${JSON.stringify(text)}: ${why}`);
    this.field = options.field;
    this.text = text;
    this.why = why;
  }
}

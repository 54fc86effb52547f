/** Error codes of HTTP/2 (RFC 9113, section 7). */
export enum Http2Code {
  NO_ERROR = 0,
  PROTOCOL_ERROR = 1,
  INTERNAL_ERROR = 2,
  FLOW_CONTROL_ERROR = 3,
  SETTINGS_TIMEOUT = 4,
  STREAM_CLOSED = 5,
  FRAME_SIZE_ERROR = 6,
  REFUSED_STREAM = 7,
  CANCEL = 8,
  COMPRESSION_ERROR = 9,
  CONNECT_ERROR = 10,
  ENHANCE_YOUR_CALM = 11,
}

/** The peer broke the protocol in a way that ends the connection. */
export class Http2Error extends Error {
  override readonly name = "Http2Error";

  constructor(readonly code: Http2Code, message: string) {
    super(message);
  }
}

/** A stream that ended before both sides had finished it. */
export class StreamError extends Error {
  override readonly name = "StreamError";

  /** @param code the peer's reason, or undefined when the connection was lost */
  constructor(readonly code: Http2Code | undefined, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

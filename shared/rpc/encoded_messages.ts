/**
 * What a stream's handler may yield in place of an answer: many small messages, encoded and framed already, so that
 * they are written in one go and, with several readers, encoded once for all of them.
 */
export class EncodedMessages {
  /** @param bytes whole messages, each behind its gRPC header; they must not change any more */
  constructor(readonly bytes: Uint8Array) {}
}

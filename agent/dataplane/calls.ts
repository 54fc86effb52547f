import { DataplaneExt } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { DataplaneControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { POLICY_ENCODERS } from "../../shared/policies/encode.ts";
import { createRpcClient } from "../../shared/rpc/client.ts";

function connect(socketPath: string) {
  return {
    control: createRpcClient(DataplaneControl, { socketPath, encoders: POLICY_ENCODERS }),
    ext: createRpcClient(DataplaneExt, { socketPath }),
  };
}

/** The dataplane's two services on one connection. */
export type DataplaneCalls = ReturnType<typeof connect>;

/** Opens clients of the dataplane's services; nothing is sent yet. The caller closes them. */
export function openCalls(socketPath: string): DataplaneCalls {
  return connect(socketPath);
}

/** Closes both clients. */
export function closeCalls(calls: DataplaneCalls): void {
  calls.control.close();
  calls.ext.close();
}

/** grpc.health.v1.Health/Check by nothing but grpc-js: what our servers are compared with. Argument: path of the socket. */
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { HEALTH_CHECK } from "./health_check.ts";

const [path = ""] = Deno.args;
const server = new Server();
server.addService({ check: HEALTH_CHECK }, {
  check: (_call: unknown, callback: (error: null, answer: { status: number }) => void) =>
    callback(null, { status: 1 }),
});
server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
  console.log("ready");
});

import { processIo } from "./io.ts";
import { main } from "./run.ts";

const exitCode = await main(Deno.args, processIo());
// Without it a connection that is about to go idle would keep the process.
Deno.exit(exitCode);

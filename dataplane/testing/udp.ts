/** For tests: programs that run inside a pod's namespace, as arguments of `deno`. */

/** Sends datagrams to an address until it is killed. @param pauseMs 0: as fast as it can */
export function udpSender(ip: string, port: number, pauseMs: number): string[] {
  return [
    Deno.execPath(),
    "eval",
    `import { createSocket } from "node:dgram";
     const socket = createSocket("udp4");
     socket.on("error", () => {});
     const send = () => new Promise((done) => socket.send("x", ${port}, "${ip}", () => done()));
     for (;;) {
       await Promise.all(Array.from({ length: ${pauseMs === 0 ? 32 : 1} }, send));
       ${pauseMs === 0 ? "" : `await new Promise((done) => setTimeout(done, ${pauseMs}));`}
     }`,
  ];
}

/** Prints a line for each datagram that comes. Prints "ready" first. */
export function udpReceiver(port: number): string[] {
  return [
    Deno.execPath(),
    "eval",
    `import { createSocket } from "node:dgram";
     const socket = createSocket("udp4");
     socket.on("message", () => console.log("received"));
     socket.bind(${port}, () => console.log("ready"));`,
  ];
}

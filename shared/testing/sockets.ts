/** TCP, UDP and ICMP as a program inside a namespace of the lab would use them, without a process there. */
export * from "./sockets/address.ts";
export * from "./sockets/ping.ts";
export * from "./sockets/raw_ip.ts";
export * from "./sockets/tcp_client.ts";
export * from "./sockets/tcp_server.ts";
export * from "./sockets/udp_socket.ts";

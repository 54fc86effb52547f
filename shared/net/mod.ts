export * from "./cidr.ts";
export * from "./ip_protocol.ts";
export * from "./ipv4.ts";
export * from "./mac.ts";
export * from "./net_parse_error.ts";
export * from "./port_prefix.ts";

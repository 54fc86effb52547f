export * from "./config.ts";
export * from "./error.ts";
export * from "./fields.ts";
export * from "./flags.ts";
export * from "./load.ts";

export * from "./attachment.ts";
export * from "./database.ts";
export * from "./state_lock.ts";
export * from "./store.ts";

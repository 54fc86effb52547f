export * from "./assign.ts";
export * from "./identity_table.ts";
export * from "./label_set.ts";

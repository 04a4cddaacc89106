export * from "./bytes.ts";
export * from "./errors.ts";
export * from "./invariant.ts";
export * from "./limits.ts";
export * from "./near.ts";
export * from "./seen.ts";
export * from "./shard-of.ts";
export * from "./units.ts";

export * from "./engine.ts";
export * from "./record.ts";
export * from "./codec.ts";
export * from "./chain.ts";
export * from "./key-check.ts";

export * from "./store.ts";
export * from "./store-memory.ts";

export * from "./collect.ts";
export * from "./sqlite/index.ts";
export { type EngineOptions, openEngine } from "./open.ts";

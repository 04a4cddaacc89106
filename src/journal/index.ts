export * from "./engine.ts";
export * from "./record.ts";

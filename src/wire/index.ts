export * from "./pack.ts";
export * from "./frame.ts";
export * from "./frame-writer.ts";

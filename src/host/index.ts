export * from "./host.ts";
export * from "./deadlines.ts";

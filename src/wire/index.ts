export * from "./pack.ts";
export * from "./pack-read.ts";

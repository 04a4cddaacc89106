export * from "./call.ts";

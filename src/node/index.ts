export * from "./node.ts";
export { startNode } from "./start.ts";

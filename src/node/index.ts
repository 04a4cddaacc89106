export { identify, type IdentifyOptions } from "./identity.ts";
export * from "./node.ts";
export { startNode } from "./start.ts";

export type { Read, ReadReply } from "./readers.ts";
export type { Stuck } from "./subscriptions.ts";
export { Topics } from "./topics.ts";

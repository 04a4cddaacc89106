export type { Read, ReadReply } from "./readers.ts";
export { eventId, type Stuck } from "./subscriptions.ts";
export { Topics } from "./topics.ts";

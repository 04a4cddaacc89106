export { beatsPerLease, type JoinReply } from "./consumers.ts";
export type { PlaceReply } from "./places.ts";
export type { Read, ReadReply } from "./readers.ts";
export type { Stuck } from "./subscriptions.ts";
export { Topics } from "./topics.ts";

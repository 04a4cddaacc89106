export { type Agenda, type Outgoing, refOf, type Task, timerId, timerName } from "./agenda.ts";
export { type Fold, type Hot, type Value } from "./fold.ts";
export { within } from "./pause.ts";
export type { Settle } from "./notes.ts";
export { commitBytes, messageBytes } from "./bytes.ts";
export type { Shard } from "./shard.ts";
export * from "./shards.ts";
export * from "./store.ts";
export * from "./store-memory.ts";

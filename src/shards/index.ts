export { type Outgoing, type Task, timerId } from "./agenda.ts";
export { type Fold, type Hot, type Value } from "./fold.ts";
export { within } from "./pause.ts";
export { commitBytes, messageBytes, type Settle, type Shard } from "./shard.ts";
export * from "./shards.ts";
export * from "./store.ts";
export * from "./store-memory.ts";

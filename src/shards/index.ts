export { type Fold, type Hot, type Value } from "./fold.ts";
export { within } from "./pause.ts";
export { commitBytes, type Settle, type Shard } from "./shard.ts";
export * from "./shards.ts";
export * from "./store.ts";
export * from "./store-memory.ts";

// What a node counts of shards that change hands.

import type { Counter, Meter } from "../host/index.ts";

export type MoveCounters = {
  readonly claimed: Counter;
  readonly moved: Counter;
  readonly failed: Counter;
};

export function moveCounters(meter: Meter): MoveCounters {
  const moves = (result: string): Counter =>
    meter.counter("sheaf_shard_moves_total", "Hand-overs of shards to another node, begun here.", { result });
  return {
    claimed: meter.counter("sheaf_shard_claims_total", "Times this node became a shard's owner."),
    moved: moves("done"),
    failed: moves("failed"),
  };
}

// What a record says that its writers had seen.

import assert from "node:assert/strict";
import { test } from "node:test";
import { checkLimits, type Seen } from "../base/index.ts";
import type { Commit, Decoded, Payload } from "../journal/index.ts";
import { simHost } from "../sim/sim-host.ts";
import { type Ground, Shard } from "./shard.ts";

const generation = 40;
const limits = checkLimits();

/** An owner of shard 0, whose journal an operator has raised to generation 40. */
function owner(): { shard: Shard; journaled: () => Payload | undefined } {
  let journaled: Payload | undefined;
  const encode = ({ payload }: Pick<Decoded, "payload">): { bytes: Uint8Array; hash: Uint8Array } => {
    journaled = payload;
    return { bytes: new Uint8Array(1), hash: new Uint8Array(32) };
  };
  const ready = (): void => {};
  const shard = new Shard(0, { host: simHost({}), limits, cluster: "", codec: { encode }, ready } as unknown as Ground);
  const header = { cluster: "", shard: 0, generation, epoch: 1, seq: 1, prev: new Uint8Array(32), at: 0 };
  const payload: Payload = { kind: "generation", was: 1, why: "restored" };
  shard.fold.apply({ header, payload, hash: new Uint8Array(32) });
  shard.tenure = { kind: "serving", epoch: 1 };
  return { shard, journaled: () => journaled };
}

/** What is journaled as causes of commands that had seen these. */
function causesOf(...seen: readonly Seen[]): Seen | undefined {
  const { shard, journaled } = owner();
  for (const [i, causes] of seen.entries()) {
    const state = new Uint8Array(1);
    const value = { version: i + 1, schema: 1, state };
    const named = { type: "t", key: "k", command: "c", principal: "p", events: [], op: undefined };
    const commit: Commit = { ...named, ...value };
    shard.commit(shard.fold.warm("t", "k", undefined), value, commit, () => {}, causes);
  }
  shard.take();
  const payload = journaled();
  assert.ok(payload?.kind === "batch");
  return payload.causes;
}

test("causes: of what writers saw before an operator accepted loss nothing is journaled, for it may be lost", () => {
  assert.equal(causesOf([3, 1, 110]), undefined, "else whoever reads this shard were told of the loss for ever");
  assert.deepEqual(causesOf([3, 1, 110], [3, generation, 5], [2, 1, 9, 4, generation, 7]), [
    3,
    generation,
    5,
    4,
    generation,
    7,
  ]);
});

test("causes: of a shard they name one place, as every reader of records expects", () => {
  assert.deepEqual(causesOf([3, generation, 110, 3, 90, 5]), [3, 90, 5]);
});

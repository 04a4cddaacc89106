// What a session learns from an answer.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Call } from "../rpc/index.ts";
import type { Shard, Shards } from "../shards/index.ts";
import { simHost } from "../sim/sim-host.ts";
import { inSession, openSessions } from "./session.ts";

const host = simHost({});
const cluster = { id: "c", name: "tests", shards: 1, createdAt: 0 } as never;
const tokens = openSessions(host, cluster, new Uint8Array(32));
const call: Call = {
  target: { kind: "query", entity: "counter", key: "k", name: "get" },
  input: undefined,
  principal: { id: "t", roles: [] },
  deadline: 1000,
  session: "",
};

test("session: an answer counts as seen although its shard was opened anew before it was told", async () => {
  const shard = { number: 0, fold: { generation: 1, seq: 100 }, tenure: { kind: "following" } };
  const shards = { of: () => shard as unknown as Shard } as unknown as Shards;
  const reply = await inSession(call, tokens, shards, host.clock, async () => {
    shard.fold.seq = 110; // applied before the handler looked
    shard.fold = { generation: 1, seq: 40 }; // opened anew while it waited for another entity
    return { output: 1 };
  });
  assert.deepEqual(tokens.read(reply.session!).get(0), { generation: 1, seq: 110 });
});

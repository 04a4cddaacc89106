// What a session learns from an answer.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Seen, SheafError } from "../base/index.ts";
import type { Call, Reply } from "../rpc/index.ts";
import type { Shard, Shards } from "../shards/index.ts";
import { simHost } from "../sim/sim-host.ts";
import { inSession, openSecrets } from "./session.ts";

const host = simHost({});
const cluster = { id: "c", name: "tests", shards: 1, createdAt: 0 } as never;
const tokens = openSecrets(host, cluster, new Uint8Array(32)).tokens;
const call: Call = {
  target: { kind: "query", entity: "counter", key: "k", name: "get" },
  input: undefined,
  principal: { id: "t", roles: [] },
  deadline: 1000,
  session: "",
};

const fold = (seq: number, causes: Seen = []): { seen: Seen } => ({ seen: [0, 1, seq, ...causes] });

/** A session that begins with a call that is carried out so at a shard whose fold is this. */
function asked(shard: { fold: { seen: Seen } }, carry: () => Promise<Reply>): Promise<Reply> {
  const there = { number: 0, tenure: { kind: "following" }, ground: { host } };
  const shards = { of: () => Object.assign(shard, there) as unknown as Shard } as unknown as Shards;
  return inSession(call, tokens, shards, host.clock, () => "causal", carry);
}

test("session: an answer counts as seen although its shard was opened anew before it was told", async () => {
  const shard = { fold: fold(100) };
  const reply = await asked(shard, async () => {
    shard.fold.seen = fold(110).seen; // applied before the handler looked
    shard.fold = fold(40); // opened anew while it waited for another entity
    return { output: 1 };
  });
  assert.deepEqual(tokens.read(reply.session!), [0, 1, 110]);
});

test("session: an answer tells what the writers of all that it may rest on had seen elsewhere", async () => {
  const { session } = await asked({ fold: fold(7, [3, 1, 9]) }, async () => ({
    output: 1,
    session: tokens.make([2, 1, 5]),
  }));
  assert.deepEqual(tokens.read(session!), [0, 1, 7, 2, 1, 5, 3, 1, 9]);
});

test("session: a refusal that shows something of the state tells it too, one that shows nothing is left as it is", async () => {
  const refused = async (error: SheafError): Promise<SheafError> => {
    const answer = asked({ fold: fold(7, [3, 1, 9]) }, () => Promise.reject(error));
    return answer.then(
      () => assert.fail("answered"),
      (thrown: unknown) => thrown as SheafError,
    );
  };
  const shown = new SheafError("DECLARED", "no", { name: "SHORT", data: { by: 3 }, hint: "h" });
  const told = await refused(shown);
  assert.deepEqual(tokens.read(told.session!), [0, 1, 7, 3, 1, 9]);
  const { code, message, error, data, hint, outcome, retry } = told;
  assert.deepEqual(
    { code, message, error, data, hint, outcome, retry },
    {
      code: "DECLARED",
      message: "no",
      error: "SHORT",
      data: { by: 3 },
      hint: "h",
      outcome: "not-applied",
      retry: "never",
    },
  );
  assert.equal(shown.session, undefined, "others may be told the same error");
  const busy = new SheafError("OVERLOADED");
  assert.equal(await refused(busy), busy);
  const late = await refused(new SheafError("DEADLINE", undefined, { session: tokens.make([2, 1, 5]) }));
  assert.deepEqual(tokens.read(late.session!), [0, 1, 7, 2, 1, 5, 3, 1, 9]);
});

import assert from "node:assert/strict";
import type { Append, AppendResult, Cluster, Engine, Entry } from "../../journal/index.ts";
import { postgresEngine } from "./engine.ts";
import { serverOfThisFile, serverTest as test } from "./server.fixture.ts";

// Plans that take rows in the order of the batch: only the statement's own order keeps it from deadlocks.
const plans = { enable_hashjoin: "off", enable_mergejoin: "off", enable_seqscan: "off" };
const server = serverOfThisFile({ deadlock_timeout: "100ms", ...plans });
const cluster: Cluster = { id: "0f".repeat(16), name: "bank", shards: 64, createdAt: 1 };
let schemas = 0;

const next = (shard: number, epoch: number, expected: number, record = Uint8Array.of(epoch)): Append => ({
  shard,
  generation: 1,
  epoch,
  expected,
  record,
});
const kindsOf = (results: readonly AppendResult[]): readonly string[] => results.map(({ kind }) => kind);

/** Engines as of several processes on one new cluster. */
async function nodes(count: number): Promise<{ engines: readonly Engine[]; schema: string; close(): Promise<void> }> {
  const { url } = await server();
  const schema = `fencing_${++schemas}`;
  const engines = await Promise.all(Array.from({ length: count }, () => postgresEngine({ url: url(), schema })));
  await engines[0]!.create(cluster);
  return { engines, schema, close: async () => void (await Promise.all(engines.map((engine) => engine.close()))) };
}

async function history(engine: Engine, shard: number): Promise<readonly Entry[]> {
  const all: Entry[] = [];
  for (;;) {
    const { entries, head } = await engine.read(shard, all.length + 1, 1000);
    all.push(...entries);
    if (all.length >= head.seq) return all;
  }
}

test("fence: of a stale owner's pipelined appends none lands behind a claim, though sequences fit (fact 1, P2)", async () => {
  const { engines, close } = await nodes(2);
  const [stale, owner] = engines as [Engine, Engine];
  let seq = 0;
  for (let round = 0; round < 50; round++) {
    const epoch = 2 * round + 1;
    assert.deepEqual(kindsOf(await stale.append([next(1, epoch, seq)])), ["durable"]);
    assert.deepEqual(kindsOf(await owner.append([next(1, epoch + 1, seq + 1)])), ["durable"]);
    const late = [seq + 1, seq + 2, seq + 3].map((expected) => stale.append([next(1, epoch, expected)]));
    assert.deepEqual((await Promise.all(late)).flatMap(kindsOf), ["fenced", "fenced", "fenced"]);
    seq += 2;
  }
  await close();
});

test("fence: whatever a claim overtakes, epochs never fall in a journal, and what was answered durable is there", async () => {
  const { engines, close } = await nodes(3);
  const [stale, owner, reader] = engines as [Engine, Engine, Engine];
  for (let round = 0; round < 100; round++) {
    const shard = round % 64;
    const { seq: at, epoch: was } = (await reader.barrier([shard]))[0]!;
    const mine = [0, 1, 2].map((n) => next(shard, was + 1, at + n));
    const claims = [0, 1, 2, 3].map((n) => next(shard, was + 2, at + n));
    const asked = round % 2 === 0 ? [...mine, ...claims] : [...claims, ...mine];
    const answers = await Promise.all(
      asked.map(async (one) => [one, await (one.epoch === was + 1 ? stale : owner).append([one])] as const),
    );
    const entries = await history(reader, shard);
    for (const [i, entry] of entries.entries()) {
      assert.equal(entry.seq, i + 1);
      assert.ok(i === 0 || entry.epoch >= entries[i - 1]!.epoch, `epoch fell at ${entry.seq} of shard ${shard}`);
    }
    for (const [one, [result]] of answers) {
      const stored = entries[one.expected]?.epoch === one.epoch && one.expected >= at;
      assert.equal(result?.kind, stored ? "durable" : "fenced");
    }
  }
  await close();
});

test("fence: an append that had to wait for another writer judges the head as that one left it", async () => {
  const { engines, schema, close } = await nodes(2);
  const [engine, other] = engines as [Engine, Engine];
  const { sql, url } = await server();
  const { Client } = (await import("pg")).default;
  const moves: [string, string, readonly string[]][] = [
    ["seq = seq + 1", "COMMIT", ["durable", "fenced", "durable"]],
    ["seq = seq + 1", "ROLLBACK", ["durable", "durable", "durable"]],
    ["epoch = epoch + 1", "COMMIT", ["durable", "fenced", "durable"]],
    ["generation = generation + 1", "COMMIT", ["durable", "fenced", "durable"]],
    ["first = first", "COMMIT", ["durable", "durable", "durable"]],
  ];
  for (const [i, [set, end, expected]] of moves.entries()) {
    const shards = [3 * i, 3 * i + 1, 3 * i + 2];
    assert.deepEqual(kindsOf(await engine.append(shards.map((shard) => next(shard, 1, 0)))), Array(3).fill("durable"));
    const writer = new Client({ connectionString: url() });
    await writer.connect();
    await writer.query(`BEGIN; UPDATE ${schema}.head SET ${set} WHERE shard = ${shards[1]}`);
    const waiting = engine.append(shards.map((shard) => next(shard, 1, 1)));
    const isStuck = `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FOR NO KEY UPDATE%'`;
    for (let looks = 0; (await sql(isStuck)).length === 0; looks++) assert.ok(looks < 500, "the append does not wait");
    assert.deepEqual(kindsOf(await other.append([next(shards[2]!, 1, 0)])), ["fenced"], "the last shard is not locked");
    await writer.query(end);
    await writer.end();
    assert.deepEqual(kindsOf(await waiting), expected, `${set}, ${end}`);
  }
  await close();
});

test("fence: batches of many nodes over the same shards, in any order, deadlock never and have one winner each", async () => {
  const { engines, close } = await nodes(3);
  const shards = Array.from({ length: 32 }, (_, shard) => shard);
  for (let round = 0; round < 60; round++) {
    const orders = [shards, shards.toReversed(), shards.toSorted((a, b) => (a % 7) - (b % 7) || b - a)];
    const answers = await Promise.all(
      engines.map(async (engine, who) => {
        const batch = orders[who]!.map((shard) => next(shard, 1, round, Uint8Array.of(who)));
        const results = await engine.append(batch);
        return new Map(batch.map(({ shard }, i) => [shard, results[i]!.kind]));
      }),
    );
    for (const shard of shards) {
      const kinds = answers.map((answer): string => answer.get(shard) ?? "none");
      assert.deepEqual(
        kinds.toSorted((a, b) => a.localeCompare(b)),
        ["durable", "fenced", "fenced"],
        `shard ${shard}, round ${round}`,
      );
    }
  }
  for (const shard of shards) assert.equal((await history(engines[0]!, shard)).length, 60);
  await close();
});

test("fence: a trim of the same shard never fences an append", async () => {
  const { engines, close } = await nodes(2);
  const [owner, trimmer] = engines as [Engine, Engine];
  let seq = 0;
  let trimming = true;
  const trims = (async () => {
    while (trimming) await trimmer.trim(5, Math.max(0, seq - 3));
  })();
  for (; seq < 400; seq++) assert.deepEqual(kindsOf(await owner.append([next(5, 1, seq)])), ["durable"]);
  trimming = false;
  await trims;
  await trimmer.trim(5, seq);
  const page = await owner.read(5, 1, 1000);
  assert.deepEqual([page.first, page.entries.length, page.head.seq], [400, 1, 400]);
  await close();
});

// Appends of the PostgreSQL engine against the least that a server can do: a plain INSERT of the same rows by unnest, on the
// same connection, in turns in the same run, so that a noisy machine is noisy for both. Then two connections at once, one
// record alone, a barrier, and what a tail costs. `node engine.bench.ts` prints one JSON object per line; POSTGRES_URL names
// a server, else one is started.

import { defaultLimits } from "../../base/index.ts";
import type { Append, Head } from "../../journal/index.ts";
import { addressOf } from "./address.ts";
import { appender } from "./appender.ts";
import { byteaArray, int4Array, int8Array } from "./arrays.ts";
import { postgresEngine } from "./engine.ts";
import { identityOf } from "./identity.ts";
import { openLane } from "./lane.ts";
import { dial } from "./link.ts";
import { type Server, startServer } from "./server.fixture.ts";
import { identifyCluster } from "./tables.ts";

const turnMs = 700;
const turns = 5;
const schema = "bench";

type Turn = { readonly spans: readonly number[]; readonly seconds: number };
type Contender = { readonly name: string; readonly records: number; readonly commit: () => Promise<unknown> };

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
const round = (value: number): number => Number(value.toFixed(3));

async function run(commit: Contender["commit"]): Promise<Turn> {
  const spans: number[] = [];
  const from = performance.now();
  while (performance.now() - from < turnMs) {
    const began = performance.now();
    await commit();
    spans.push(performance.now() - began);
  }
  return { spans: spans.sort((a, b) => a - b), seconds: (performance.now() - from) / 1000 };
}

/** Runs them in turns; `ratio` is to the first, turn by turn. */
async function inTurns(...contenders: readonly Contender[]): Promise<void> {
  for (const { commit } of contenders) await run(commit);
  const found = contenders.map((): Turn[] => []);
  for (let n = 0; n < turns; n++) for (const [i, { commit }] of contenders.entries()) found[i]!.push(await run(commit));
  const rate = ({ spans, seconds }: Turn): number => spans.length / seconds;
  for (const [i, { name, records }] of contenders.entries()) {
    const at = (share: number): number =>
      round(median(found[i]!.map(({ spans }) => spans[Math.floor((spans.length - 1) * share)] ?? 0)));
    const ratios = found[i]!.map((turn, n) => (rate(turn) * records) / (rate(found[0]![n]!) * contenders[0]!.records));
    console.log(
      JSON.stringify({
        name,
        opsPerSec: Math.round(median(found[i]!.map(rate)) * records),
        commitsPerSec: Math.round(median(found[i]!.map(rate))),
        p50Ms: at(0.5),
        p99Ms: at(0.99),
        ratio: round(median(ratios)),
      }),
    );
  }
}

/** Appends one record to each of the shards, again and again. */
function appends(append: ReturnType<typeof appender>, found: readonly Head[], bytes: number): Contender["commit"] {
  const heads = found.map((head) => ({ ...head }));
  const record = new Uint8Array(bytes).fill(7);
  return async () => {
    const batch = heads.map(({ shard, generation, epoch, seq }): Append => ({
      shard,
      generation,
      epoch,
      expected: seq,
      record,
    }));
    const results = await append(batch);
    if (results.some(({ kind }) => kind !== "durable")) throw new Error(JSON.stringify(results));
    for (const head of heads) head.seq++;
  };
}

async function bench(url: string): Promise<void> {
  const address = addressOf(url, schema);
  const engine = await postgresEngine({ url, schema });
  await engine.create({ id: "0f".repeat(16), name: "bench", shards: 192, createdAt: 1 });
  const lane = openLane((ms) => dial(address, ms), 5000);
  const identity = identityOf(() => identifyCluster(lane.ask, schema, 5000), schema);
  const { maxRecordBytes } = defaultLimits;
  const ours = appender({ lanes: [lane], identity, maxRecordBytes, announcer: { sent: () => true, stored() {} } });
  const shards = (from: number): number[] => Array.from({ length: 64 }, (_, i) => from + i);

  await lane.ask("CREATE TABLE raw (shard int, seq bigint, record bytea, PRIMARY KEY (shard, seq))", []);
  let seq = 0;
  const records = Array.from({ length: 64 }, () => new Uint8Array(200).fill(7));
  const insert = "INSERT INTO raw SELECT * FROM unnest($1::int4[], $2::int8[], $3::bytea[])";
  const raw = (name: string, values: () => (Buffer | string)[]): Contender => ({
    name,
    records: 64,
    commit: () => lane.ask({ name, text: insert }, values()),
  });
  const hex = `{${records.map((record) => `"\\\\x${Buffer.from(record).toString("hex")}"`).join(",")}}`;
  await inTurns(
    raw("raw INSERT by unnest, 64 rows of 200 B", () => {
      const at = ++seq;
      return [
        `{${shards(0).join(",")}}`,
        `{${shards(0)
          .map(() => at)
          .join(",")}}`,
        hex,
      ]; // As pg writes them.
    }),
    raw("raw INSERT by unnest, arrays in binary", () => {
      const at = ++seq;
      return [int4Array(shards(0)), int8Array(shards(0).map(() => at)), byteaArray(records)];
    }),
    {
      name: "engine, 64 shards of 200 B, same connection",
      records: 64,
      commit: appends(ours, await engine.barrier(shards(0)), 200),
    },
  );
  const two = [shards(64), shards(128)].map(async (mine) => appends(engine.append, await engine.barrier(mine), 200));
  const [left, right] = (await Promise.all(two)) as [Contender["commit"], Contender["commit"]];
  await inTurns({ name: "engine, 2 × 64 shards at once", records: 128, commit: () => Promise.all([left(), right()]) });
  await inTurns({
    name: "engine, 1 shard of 200 B",
    records: 1,
    commit: appends(ours, await engine.barrier([0]), 200),
  });
  await inTurns({ name: "barrier of 64 shards", records: 1, commit: () => engine.barrier(shards(0)) });
  const heads = await engine.barrier(shards(0));
  const idle = heads.map((head) => ({ shard: head.shard, from: head.seq + 1 }));
  const near = heads.map((head) => ({ shard: head.shard, from: head.seq }));
  await inTurns({ name: "tail of 64 shards without news", records: 1, commit: () => engine.tail(idle, 100) });
  await inTurns({ name: "tail of 64 shards with one record each", records: 64, commit: () => engine.tail(near, 100) });
  console.log(JSON.stringify({ name: "engine", ...(await engine.describe()), server: undefined }));
  await lane.close();
  await engine.close();
}

const given = process.env["POSTGRES_URL"];
const server: Server | undefined = given === undefined ? await startServer() : undefined;
try {
  await bench(given ?? (server as Server).url());
} finally {
  await server?.destroy();
}

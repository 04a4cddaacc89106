// Appends of the NATS engine against the least that its servers can do: the same bytes published to as many subjects of as
// many streams, each expecting its subject's last position, over one connection, in turns in the same run. Then barriers,
// looks and tails. Three servers on this machine sync each write. `node engine.bench.ts` prints one JSON object per line.

import type { Engine } from "../../journal/index.ts";
import { natsEngine } from "./engine.ts";
import { sample } from "./journals.fixture.ts";
import { natsBed, natsCluster } from "./nats-cluster.fixture.ts";
import { type RawStreams, rawStreams } from "./raw-streams.fixture.ts";

const turnMs = 1500;
const turns = 5;
const streams = 4;

type Act = () => Promise<unknown>;
type Turn = { readonly spans: readonly number[]; readonly seconds: number; readonly cpuUs: number };

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
const round = (value: number): number => Number(value.toFixed(3));

async function run(act: Act, ms = turnMs): Promise<Turn> {
  const spans: number[] = [];
  const cpu = process.cpuUsage();
  const from = performance.now();
  while (performance.now() - from < ms) {
    const began = performance.now();
    await act();
    spans.push(performance.now() - began);
  }
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (performance.now() - from) / 1000;
  return { spans: spans.sort((a, b) => a - b), seconds, cpuUs: (user + system) / spans.length };
}

function report(name: string, each: number, mine: readonly Turn[], limits?: readonly Turn[]): void {
  const rate = ({ spans, seconds }: Turn): number => spans.length / seconds;
  const at = (share: number): number =>
    round(median(mine.map(({ spans }) => spans[Math.min(spans.length - 1, Math.floor(spans.length * share))] ?? 0)));
  const ratio = limits && round(median(mine.map((turn, i) => rate(turn) / rate(limits[i] as Turn))));
  const cpuUsEach = Math.round(median(mine.map(({ cpuUs }) => cpuUs)) / each);
  const perSec = Math.round(median(mine.map(rate)) * each);
  console.log(JSON.stringify({ name, perSec, p50Ms: at(0.5), p99Ms: at(0.99), cpuUsEach, ratioToLimit: ratio }));
}

/** Appends one record to each of the shards in one call, as a node's commit loop does. */
async function appends(engine: Engine, shards: readonly number[], size: number): Promise<Act> {
  const heads = (await engine.barrier(shards)).map((head) => ({ ...head }));
  const record = new Uint8Array(size).fill(7);
  return async () => {
    const results = await engine.append(
      heads.map(({ shard, generation, epoch, seq }) => ({ shard, generation, epoch, expected: seq, record })),
    );
    if (results.some(({ kind }) => kind !== "durable")) throw new Error(JSON.stringify(results));
    for (const head of heads) head.seq++;
  };
}

/** One record to each of so many subjects, each of which expects its last position. */
function rawAppends({ client, subject }: RawStreams, subjects: number, size: number): Act {
  const bytes = new Uint8Array(size).fill(7);
  return () =>
    Promise.all(
      Array.from({ length: subjects }, async (_, shard) => {
        const expect = { lastSubjectSequence: lasts.get(shard) ?? 0 };
        lasts.set(shard, (await client.publish(subject(shard), bytes, { expect })).seq);
      }),
    );
}

const lasts = new Map<number, number>();
const cluster = await natsCluster();
const { options } = natsBed(cluster);
const engine = await natsEngine({ ...options, streams });
await engine.create(sample);
const limit = await rawStreams(cluster.addresses, streams);
const shapes: readonly (readonly [count: number, size: number, says: string])[] = [
  [1, 200, "1 shard × 200 B"],
  [64, 200, "64 shards × 200 B"],
  [1, 65_536, "1 shard × 64 KiB"],
];
for (const [count, size, says] of shapes) {
  const shards = Array.from({ length: count }, (_, shard) => shard);
  const [theirs, ours] = [rawAppends(limit, count, size), await appends(engine, shards, size)];
  const found: [Turn[], Turn[]] = [[], []];
  await run(ours, 500);
  await run(theirs, 500);
  for (let n = 0; n < turns; n++) {
    found[0].push(await run(theirs));
    found[1].push(await run(ours));
  }
  report(`raw appends, ${says}`, count, found[0]);
  report(`nats, ${says}`, count, found[1], found[0]);
}

const all = Array.from({ length: sample.shards }, (_, shard) => shard);
report("barrier of 1 shard", 1, [await run(() => engine.barrier([0]))]);
report("barrier of 64 shards", 1, [await run(() => engine.barrier(all))]);
const heads = await engine.barrier(all);
const ends = heads.map(({ shard, seq }) => ({ shard, from: seq + 1 }));
report("tail of 64 shards without news", 1, [await run(() => engine.tail(ends, 100))]);
const behind = heads.map(({ shard, seq }) => ({ shard, from: seq }));
report("tail of 64 shards with one record each", 64, [await run(() => engine.tail(behind, 100))]);
report("read of 1000 records of 200 B", 1000, [await run(() => engine.read(2, 1, 1000))]);
const chunk = new Uint8Array(1 << 20).fill(7);
const snapshot = { shard: 0, generation: 1, epoch: 1, seq: 1, hash: "ab".repeat(32) };
report("snapshot of 16 MiB put, in MiB", 16, [
  await run(() => engine.snapshots.put(snapshot, Array<Uint8Array>(16).fill(chunk))),
]);
console.log(JSON.stringify({ name: "engine", ...(await engine.describe()) }));
await engine.close();
await limit.end();
await cluster.end();

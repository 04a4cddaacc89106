import assert from "node:assert/strict";
import { test } from "node:test";
import type { SheafError } from "../base/index.ts";
import {
  decodeSnapshot,
  encodeSnapshot,
  type Engine,
  memoryEngine,
  recordCodec,
  type SnapshotName,
} from "../journal/index.ts";
import { checkEngine, type Report } from "./index.ts";
import { churn, engineOn, fill, type Kept, kept, keys, secret } from "./kept.fixture.ts";

const check = (of: Kept, options: Partial<Parameters<typeof checkEngine>[0]> = {}): Promise<Report> =>
  of.run(checkEngine({ engine: engineOn(of), host: of.host, ...options }));
const places = ({ findings }: Report): string[] => findings.map(({ shard, place }) => `${shard}: ${place}`);
const found = (report: Report): string => report.findings.map(({ says }) => says).join("; ");

async function grown(key?: Uint8Array): Promise<Kept> {
  const one = await kept({ key, snapshotEveryBytes: 2000 });
  await fill(one, 2);
  await churn(one, 40);
  return one;
}
const sealing = (of: Kept, key?: Uint8Array) => ({ ...of.host, cluster: of.node.cluster.id, key });

/** The snapshot, with its items changed, in the place of the one that is there. */
async function forge(
  of: Kept,
  engine: Engine,
  name: SnapshotName,
  change: (items: unknown[]) => unknown[],
  as = name,
): Promise<void> {
  const items: unknown[] = [];
  for await (const group of decodeSnapshot(sealing(of), name, engine.snapshots.get(name))) items.push(...group);
  const chunks: Uint8Array[] = [];
  for await (const chunk of encodeSnapshot(sealing(of), as, [change(items)])) chunks.push(chunk);
  await engine.snapshots.put(as, chunks);
}

test("engine verify: a sound engine is found sound, in use and at rest, with the key and without", async () => {
  for (const key of [undefined, secret]) {
    const one = await grown(key);
    const report = await check(one, { key });
    assert.deepEqual(report.findings, []);
    assert.ok(report.shards.some((shard) => shard.first > 1 && shard.snapshots === 2));
    assert.ok(report.shards.every((shard) => shard.records === shard.seq + 1 - shard.first));
    assert.equal(report.opened, true);
    const blind = await check(one);
    assert.deepEqual([blind.findings, blind.opened], [[], key === undefined]);
    let going = true;
    const writing = (async () => {
      while (going) {
        for (const name of keys) await one.send(name, "add", 1);
        await new Promise<void>((resolve) => void one.host.clock.after(1, resolve));
      }
    })();
    const slow = engineOn(one, () => ({ kind: "ok", latencyMs: 2 }));
    const busy = checkEngine({ engine: slow, host: one.host, key }).finally(() => (going = false));
    assert.deepEqual((await one.run(busy)).findings, []);
    await one.run(writing);
  }
});

test("engine verify: snapshots that are replaced, and records that are trimmed, while it looks are no damage", async () => {
  const one = await grown();
  const engine = engineOn(one);
  const before = await Promise.all([0, 1, 2].map((shard) => engine.snapshots.list(shard)));
  let left = 3;
  const busy: Engine = {
    ...engine,
    async barrier(shards) {
      if (--left === 0) await churn(one, 300);
      return engine.barrier(shards);
    },
  };
  assert.deepEqual((await checkEngine({ engine: busy, host: one.host })).findings, []);
  const after = await Promise.all([0, 1, 2].map((shard) => engine.snapshots.list(shard)));
  assert.ok(after.every((names, shard) => names.at(-1)!.seq > before[shard]![0]!.seq));
  // The same between the snapshots' first reading and their second.
  let gets = 0;
  const late: Engine = {
    ...engine,
    snapshots: {
      ...engine.snapshots,
      async *get(name) {
        if (++gets === 3) await churn(one, 300);
        yield* engine.snapshots.get(name);
      },
    },
  };
  assert.deepEqual((await checkEngine({ engine: late, host: one.host })).findings, []);
});

test("engine verify: a flipped bit of any record is told with its place, and the other shards are judged alone", async () => {
  const one = await grown();
  const { shards } = await check(one);
  for (const { shard, first, seq } of shards)
    for (const at of new Set([first, first + 1, Math.floor((first + seq) / 2), seq])) {
      const sound = one.disk.copy();
      one.disk.rot(shard, at, 777);
      const report = await check(one);
      assert.deepEqual(places(report), [`${shard}: record ${at}`]);
      assert.match(found(report), /checksum/);
      assert.deepEqual(places(await check(one, { shards: [(shard + 1) % 3] })), []);
      one.disk.restore(sound);
    }
});

test("engine verify: records above or below the head that is told, or lost, are found", async () => {
  const one = await kept();
  await fill(one, 3);
  const engine = engineOn(one);
  const [head] = await engine.barrier([0]);
  const told = (change: object): Engine => ({
    ...engine,
    barrier: async (shards) => (await engine.barrier(shards)).map((each) => ({ ...each, ...change })),
  });
  assert.match(found(await check(one, { engine: told({ generation: 9 }), shards: [0] })), /generation 9/);
  assert.match(found(await check(one, { engine: told({ epoch: 9 }), shards: [0] })), /epoch 9/);
  const shorter: Engine = {
    ...engine,
    async read(shard, from, limit) {
      const page = await engine.read(shard, from, limit);
      return { ...page, entries: page.entries.filter(({ seq }) => seq !== 5) };
    },
  };
  assert.ok(head!.seq > 6);
  assert.deepEqual(places(await check(one, { engine: shorter, shards: [0] })), ["0: record 5"]);
});

test("engine verify: a snapshot that is bent, of another journal, or not what the journal adds up to is told", async () => {
  const one = await grown();
  const engine = engineOn(one);
  const { shards } = await check(one);
  const { shard } = shards.find(({ snapshots }) => snapshots === 2)!;
  const [newest, older] = (await engine.snapshots.list(shard)) as [SnapshotName, SnapshotName];
  const sound = one.disk.copy();
  const says = async (change: () => Promise<void>): Promise<string> => {
    await change();
    const report = await check(one);
    one.disk.restore(sound);
    return `${places(report).join()} ${found(report)}`;
  };
  const cells = (items: unknown[]): [string, { key: string; version: number }][] =>
    items.filter((item) => (item as [string])[0] === "cell") as never;
  const wrong = await says(() =>
    forge(one, engine, newest, (items) => {
      cells(items)[0]![1].version++;
      return items;
    }),
  );
  assert.match(wrong, new RegExp(`^${shard}: snapshot at ${newest.seq} the entity purse/p\\d in it is not`));
  const fewer = await says(() =>
    forge(one, engine, newest, (items) => items.filter((item) => item !== cells(items)[0])),
  );
  assert.match(fewer, /it lacks 1 entities/);
  const more = await says(() =>
    forge(one, engine, newest, (items) => [...items, ["cell", { ...cells(items)[0]![1], key: "nobody" }]]),
  );
  assert.match(more, /differ that no record/);
  const other = { ...newest, hash: "ab".repeat(32) };
  const foreign = await says(async () => {
    await forge(one, engine, newest, (items) => items, other);
    await engine.snapshots.delete(newest);
  });
  assert.match(foreign, /another journal's record/);
  const bent = await says(async () => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of engine.snapshots.get(older))
      chunks.push(chunk.map((byte, i) => (i === 60 ? byte ^ 1 : byte)));
    await engine.snapshots.put(older, chunks);
  });
  assert.match(bent, new RegExp(`snapshot at ${older.seq}.*checksum`));
  const none = await says(async () => {
    await engine.snapshots.delete(newest);
    await engine.snapshots.delete(older);
  });
  assert.match(none, /no whole snapshot stands for them/);
});

test("engine verify: records of owners that were replaced are counted, and no damage", async () => {
  const one = await kept();
  await fill(one, 2);
  const engine = engineOn(one, ({ kind }) => ({ kind: kind === "append" ? "unfenced" : "ok" }));
  const { entries, head } = await engine.read(0, 2, 1000);
  const codec = recordCodec(sealing(one));
  const last = codec.decode(entries.at(-1)!.record, { shard: 0, seq: head.seq });
  const write = (epoch: number, seq: number, prev: Uint8Array) => {
    const sealed = codec.encode({ header: { ...last.header, epoch, seq, prev }, payload: { kind: "noop" } });
    return { append: { shard: 0, generation: 1, epoch, expected: seq - 1, record: sealed.bytes }, hash: sealed.hash };
  };
  const claim = write(head.epoch + 1, head.seq + 1, last.hash);
  const zombie = write(head.epoch, head.seq + 2, claim.hash);
  for (const { append } of [claim, zombie]) assert.equal((await engine.append([append]))[0]?.kind, "durable");
  const report = await check(one, { shards: [0] });
  assert.deepEqual([report.findings, report.shards[0]?.voided], [[], 1]);
});

test("engine verify: no cluster, no such shard and a wrong key are told as such", async () => {
  const one = await kept({ key: secret });
  const code = (expected: string) => (error: SheafError) => error.code === expected;
  await assert.rejects(check(one, { key: secret.map((byte) => byte ^ 1) }), code("WRONG_KEY"));
  await assert.rejects(check(one, { shards: [3] }), code("NOT_FOUND"));
  const empty = memoryEngine();
  await assert.rejects(check(one, { engine: empty }), code("NO_CLUSTER"));
});

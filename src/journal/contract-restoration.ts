// The engine kit's rules about filling an empty engine with a cluster that was kept elsewhere.

import type { Seq, Shard } from "../base/index.ts";
import { bytesOf, codeOf, created, entry, gather, kinds, kitCluster, readAll, type Rule } from "./contract-tools.ts";
import { snapshotAt, type Stage } from "./contract-tools.ts";
import type { Engine, Entry } from "./engine.ts";

const record = (shard: Shard, seq: Seq, epoch = 3): Entry => ({
  shard,
  seq,
  epoch,
  record: bytesOf(shard, seq, epoch),
});
const records = (shard: Shard, from: Seq, to: Seq): readonly Entry[] =>
  Array.from({ length: to - from + 1 }, (_, i) => record(shard, from + i));

/** Shard 3 keeps 5 to 12, the last in generation 7; shard 4 begins with its first; shard 60 has a single one; 5 has none. */
async function filled(engine: Engine, again?: boolean): Promise<Awaited<ReturnType<Engine["restore"]>>> {
  const begun = await engine.restore(kitCluster, again);
  await begun.load(3, 1, records(3, 5, 8));
  await begun.load(4, 7, records(4, 1, 2));
  await begun.load(3, 1, records(3, 9, 11));
  await begun.load(3, 7, [record(3, 12, 4)]);
  await begun.load(60, 7, [record(60, 900, 9)]);
  await begun.put(snapshotAt(3, 5), [bytesOf(1, 2), bytesOf(3)]);
  return begun;
}

/** What handles find that did not begin the restoration: nothing that could be used. */
async function showsNothing({ open, assert }: Stage): Promise<void> {
  const other = await open();
  assert.equal(await codeOf(other.identify()), "ENGINE_REFUSED");
  assert.equal(await codeOf(other.create(kitCluster)), "ENGINE_REFUSED");
  assert.equal(await codeOf(other.restore(kitCluster)), "ENGINE_REFUSED");
  await other.close();
}

export const restorationRules: readonly Rule[] = [
  {
    says: "what was restored is there for every handle, and goes on at its head and in its generation only",
    async holds(stage) {
      const { open, assert } = stage;
      const engine = await open();
      await (await filled(engine)).finish();
      for (const one of [engine, await open()]) {
        assert.equal((await one.identify())?.id, kitCluster.id);
        const page = await one.read(3, 1, 100);
        assert.deepEqual([page.first, page.head], [5, { shard: 3, generation: 7, epoch: 4, seq: 12 }]);
        assert.deepEqual(
          page.entries.map((found) => [found.seq, found.epoch, [...found.record]]),
          [...records(3, 5, 11), record(3, 12, 4)].map((kept) => [kept.seq, kept.epoch, [...kept.record]]),
        );
        assert.deepEqual(await one.barrier([5, 4, 60]), [
          { shard: 5, generation: 1, epoch: 0, seq: 0 },
          { shard: 4, generation: 7, epoch: 3, seq: 2 },
          { shard: 60, generation: 7, epoch: 9, seq: 900 },
        ]);
        assert.deepEqual(await one.snapshots.list(3), [snapshotAt(3, 5)]);
        assert.deepEqual(await gather(one.snapshots.get(snapshotAt(3, 5))), [bytesOf(1, 2), bytesOf(3)]);
      }
      const next = entry(3, 5, 12);
      const wrong = [next, { ...next, generation: 8 }, { ...entry(3, 3, 12), generation: 7 }];
      for (const one of wrong) assert.deepEqual(await kinds(engine, one), ["fenced"]);
      assert.deepEqual(await kinds(engine, { ...next, generation: 7 }, { ...entry(60, 9, 900), generation: 7 }), [
        "durable",
        "durable",
      ]);
      assert.deepEqual(await kinds(engine, entry(5, 1, 0)), ["durable"]);
      assert.deepEqual(
        (await engine.tail([{ shard: 3, from: 12 }], 10)).flatMap((page) => page.entries.map((found) => found.seq)),
        [12, 13],
      );
      await engine.trim(3, 10);
      assert.deepEqual(
        (await readAll(engine, 3, 11)).map((found) => found.seq),
        [11, 12, 13],
      );
      assert.equal(await codeOf(engine.restore(kitCluster)), "WRONG_CLUSTER");
      assert.equal(await codeOf(engine.restore(kitCluster, true)), "WRONG_CLUSTER");
    },
  },
  {
    says: "before a restoration is finished no handle finds a cluster, nor can make one, also after reopening",
    async holds(stage) {
      const engine = await stage.open();
      const begun = await engine.restore(kitCluster);
      await showsNothing(stage);
      await begun.load(3, 1, records(3, 5, 8));
      await showsNothing(stage);
      await begun.put(snapshotAt(3, 5), [bytesOf(1)]);
      await engine.close();
      await showsNothing(stage);
    },
  },
  {
    says: "an abandoned restoration leaves an empty engine, and one that died can be begun again",
    async holds(stage) {
      const { open, assert } = stage;
      const engine = await open();
      await (await filled(engine)).abandon();
      const other = await open();
      assert.equal(await other.identify(), undefined);
      const late = await filled(other);
      const third = await open();
      const begun = await filled(third, true);
      assert.ok((await codeOf(late.finish())) !== "resolved", "who was replaced cannot finish");
      await showsNothing(stage);
      await begun.finish();
      assert.equal((await third.read(3, 1, 100)).entries.length, 8);
      assert.deepEqual(await third.snapshots.list(3), [snapshotAt(3, 5)]);
      assert.ok((await codeOf(late.abandon())) !== "resolved", "nor remove what took its place");
      assert.ok((await codeOf(late.load(3, 7, [record(3, 13)]))) !== "resolved", "nor add to it");
      assert.equal((await (await open()).read(3, 1, 100)).head.seq, 12);
    },
  },
  {
    says: "an abandoned restoration leaves nothing behind that a cluster made later would find",
    async holds(stage) {
      const engine = await stage.open();
      await (await filled(engine)).abandon();
      const other = await created(stage);
      stage.assert.deepEqual(await other.barrier([3, 4]), [
        { shard: 3, generation: 1, epoch: 0, seq: 0 },
        { shard: 4, generation: 1, epoch: 0, seq: 0 },
      ]);
      stage.assert.deepEqual(await kinds(other, entry(3, 1, 0)), ["durable"]);
      stage.assert.deepEqual(await other.snapshots.list(3), []);
    },
  },
  {
    says: "entries that do not continue a shard's journal are refused, and those before them stay",
    async holds(stage) {
      const { assert } = stage;
      const engine = await stage.open();
      const begun = await filled(engine);
      const wrong = [[record(3, 14)], [record(3, 12)], [record(3, 1)], [record(3, 13), record(3, 15)]];
      for (const some of wrong) assert.equal(await codeOf(begun.load(3, 7, some)), "CORRUPT", `${some[0]?.seq}`);
      await begun.load(3, 7, []);
      await begun.load(3, 7, [record(3, 13, 4)]);
      await begun.finish();
      assert.equal((await engine.barrier([3]))[0]?.seq, 13);
      assert.equal((await readAll(engine, 3, 5)).length, 9);
    },
  },
  {
    says: "a restoration takes records of any bytes and of the largest size, thousands at once",
    async holds(stage) {
      const { assert } = stage;
      const engine = await stage.open();
      const begun = await engine.restore(kitCluster);
      const sizes = [0, 1, 300_000, engine.maxRecordBytes];
      for (const [i, size] of sizes.entries())
        await begun.load(1, 2, [{ shard: 1, seq: i + 1, epoch: 1, record: new Uint8Array(size).fill(i + 1) }]);
      await begun.load(2, 2, records(2, 1, 3000));
      await begun.finish();
      const kept = await readAll(engine, 1);
      assert.deepEqual(
        kept.map((found) => [found.record.length, found.record.every((byte) => byte === found.seq)]),
        sizes.map((size) => [size, true]),
      );
      assert.equal((await readAll(engine, 2)).length, 3000);
    },
  },
];

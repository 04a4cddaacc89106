// The engine kit's rules about identity and journals.

import { bytesOf, codeOf, created, entry, kinds, kitCluster, readAll, type Rule } from "./contract-tools.ts";
import type { Engine } from "./engine.ts";

export const journalRules: readonly Rule[] = [
  {
    says: "an empty engine holds no cluster, and a created one is the same after reopening",
    async holds({ open, assert }) {
      const first = await open();
      assert.equal(await first.identify(), undefined);
      await first.create(kitCluster);
      const found = await first.identify();
      assert.deepEqual(
        { ...found, keyCheck: [...(found?.keyCheck ?? [])] },
        { ...kitCluster, keyCheck: [0, 1, 254, 255] },
      );
      await first.close();
      const again = await (await open()).identify();
      assert.deepEqual(
        { ...again, keyCheck: [...(again?.keyCheck ?? [])] },
        { ...kitCluster, keyCheck: [0, 1, 254, 255] },
      );
    },
  },
  {
    says: "a cluster is created once, whoever tries and however many at once",
    async holds({ open, assert }) {
      const engines = [await open(), await open(), await open()];
      const tried = await Promise.all(
        engines.map((engine, i) => codeOf(engine.create({ ...kitCluster, name: `try-${i}` }))),
      );
      assert.deepEqual(tried.toSorted(), ["WRONG_CLUSTER", "WRONG_CLUSTER", "resolved"]);
      const names = await Promise.all(engines.map(async (engine) => (await engine.identify())?.name));
      assert.deepEqual(names, Array(3).fill(`try-${tried.indexOf("resolved")}`));
      assert.equal(await codeOf(engines[0]!.create(kitCluster)), "WRONG_CLUSTER");
    },
  },
  {
    says: "a cluster without an encryption key, and with no entities kept apart, comes back without",
    async holds({ open, assert }) {
      const engine = await open();
      const { keyCheck: _, apart: _none, ...plain } = kitCluster;
      await engine.create(plain);
      const found = await engine.identify();
      assert.deepEqual([found?.keyCheck, found?.apart], [undefined, undefined]);
    },
  },
  {
    says: "a shard that was never written is at generation 1, epoch 0, sequence 0",
    async holds(stage) {
      const engine = await created(stage);
      const zero = { shard: 5, generation: 1, epoch: 0, seq: 0 };
      stage.assert.deepEqual(await engine.barrier([5]), [zero]);
      stage.assert.deepEqual(await engine.read(5, 1, 10), { entries: [], first: 1, head: zero });
    },
  },
  {
    says: "an append lands at expected + 1, and only when the head is exactly as expected",
    async holds(stage) {
      const engine = await created(stage);
      const { assert } = stage;
      assert.deepEqual(await kinds(engine, entry(3, 1, 1)), ["fenced"]);
      assert.deepEqual(await kinds(engine, entry(3, 1, 0)), ["durable"]);
      assert.deepEqual(await kinds(engine, entry(3, 1, 0)), ["fenced"]);
      assert.deepEqual(await kinds(engine, entry(3, 1, 2)), ["fenced"]);
      assert.deepEqual(await kinds(engine, entry(3, 1, 1)), ["durable"]);
      assert.deepEqual(await readAll(engine, 3), [
        { shard: 3, seq: 1, epoch: 1, record: bytesOf(3, 1, 1) },
        { shard: 3, seq: 2, epoch: 1, record: bytesOf(3, 1, 2) },
      ]);
      assert.deepEqual(await engine.barrier([3]), [{ shard: 3, generation: 1, epoch: 1, seq: 2 }]);
    },
  },
  {
    says: "a claim with a higher epoch at the right place is taken, and fences the lower epoch even at the right place",
    async holds(stage) {
      const [a, b] = [await created(stage), await stage.open()];
      const { assert } = stage;
      assert.deepEqual(await kinds(a, entry(3, 4, 0)), ["durable"]);
      assert.deepEqual(await kinds(b, entry(3, 5, 1)), ["durable"]);
      assert.deepEqual(await kinds(a, entry(3, 4, 1)), ["fenced"]);
      assert.deepEqual(await kinds(a, entry(3, 4, 2)), ["fenced"]);
      assert.deepEqual(await kinds(b, entry(3, 5, 2)), ["durable"]);
      assert.deepEqual(
        (await readAll(a, 3)).map((one) => one.epoch),
        [4, 5, 5],
      );
      assert.deepEqual(await a.barrier([3]), [{ shard: 3, generation: 1, epoch: 5, seq: 3 }]);
    },
  },
  {
    says: "of a stale owner's pipelined appends none lands once a newer epoch has written",
    async holds(stage) {
      const [a, b] = [await created(stage), await stage.open()];
      await kinds(a, entry(3, 1, 0));
      await kinds(b, entry(3, 2, 1));
      const stale = await Promise.all([1, 2, 3].map((expected) => kinds(a, entry(3, 1, expected))));
      stage.assert.deepEqual(stale, [["fenced"], ["fenced"], ["fenced"]]);
      stage.assert.equal((await readAll(b, 3)).length, 2);
    },
  },
  {
    says: "an append of another generation is fenced",
    async holds(stage) {
      const engine = await created(stage);
      stage.assert.deepEqual(await kinds(engine, { ...entry(3, 1, 0), generation: 2 }), ["fenced"]);
      await kinds(engine, entry(3, 1, 0));
      stage.assert.deepEqual(await kinds(engine, { ...entry(3, 9, 1), generation: 2 }), ["fenced"]);
      stage.assert.equal((await readAll(engine, 3)).length, 1);
    },
  },
  {
    says: "the same append sent again is fenced, and reading shows the first copy (F5)",
    async holds(stage) {
      const engine = await created(stage);
      const mine = entry(3, 1, 0, bytesOf(42, 42));
      const results = [await kinds(engine, mine), await kinds(engine, mine)];
      stage.assert.deepEqual(results, [["durable"], ["fenced"]]);
      stage.assert.deepEqual(
        (await readAll(engine, 3)).map((one) => [...one.record]),
        [[42, 42]],
      );
    },
  },
  {
    says: "a batch answers per shard in the order given, and a fenced shard fails alone",
    async holds(stage) {
      const engine = await created(stage);
      const { assert } = stage;
      await kinds(engine, entry(2, 7, 0));
      const shards = Array.from({ length: 64 }, (_, shard) => shard);
      const results = await kinds(engine, ...shards.map((shard) => entry(shard, 1, 0)));
      assert.deepEqual(
        results,
        shards.map((shard) => (shard === 2 ? "fenced" : "durable")),
      );
      const heads = await engine.barrier(shards.toReversed());
      assert.deepEqual(
        heads.map((head) => head.shard),
        shards.toReversed(),
      );
      for (const head of heads) assert.deepEqual([head.epoch, head.seq], [head.shard === 2 ? 7 : 1, 1]);
      assert.deepEqual(await kinds(engine), []);
      assert.deepEqual(await engine.barrier([]), []);
    },
  },
  {
    says: "a record of the largest size is kept whole; a larger one is refused TOO_LARGE, stores nothing and fails alone",
    async holds(stage) {
      const engine = await created(stage);
      const { assert } = stage;
      const largest = new Uint8Array(engine.maxRecordBytes);
      for (let i = 0; i < largest.length; i += 4093) largest[i] = i;
      const [before, over, after] = await engine.append([
        entry(1, 1, 0),
        entry(2, 1, 0, new Uint8Array(engine.maxRecordBytes + 1)),
        entry(3, 1, 0, largest),
      ]);
      assert.deepEqual([before?.kind, over?.kind, after?.kind], ["durable", "refused", "durable"]);
      if (over?.kind === "refused") assert.equal(await codeOf(Promise.reject(over.error)), "TOO_LARGE");
      assert.equal((await engine.read(2, 1, 1)).head.seq, 0);
      assert.deepEqual(await kinds(engine, entry(2, 1, 0)), ["durable"]);
      const kept = (await readAll(engine, 3))[0]!.record;
      assert.equal(kept.length, largest.length);
      assert.ok(
        kept.every((byte, i) => byte === largest[i]),
        "the bytes are the same",
      );
    },
  },
  {
    says: "records are any bytes: none, all values, zeros at the ends; and what a caller does with its arrays later is its own affair",
    async holds(stage) {
      const engine = await created(stage);
      const { assert } = stage;
      const records = [[], [0], Array.from({ length: 256 }, (_, i) => i), [0, 0, 1, 0, 0], [39, 92, 0, 255, 254]];
      for (const [i, bytes] of records.entries()) {
        // A view into a larger array, overwritten as soon as the append is answered.
        const around = Uint8Array.from([7, 7, ...bytes, 7]);
        assert.deepEqual(await kinds(engine, entry(4, 1, i, around.subarray(2, 2 + bytes.length))), ["durable"]);
        around.fill(99);
      }
      assert.deepEqual(
        (await readAll(engine, 4)).map((one) => [...one.record]),
        records,
      );
      const page = await engine.read(4, 3, 1);
      page.entries[0]!.record.fill(1);
      assert.deepEqual(
        (await readAll(engine, 4)).map((one) => [...one.record]),
        records,
      );
    },
  },
  {
    says: "a page starts where asked, holds at most the limit and always tells first and head",
    async holds(stage) {
      const engine = await created(stage);
      const { assert } = stage;
      for (let i = 0; i < 25; i++) await kinds(engine, entry(6, 2, i));
      const head = { shard: 6, generation: 1, epoch: 2, seq: 25 };
      const page = await engine.read(6, 10, 5);
      assert.deepEqual(
        page.entries.map((one) => one.seq),
        [10, 11, 12, 13, 14],
      );
      assert.deepEqual([page.first, page.head], [1, head]);
      assert.deepEqual(
        (await engine.read(6, 24, 100)).entries.map((one) => one.seq),
        [24, 25],
      );
      assert.deepEqual((await engine.read(6, 1, 100)).entries.length, 25);
      assert.deepEqual(await engine.read(6, 26, 100), { entries: [], first: 1, head });
      assert.deepEqual(
        (await readAll(engine, 6, 1, 4)).map((one) => one.seq),
        Array.from({ length: 25 }, (_, i) => i + 1),
      );
      assert.equal((await engine.read(7, 1, 100)).entries.length, 0);
    },
  },
  {
    says: "a page of large records stays near 8 MiB, and paging still reaches the end",
    async holds(stage) {
      const engine = await created(stage);
      const record = new Uint8Array(3 * 1024 * 1024).fill(7);
      for (let i = 0; i < 4; i++) await kinds(engine, entry(6, 1, i, record));
      const page = await engine.read(6, 1, 1000);
      stage.assert.ok(page.entries.length >= 1 && page.entries.length < 4, `${page.entries.length} entries`);
      stage.assert.equal(page.head.seq, 4);
      stage.assert.equal((await readAll(engine, 6)).length, 4);
    },
  },
  {
    says: "a barrier sees every append that was answered before it, whichever handle made it",
    async holds(stage) {
      const [a, b] = [await created(stage), await stage.open()];
      for (let i = 0; i < 50; i++) {
        await kinds(i % 2 === 0 ? a : b, entry(8, 1, i));
        const [seen] = await (i % 2 === 0 ? b : a).barrier([8]);
        stage.assert.equal(seen?.seq, i + 1);
      }
    },
  },
  {
    says: "of handles that contend for a shard exactly one wins each sequence, over 300 rounds",
    async holds(stage) {
      const { assert } = stage;
      const engines = [await created(stage), await stage.open(), await stage.open()];
      const winners: number[] = [];
      for (let round = 0; round < 300; round++) {
        const tries = engines.map((engine, who) => kinds(engine, entry(9, 1, round, bytesOf(who))));
        const won = (await Promise.all(tries)).flatMap(([kind], who) => (kind === "durable" ? [who] : []));
        assert.equal(won.length, 1, `round ${round}`);
        winners.push(...won);
      }
      assert.deepEqual(
        (await readAll(engines[0]!, 9)).map((one) => one.record[0]),
        winners,
      );
    },
  },
  {
    says: "claims that race with an owner's appends leave one history that every handle agrees on",
    async holds(stage) {
      const { assert } = stage;
      const engines = [await created(stage), await stage.open(), await stage.open()];
      await Promise.all(engines.map((engine, who) => raceForShard(engine, who)));
      const histories = await Promise.all(engines.map((engine) => readAll(engine, 10)));
      for (const history of histories) assert.deepEqual(history, histories[0]);
      const history = histories[0]!;
      assert.deepEqual(
        history.map((one) => one.seq),
        history.map((_, i) => i + 1),
      );
      for (let i = 1; i < history.length; i++)
        assert.ok(history[i]!.epoch >= history[i - 1]!.epoch, "epochs never fall");
      const writers = new Map<number, number>();
      for (const { epoch, record } of history) {
        assert.equal(writers.get(epoch) ?? record[0], record[0], `epoch ${epoch} has one writer`);
        writers.set(epoch, record[0]!);
      }
    },
  },
  {
    says: "trimming removes up to the mark and never the last entry, and lets no stale writer in",
    async holds(stage) {
      const engine = await created(stage);
      const { assert } = stage;
      for (let i = 0; i < 10; i++) await kinds(engine, entry(11, 3, i));
      await engine.trim(11, 4);
      const page = await engine.read(11, 1, 100);
      assert.deepEqual([page.first, page.head.seq, page.entries.map((one) => one.seq)], [5, 10, [5, 6, 7, 8, 9, 10]]);
      await engine.trim(11, 2);
      assert.equal((await engine.read(11, 1, 100)).first, 5);
      await engine.trim(11, 10);
      await engine.trim(11, 999);
      const last = await engine.read(11, 1, 100);
      assert.deepEqual([last.first, last.entries.map((one) => one.seq)], [10, [10]]);
      const stale = [
        entry(11, 3, 0),
        entry(11, 9, 0),
        entry(11, 2, 10),
        entry(11, 3, 4),
        entry(11, 3, 9),
        entry(11, 3, 11),
      ];
      for (const one of stale) assert.deepEqual(await kinds(engine, one), ["fenced"]);
      assert.deepEqual(await kinds(engine, entry(11, 3, 10)), ["durable"]);
      assert.deepEqual(await engine.barrier([11]), [{ shard: 11, generation: 1, epoch: 3, seq: 11 }]);
      await engine.trim(12, 5);
      assert.equal((await engine.read(12, 1, 100)).first, 1);
    },
  },
  {
    says: "journals are the same after closing and reopening",
    async holds(stage) {
      const { assert } = stage;
      const first = await created(stage);
      for (let i = 0; i < 5; i++) await kinds(first, entry(0, 2, i), entry(63, 3, i));
      await first.trim(63, 2);
      const before = [await first.read(0, 1, 100), await first.read(63, 1, 100)];
      await first.close();
      const again = await stage.open();
      const after = [await again.read(0, 1, 100), await again.read(63, 1, 100)];
      assert.deepEqual(after.map(comparable), before.map(comparable));
      assert.deepEqual(await kinds(again, entry(0, 1, 5), entry(63, 3, 5)), ["fenced", "durable"]);
    },
  },
  {
    says: "closing waits for appends under way; afterwards everything is refused and the other handles go on",
    async holds(stage) {
      const { assert } = stage;
      const [engine, other] = [await created(stage), await stage.open()];
      const underWay = Array.from({ length: 20 }, (_, shard) => kinds(engine, entry(shard, 1, 0)));
      const settled = Promise.all(underWay);
      await engine.close();
      const heads = await other.barrier(Array.from({ length: 20 }, (_, shard) => shard));
      const answers = await settled;
      for (const [shard, answer] of answers.entries()) assert.equal(heads[shard]!.seq, answer[0] === "durable" ? 1 : 0);
      assert.deepEqual(answers.flat(), Array(20).fill("durable"));
      const refused = [
        engine.identify(),
        engine.create(kitCluster),
        engine.restore(kitCluster, true),
        engine.barrier([1]),
        engine.read(1, 1, 1),
        engine.tail([{ shard: 1, from: 1 }], 1),
        engine.trim(1, 1),
        engine.snapshots.list(1),
        engine.registry.put("node", bytesOf(1)),
        engine.registry.delete("node"),
        engine.registry.renew("node", bytesOf(1)),
        engine.registry.list(),
        engine.registry.look(undefined, []),
      ];
      for (const promise of refused) assert.ok((await codeOf(promise)) !== "resolved");
      assert.deepEqual(await kinds(engine, entry(1, 1, 1), entry(2, 1, 1)), ["refused", "refused"]);
      await engine.close();
      assert.deepEqual(await kinds(other, entry(1, 1, 1)), ["durable"]);
    },
  },
  {
    says: "it describes itself in short facts",
    async holds(stage) {
      const facts = await (await created(stage)).describe();
      stage.assert.ok(Object.keys(facts).length > 0);
      for (const fact of Object.values(facts)) stage.assert.ok(["string", "number", "boolean"].includes(typeof fact));
    },
  },
];

const comparable = (page: Awaited<ReturnType<Engine["read"]>>): unknown => ({
  ...page,
  entries: page.entries.map((one) => ({ ...one, record: [...one.record] })),
});

/** Claims the shard and writes until fenced, several times over. Epochs are made from `who`, so each has one writer. */
async function raceForShard(engine: Engine, who: number): Promise<void> {
  for (let turn = 0; turn < 20; turn++) {
    const [head] = await engine.barrier([10]);
    const epoch = Math.floor(head!.epoch / 3) * 3 + 3 + who;
    let { seq } = head!;
    for (let n = 0; n < 5; n++) {
      const [kind] = await kinds(engine, entry(10, epoch, seq, bytesOf(who, turn, n)));
      if (kind !== "durable") break;
      seq++;
    }
  }
}

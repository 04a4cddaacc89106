// The engine kit's rules about tailing many journals at once and being told of their growth.

import type { Seq, Shard } from "../base/index.ts";
import { bytesOf, codeOf, created, entry, kinds, readAll, type Rule, type Stage } from "./contract-tools.ts";
import type { Ask, Engine, Entry, Page } from "./engine.ts";

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const seqsOf = ({ entries }: Page): readonly Seq[] => entries.map((one) => one.seq);
const shardsOf = (pages: readonly Page[]): readonly Shard[] => pages.map((page) => page.head.shard);
const comparable = (page: Page | undefined): unknown =>
  page && { ...page, entries: page.entries.map((one) => ({ ...one, record: [...one.record] })) };

/** Appends that many small records to the shard. */
async function grow(engine: Engine, shard: Shard, count: number, epoch = 1): Promise<void> {
  const [head] = await engine.barrier([shard]);
  for (let i = 0; i < count; i++) await kinds(engine, entry(shard, epoch, head!.seq + i));
}

/** Appends to the shard until `heard`, at most that often: the engine's own slowness is the clock. */
async function growUntil(engine: Engine, shard: Shard, heard: () => boolean, rounds = 3000): Promise<boolean> {
  const [head] = await engine.barrier([shard]);
  for (let i = 0; i < rounds && !heard(); i++) await kinds(engine, entry(shard, 1, head!.seq + i));
  return heard();
}

/** Follows shards by nothing but tails, as a node does, until each has come to its mark. */
async function followAll(engine: Engine, marks: ReadonlyMap<Shard, Seq>, limit: number): Promise<Map<Shard, Entry[]>> {
  const seen = new Map<Shard, Entry[]>([...marks.keys()].map((shard) => [shard, []]));
  const behind = (): Ask[] =>
    [...seen].flatMap(([shard, entries]) =>
      entries.length < marks.get(shard)! ? [{ shard, from: entries.length + 1 }] : [],
    );
  for (let asks = behind(); asks.length > 0; asks = behind())
    for (const { entries, head } of await engine.tail(asks, limit)) seen.get(head.shard)!.push(...entries);
  return seen;
}

const checkWhole = (assert: Stage["assert"], entries: readonly Entry[], count: number): void =>
  assert.deepEqual(
    entries.map((one) => one.seq),
    range(count).map((i) => i + 1),
  );

const tailRules: readonly Rule[] = [
  {
    says: "a tail has one page for each shard with news, in the order asked, and leaves the others out",
    async holds(stage) {
      const engine = await created(stage);
      const { assert } = stage;
      for (const shard of [3, 9, 40]) await grow(engine, shard, 3);
      const asks = [40, 7, 9, 3, 63].map((shard) => ({ shard, from: 1 }));
      assert.deepEqual(shardsOf(await engine.tail(asks, 100)), [40, 9, 3]);
      assert.deepEqual(shardsOf(await engine.tail([{ shard: 9, from: 3 }, ...asks.slice(3)], 100)), [9, 3]);
      const atEnd = [40, 9, 3].map((shard) => ({ shard, from: 4 }));
      assert.deepEqual(await engine.tail(atEnd, 100), []);
      assert.deepEqual(await engine.tail([], 100), []);
      await grow(engine, 9, 1);
      assert.deepEqual((await engine.tail(atEnd, 100)).map(seqsOf), [[4]]);
    },
  },
  {
    says: "a page of a tail is what a read shows: from where asked, at most the limit, with first and head",
    async holds(stage) {
      const [engine, other] = [await created(stage), await stage.open()];
      await grow(engine, 5, 12, 4);
      await grow(other, 6, 2, 7);
      for (const [from, limit] of [
        [1, 100],
        [4, 5],
        [12, 1],
        [2, 1],
      ] as const) {
        const pages = await engine.tail(
          [5, 6].map((shard) => ({ shard, from: shard === 6 ? 1 : from })),
          limit,
        );
        stage.assert.deepEqual(comparable(pages[0]), comparable(await engine.read(5, from, limit)));
        stage.assert.deepEqual(comparable(pages[1]), comparable(await engine.read(6, 1, limit)));
      }
    },
  },
  {
    says: "a tail tells of a journal that ends before the entry that the asker has last",
    async holds(stage) {
      const engine = await created(stage);
      const { assert } = stage;
      await grow(engine, 5, 4);
      const asks = [
        { shard: 4, from: 2 },
        { shard: 5, from: 5 },
        { shard: 6, from: 1 },
      ];
      const pages = await engine.tail(asks, 10);
      assert.deepEqual(pages, [{ entries: [], first: 1, head: { shard: 4, generation: 1, epoch: 0, seq: 0 } }]);
      assert.deepEqual(comparable((await engine.tail([{ shard: 5, from: 6 }], 10))[0]), {
        entries: [],
        first: 1,
        head: { shard: 5, generation: 1, epoch: 1, seq: 4 },
      });
    },
  },
  {
    says: "a tail asked for what was trimmed begins at what is kept; one that is past the trim is not disturbed",
    async holds(stage) {
      const engine = await created(stage);
      const { assert } = stage;
      await grow(engine, 5, 10);
      await engine.trim(5, 6);
      const from = async (seq: Seq): Promise<unknown[]> =>
        (await engine.tail([{ shard: 5, from: seq }], 3)).map((page) => [page.first, seqsOf(page), page.head.seq]);
      assert.deepEqual(await from(1), [[7, [7, 8, 9], 10]]);
      assert.deepEqual(await from(6), [[7, [7, 8, 9], 10]]);
      assert.deepEqual(await from(8), [[7, [8, 9, 10], 10]]);
      assert.deepEqual(await from(11), []);
      await engine.trim(5, 10);
      assert.deepEqual(await from(1), [[10, [10], 10]]);
      assert.deepEqual(await from(11), []);
    },
  },
  {
    says: "whoever follows 64 shards by tails alone, while two handles append, sees every journal whole and in order",
    async holds(stage) {
      const [a, b, follower] = [await created(stage), await stage.open(), await stage.open()];
      const { assert } = stage;
      const marks = new Map(range(64).map((shard) => [shard, 10 + (shard % 7)]));
      const write = async (engine: Engine, mine: (shard: Shard) => boolean): Promise<void> => {
        for (let seq = 0; seq < 16; seq++) {
          const batch = [...marks].flatMap(([shard, end]) =>
            mine(shard) && seq < end ? [entry(shard, 1, seq, bytesOf(shard, seq, shard ^ seq))] : [],
          );
          assert.deepEqual(new Set(await kinds(engine, ...batch)), new Set(["durable"]));
        }
      };
      const [seen] = await Promise.all([
        followAll(follower, marks, 3),
        write(a, (shard) => shard % 2 === 0),
        write(b, (shard) => shard % 2 === 1),
      ]);
      for (const [shard, entries] of seen) {
        checkWhole(assert, entries, marks.get(shard)!);
        for (const one of entries)
          assert.deepEqual([one.shard, ...one.record], [shard, shard, one.seq - 1, shard ^ (one.seq - 1)]);
      }
    },
  },
  {
    says: "a tail stays near 8 MiB in all, serves the first shard that has entries, and asked again reaches every end",
    async holds(stage) {
      const engine = await created(stage);
      const { assert } = stage;
      const record = new Uint8Array(3 * 1024 * 1024).fill(7);
      for (const shard of [1, 2, 3]) for (let i = 0; i < 2; i++) await kinds(engine, entry(shard, 1, i, record));
      await grow(engine, 4, 5);
      const pages = await engine.tail(
        [8, 3, 2, 1, 4].map((shard) => ({ shard, from: 1 })),
        100,
      );
      assert.equal(pages[0]?.head.shard, 3);
      const sizes = pages.map(({ entries }) => entries.reduce((sum, one) => sum + one.record.length, 0));
      const bytes = sizes.reduce((sum, size) => sum + size, 0);
      assert.ok(bytes <= 12 * 1024 * 1024, `${bytes} bytes`);
      for (const { entries, head } of pages) {
        assert.ok(entries.length > 0, `shard ${head.shard} has a page with entries or none`);
        checkWhole(assert, entries, entries.length);
      }
      const marks = new Map([1, 2, 3].map((shard) => [shard, 2])).set(4, 5);
      const seen = await followAll(engine, marks, 100);
      for (const [shard, entries] of seen) checkWhole(assert, entries, marks.get(shard)!);
      assert.ok(seen.get(2)!.every((one) => one.record.length === record.length));
    },
  },
  {
    says: "what a caller does with a tail's records is its own affair",
    async holds(stage) {
      const engine = await created(stage);
      await kinds(engine, entry(5, 1, 0, bytesOf(1, 2, 3)));
      (await engine.tail([{ shard: 5, from: 1 }], 1))[0]!.entries[0]!.record.fill(9);
      stage.assert.deepEqual(
        (await readAll(engine, 5)).map((one) => [...one.record]),
        [[1, 2, 3]],
      );
    },
  },
];

const watchRules: readonly Rule[] = [
  {
    says: "whoever watches is told when a journal has grown, through the same handle and through another",
    async holds(stage) {
      const [engine, other] = [await created(stage), await stage.open()];
      const heard = new Set<Shard>();
      const ends = [3, 4].map((shard) =>
        engine.watch((shards) => {
          if (shards === undefined || shards.includes(shard)) heard.add(shard);
        }),
      );
      stage.assert.ok(await growUntil(other, 3, () => heard.has(3)), "told of another handle's appends");
      stage.assert.ok(await growUntil(engine, 4, () => heard.has(4)), "told of its own handle's appends");
      for (const end of ends) end();
    },
  },
  {
    says: "a tail after a hint shows what has grown, so that hints and tails alone follow a journal",
    async holds(stage) {
      const [engine, follower] = [await created(stage), await stage.open()];
      const seen: Seq[] = [];
      let pulls = Promise.resolve();
      const end = follower.watch(() => {
        pulls = pulls.then(async () => {
          for (const page of await follower.tail([{ shard: 3, from: seen.length + 1 }], 100))
            seen.push(...seqsOf(page));
        });
      });
      stage.assert.ok(await growUntil(engine, 3, () => seen.length >= 20), `followed to ${seen.length}`);
      end();
      await pulls;
      stage.assert.deepEqual(
        seen,
        range(seen.length).map((i) => i + 1),
      );
    },
  },
  {
    says: "a watch that was ended is told nothing more, once or twice; the others go on",
    async holds(stage) {
      const [engine, other] = [await created(stage), await stage.open()];
      const { assert } = stage;
      const told = { ended: 0, witness: 0 };
      const end = engine.watch(() => void told.ended++);
      engine.watch(() => void told.witness++);
      assert.ok(await growUntil(other, 3, () => told.ended > 0 && told.witness > 0), "both are told");
      end();
      end();
      const before = { ...told };
      assert.ok(await growUntil(other, 4, () => told.witness >= before.witness + 3), "the other goes on");
      assert.equal(told.ended, before.ended);
    },
  },
  {
    says: "closing a handle ends its watches, and its tails are refused; the other handles' watches go on",
    async holds(stage) {
      const [engine, other] = [await created(stage), await stage.open()];
      const { assert } = stage;
      const told = { closed: 0, witness: 0 };
      const end = engine.watch(() => void told.closed++);
      other.watch(() => void told.witness++);
      assert.ok(await growUntil(other, 3, () => told.closed > 0 && told.witness > 0), "both are told");
      await engine.close();
      const before = { ...told };
      assert.ok(await growUntil(other, 4, () => told.witness >= before.witness + 3), "the other goes on");
      assert.equal(told.closed, before.closed);
      end();
      engine.watch(() => void told.closed++)();
      assert.ok((await codeOf(engine.tail([{ shard: 3, from: 1 }], 1))) !== "resolved");
    },
  },
];

export const tailAndWatchRules: readonly Rule[] = [...tailRules, ...watchRules];

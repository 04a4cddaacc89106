// The kit that every local store passes. The test function and the asserts are handed in; nothing here knows where
// a store keeps what it keeps.

import type { KitTools } from "../journal/index.ts";
import type { Cell, Changes, Image, Position, SavedOp, Store } from "./store.ts";

/** One store's storage, empty at first. */
export type StoreBed = {
  /** Opens it, or opens it again once the one before was closed. */
  open(): Promise<Store>;
  destroy(): Promise<void>;
};

const bytes = (...values: readonly number[]): Uint8Array => Uint8Array.from(values);
/** A view into a larger buffer, as decoded states are. */
const view = (...values: readonly number[]): Uint8Array => bytes(99, ...values, 99).subarray(1, 1 + values.length);

const position = (seq: number): Position => ({
  generation: 1,
  epoch: 2 ** 40,
  seq,
  hash: view(seq, 1, 2),
  at: 1_700_000_000_000.5,
  extra: view(),
});
const cell = (key: string, version: number, state: Uint8Array = view(version)): Cell => ({
  type: "account",
  key,
  version,
  schema: 3,
  state,
});
const op = (id: string, seq: number, issuedAt?: number): SavedOp => ({
  id,
  seq,
  at: 1000 + seq,
  issuedAt,
  fingerprint: view(7, 8),
  reply: view(seq),
  version: seq,
});
const changes = (shard: number, seq: number, cells: readonly Cell[], more: Partial<Changes> = {}): Changes => ({
  shard,
  position: position(seq),
  cells,
  ops: [],
  forgetOps: [],
  ...more,
});

/** Plain numbers for comparing: a store may give back any kind of byte array. */
const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value ?? null, (_, item: unknown) => (item instanceof Uint8Array ? Array.from(item) : item)),
  );

async function all<T>(pages: AsyncIterable<readonly T[]>): Promise<T[]> {
  const items: T[] = [];
  for await (const page of pages) items.push(...page);
  return items;
}

type Rule = {
  readonly says: string;
  holds(stage: { reopen(): Promise<Store>; assert: KitTools["assert"] }): Promise<void>;
};

const rules: readonly Rule[] = [
  {
    says: "an empty store knows nothing of any shard",
    async holds({ reopen, assert }) {
      const store = await reopen();
      assert.equal(await store.position(0), undefined);
      assert.equal(await store.cell(0, "account", "a"), undefined);
      assert.deepEqual(plain(await store.ops(0)), []);
      assert.equal(await store.image(0), undefined);
      assert.deepEqual(plain(await store.search("account", "", undefined, 10)), []);
      await store.clear(0);
    },
  },
  {
    says: "what was saved comes back whole, also after reopening (S1)",
    async holds({ reopen, assert }) {
      let store = await reopen();
      const keys = ["a", "", "b/ c%", "é\u{1f600}", "'; DROP TABLE cell --", "nul\0key", "k".repeat(512)];
      const cells = keys.map((key, i) => cell(key, i + 1, i === 0 ? view() : new Uint8Array(i * 1000).fill(i)));
      await store.save([
        changes(5, 10, cells, { ops: [op("x", 9, 5), op("y", 10)] }),
        changes(6, 1, [{ ...cell("a", 77), type: "other" }]),
      ]);
      for (let round = 0; round < 2; round++) {
        assert.deepEqual(plain(await store.position(5)), plain(position(10)));
        for (const one of cells)
          assert.deepEqual(plain(await store.cell(5, "account", one.key)), plain(one), JSON.stringify(one.key));
        assert.deepEqual(plain(await store.ops(5)), plain([op("x", 9, 5), op("y", 10)]));
        assert.equal(await store.cell(6, "account", "a"), undefined);
        assert.equal((await store.cell(6, "other", "a"))?.version, 77);
        assert.equal(await store.cell(5, "account", "A"), undefined);
        store = await reopen();
      }
    },
  },
  {
    says: "a later save replaces cells and the position, and forgets the operations it names and no other",
    async holds({ reopen, assert }) {
      const store = await reopen();
      await store.save([changes(1, 2, [cell("a", 1), cell("b", 1)], { ops: [op("p", 2), op("q", 1), op("r", 2)] })]);
      await store.save([changes(1, 3, [cell("a", 2)], { ops: [op("s", 3)], forgetOps: ["p", "never saved"] })]);
      assert.equal((await store.cell(1, "account", "a"))?.version, 2);
      assert.equal((await store.cell(1, "account", "b"))?.version, 1);
      assert.equal((await store.position(1))?.seq, 3);
      assert.deepEqual(
        (await store.ops(1)).map(({ id }) => id).filter((id) => id !== "r"),
        ["q", "s"],
      );
    },
  },
  {
    says: "cells below a key are trimmed, of their type and shard alone, and a search may be of one shard",
    async holds({ reopen, assert }) {
      const store = await reopen();
      const events = ["01", "02", "03", "10"].map((key, i) => ({ ...cell(key, i + 1), type: "~orders" }));
      await store.save([changes(1, 2, [...events, cell("01", 9)]), changes(2, 2, events)]);
      await store.save([changes(1, 3, [], { trims: [{ type: "~orders", below: "03" }] })]);
      const keys = async (type: string, after: string | undefined, shard?: number): Promise<string[]> =>
        (await store.search(type, "", after, 10, shard)).map(({ key }) => key);
      assert.deepEqual(await keys("~orders", undefined, 1), ["03", "10"]);
      assert.deepEqual(await keys("~orders", "03", 1), ["10"]);
      assert.deepEqual(await keys("~orders", "01", 2), ["02", "03", "10"]);
      assert.deepEqual(await keys("account", undefined, 1), ["01"]);
      assert.deepEqual(await keys("~orders", undefined, 3), []);
    },
  },
  {
    says: "lookups made together are each answered with their own cell",
    async holds({ reopen, assert }) {
      const store = await reopen();
      await store.save(
        [0, 1].map((shard) =>
          changes(
            shard,
            1,
            Array.from({ length: 100 }, (_, i) => cell(`k${i}`, shard * 100 + i + 1)),
          ),
        ),
      );
      const asked = Array.from({ length: 300 }, (_, i) => ({ shard: i % 2, n: (i * 7) % 150 }));
      const found = await Promise.all(asked.map(({ shard, n }) => store.cell(shard, "account", `k${n}`)));
      asked.forEach(({ shard, n }, i) => assert.equal(found[i]?.version, n < 100 ? shard * 100 + n + 1 : undefined));
    },
  },
  {
    says: "clearing a shard forgets all of it and nothing of the others",
    async holds({ reopen, assert }) {
      const store = await reopen();
      await store.save([0, 1, 2].map((shard) => changes(shard, 4, [cell("a", 1)], { ops: [op("o", 4)] })));
      await store.clear(1);
      assert.equal(await store.position(1), undefined);
      assert.equal(await store.cell(1, "account", "a"), undefined);
      assert.deepEqual(plain(await store.ops(1)), []);
      for (const shard of [0, 2]) {
        assert.equal((await store.position(shard))?.seq, 4);
        assert.equal((await store.cell(shard, "account", "a"))?.version, 1);
        assert.equal((await store.ops(shard)).length, 1);
      }
    },
  },
  {
    says: "an image is one shard as of when it was asked for, whatever is saved while it is read",
    async holds({ reopen, assert }) {
      const store = await reopen();
      const cells = Array.from({ length: 1500 }, (_, i) => cell(`k${String(i).padStart(4, "0")}`, 1));
      await store.save([changes(3, 7, cells, { ops: [op("o", 7)] }), changes(4, 1, [cell("elsewhere", 1)])]);
      const image = (await store.image(3)) as Image;
      await store.save([changes(3, 8, [cell("k0001", 2), cell("new", 1)], { ops: [op("later", 8)] })]);
      const second = (await store.image(3)) as Image;
      const seen = await all(image.cells);
      assert.equal(image.position.seq, 7);
      assert.deepEqual(plain(seen), plain(cells));
      assert.deepEqual(
        (await all(image.ops)).map(({ id }) => id),
        ["o"],
      );
      for await (const _ of second.cells) break;
      await store.clear(3);
      assert.equal(await store.image(3), undefined);
    },
  },
  {
    says: "search finds one type's keys by prefix in order, page after page, over all shards",
    async holds({ reopen, assert }) {
      const store = await reopen();
      const keys = ["a", "a1", "a10", "a2", "a%", "a_", "b", "A", ""];
      await store.save(keys.map((key, shard) => changes(shard, 1, [cell(key, 1), { ...cell(key, 9), type: "acc" }])));
      const paged: string[] = [];
      for (let after: string | undefined; ; after = paged.at(-1)) {
        const page = await store.search("account", "a", after, 2);
        assert.ok(page.every(({ version }) => version === 1));
        paged.push(...page.map(({ key }) => key));
        if (page.length < 2) break;
      }
      assert.deepEqual(paged, ["a", "a%", "a1", "a10", "a2", "a_"]);
      assert.equal((await store.search("account", "", undefined, 100)).length, keys.length);
      assert.equal((await store.search("account", "nothing", undefined, 100)).length, 0);
    },
  },
];

/** Registers the kit's tests under `name`. `bed` is called once per test. */
export function storeContract(name: string, tools: KitTools, bed: () => Promise<StoreBed>): void {
  for (const rule of rules)
    tools.test(`${name} store: ${rule.says}`, async () => {
      const storage = await bed();
      let store: Store | undefined;
      const reopen = async (): Promise<Store> => {
        await store?.close();
        return (store = await storage.open());
      };
      try {
        await rule.holds({ reopen, assert: tools.assert });
      } finally {
        await store?.close();
        await storage.destroy();
      }
    });
}

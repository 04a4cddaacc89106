// The engine kit's rules about the registry of members. It may be a little old, so what is put is looked for until it shows.

import { bytesOf, codeOf, created, entry, kinds, type Rule } from "./contract-tools.ts";
import type { Engine } from "./engine.ts";

type Listed = Record<string, number[]>;

const plain = (members: ReadonlyMap<string, Uint8Array>): Listed =>
  Object.fromEntries([...members.keys()].toSorted().map((key) => [key, [...(members.get(key) ?? [])]]));

/** The list once it is as wanted, or as it stands after many looks. */
async function listed(engine: Engine, wanted: Listed): Promise<Listed> {
  const text = JSON.stringify(plain(new Map(Object.entries(wanted).map(([key, value]) => [key, bytesOf(...value)]))));
  let found = plain(await engine.registry.list());
  for (let look = 0; look < 1000 && JSON.stringify(found) !== text; look++) found = plain(await engine.registry.list());
  return found;
}

export const registryRules: readonly Rule[] = [
  {
    says: "what is put into the registry, replaced or deleted shows through every handle",
    async holds(stage) {
      const [a, b] = [await created(stage), await stage.open()];
      const { assert } = stage;
      assert.deepEqual(await listed(b, {}), {});
      await a.registry.put("node-1", bytesOf(1));
      await b.registry.put("node-2", bytesOf(2, 2));
      for (const engine of [a, b])
        assert.deepEqual(await listed(engine, { "node-1": [1], "node-2": [2, 2] }), {
          "node-1": [1],
          "node-2": [2, 2],
        });
      await b.registry.put("node-1", bytesOf(9, 0, 255));
      assert.deepEqual(await listed(a, { "node-1": [9, 0, 255], "node-2": [2, 2] }), {
        "node-1": [9, 0, 255],
        "node-2": [2, 2],
      });
      await a.registry.delete("node-2");
      await a.registry.delete("node-2");
      await a.registry.delete("never-there");
      for (const engine of [a, b])
        assert.deepEqual(await listed(engine, { "node-1": [9, 0, 255] }), { "node-1": [9, 0, 255] });
      await a.registry.put("node-2", bytesOf());
      assert.deepEqual(await listed(b, { "node-1": [9, 0, 255], "node-2": [] }), {
        "node-1": [9, 0, 255],
        "node-2": [],
      });
    },
  },
  {
    says: "many members who put at once, through three handles and beside appends, are all listed",
    async holds(stage) {
      const engines = [await created(stage), await stage.open(), await stage.open()];
      const names = Array.from({ length: 60 }, (_, i) => `member-${i}`);
      const puts = names.map((name, i) => engines[i % 3]!.registry.put(name, bytesOf(i)));
      const appends = engines.map((engine, shard) => kinds(engine, entry(shard, 1, 0)));
      await Promise.all(puts);
      stage.assert.deepEqual((await Promise.all(appends)).flat(), Array(3).fill("durable"));
      const wanted: Listed = Object.fromEntries(names.map((name, i) => [name, [i]]));
      for (const engine of engines) stage.assert.deepEqual(await listed(engine, wanted), wanted);
    },
  },
  {
    says: "a value of 8 KiB is kept whole; a larger one is refused TOO_LARGE and leaves what was there",
    async holds(stage) {
      const engine = await created(stage);
      const { assert } = stage;
      const largest = Uint8Array.from({ length: 8192 }, (_, i) => (i * 31) & 255);
      await engine.registry.put("node", largest);
      assert.equal(await codeOf(engine.registry.put("node", new Uint8Array(8193))), "TOO_LARGE");
      assert.equal(await codeOf(engine.registry.put("other", new Uint8Array(1024 * 1024))), "TOO_LARGE");
      assert.deepEqual(await listed(engine, { node: [...largest] }), { node: [...largest] });
    },
  },
  {
    says: "hostile registry keys are refused BAD_INPUT, and every key of the documented characters is kept as it is",
    async holds(stage) {
      const engine = await created(stage);
      const { assert } = stage;
      const hostile = [
        "",
        "A",
        "a b",
        "a/b",
        "../x",
        "a\\b",
        "a>b",
        "*",
        "$kv",
        "a\nb",
        "a\n",
        "nul\0",
        "é",
        "%2e",
        "' OR 1=1 --",
        "x".repeat(201),
      ];
      for (const key of hostile) {
        assert.equal(await codeOf(engine.registry.put(key, bytesOf(1))), "BAD_INPUT", JSON.stringify(key));
        assert.equal(await codeOf(engine.registry.delete(key)), "BAD_INPUT", JSON.stringify(key));
      }
      const odd = [".", "..", "...", ".a", "a.", "a..b", "-", "--help", "_", "0", "__proto__", "x".repeat(200)];
      for (const [i, key] of odd.entries()) await engine.registry.put(key, bytesOf(i));
      let found = await engine.registry.list();
      for (let look = 0; look < 1000 && found.size < odd.length; look++) found = await engine.registry.list();
      assert.deepEqual([...found.keys()].toSorted(), odd.toSorted());
      for (const [i, key] of odd.entries()) assert.deepEqual([...(found.get(key) ?? [])], [i], key);
      for (const key of odd) await engine.registry.delete(key);
      assert.deepEqual(await listed(engine, {}), {});
    },
  },
  {
    says: "what a caller does later with a value that it put or was given is its own affair",
    async holds(stage) {
      const engine = await created(stage);
      const around = bytesOf(7, 1, 2, 3, 7);
      await engine.registry.put("node", around.subarray(1, 4));
      around.fill(99);
      await listed(engine, { node: [1, 2, 3] });
      (await engine.registry.list()).get("node")?.fill(9);
      stage.assert.deepEqual(await listed(engine, { node: [1, 2, 3] }), { node: [1, 2, 3] });
    },
  },
];

// The engine kit's rules about the registry of members. It may be a little old, so what is put is looked for until it shows.

import { bytesOf, codeOf, created, entry, kinds, type Rule } from "./contract-tools.ts";
import type { Engine, RegistryLook } from "./engine.ts";

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

/** A look that shows what is waited for, or the last of many. */
async function looked(
  { registry }: Engine,
  since: string | undefined,
  keys: readonly string[],
  isThere: (look: RegistryLook) => boolean,
): Promise<RegistryLook> {
  let look = await registry.look(since, keys);
  for (let n = 0; n < 1000 && !isThere(look); n++) look = await registry.look(since, keys);
  return look;
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
      assert.equal(await codeOf(engine.registry.renew("node", new Uint8Array(8193))), "TOO_LARGE");
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
        assert.equal(await codeOf(engine.registry.renew(key, bytesOf(1))), "BAD_INPUT", JSON.stringify(key));
        assert.equal(await codeOf(engine.registry.look(undefined, [key])), "BAD_INPUT", JSON.stringify(key));
        assert.equal(await codeOf(engine.registry.delete(key)), "BAD_INPUT", JSON.stringify(key));
      }
      const odd = [".", "..", "...", ".a", "a.", "a..b", "-", "--help", "_", "0", "__proto__", "x".repeat(200)];
      for (const [i, key] of odd.entries()) await engine.registry.put(key, bytesOf(i));
      let found = await engine.registry.list();
      for (let look = 0; look < 1000 && found.size < odd.length; look++) found = await engine.registry.list();
      assert.deepEqual([...found.keys()].toSorted(), odd.toSorted());
      const seen = await engine.registry.look(undefined, odd);
      for (const shown of [seen.told, seen.found]) assert.deepEqual(plain(shown), plain(found));
      for (const [i, key] of odd.entries()) assert.deepEqual([...(found.get(key) ?? [])], [i], key);
      for (const key of odd) await engine.registry.delete(key);
      assert.deepEqual(await listed(engine, {}), {});
    },
  },
  {
    says: "a look tells what was put since the look before, and renewed values only to whoever asks for the key",
    async holds(stage) {
      const [a, b] = [await created(stage), await stage.open()];
      const { assert } = stage;
      await a.registry.put("quiet", bytesOf(1));
      await a.registry.put("loud", bytesOf(2));
      await listed(b, { loud: [2], quiet: [1] });
      const first = await b.registry.look(undefined, ["nobody"]);
      assert.deepEqual([plain(first.told), plain(first.found)], [{ loud: [2], quiet: [1] }, {}]);
      await a.registry.renew("quiet", bytesOf(3));
      const second = await looked(b, first.cursor, ["quiet"], (look) => look.found.get("quiet")?.[0] === 3);
      assert.deepEqual([plain(second.told), plain(second.found)], [{}, { quiet: [3] }]);
      await a.registry.put("loud", bytesOf(4));
      const third = await looked(b, second.cursor, [], (look) => look.told.size > 0);
      assert.deepEqual([plain(third.told), plain(third.found)], [{ loud: [4] }, {}]);
      const fourth = await b.registry.look(third.cursor, ["loud", "quiet"]);
      assert.deepEqual([plain(fourth.told), plain(fourth.found)], [{}, { loud: [4], quiet: [3] }]);
      for (const unknown of [undefined, "", "x", "999999.999999"])
        assert.deepEqual(plain((await b.registry.look(unknown, [])).told), { loud: [4], quiet: [3] }, unknown);
      await a.registry.delete("loud");
      const fifth = await looked(b, fourth.cursor, ["loud", "quiet"], (look) => !look.found.has("loud"));
      assert.deepEqual([plain(fifth.told), plain(fifth.found)], [{}, { quiet: [3] }]);
      await a.registry.put("loud", bytesOf(5));
      assert.deepEqual(plain((await looked(b, fifth.cursor, [], (look) => look.told.size > 0)).told), { loud: [5] });
    },
  },
  {
    says: "what is renewed where nothing was put is shown by no look, until it is put",
    async holds(stage) {
      const [a, b] = [await created(stage), await stage.open()];
      const { assert } = stage;
      await a.registry.put("there", bytesOf(1));
      await a.registry.renew("not-there", bytesOf(2));
      const { cursor, told, found } = await looked(b, undefined, ["there", "not-there"], (look) => look.told.size > 0);
      assert.deepEqual([plain(told), plain(found)], [{ there: [1] }, { there: [1] }]);
      await a.registry.put("not-there", bytesOf(3));
      const after = await looked(b, cursor, ["not-there"], (look) => look.told.size > 0 && look.found.size > 0);
      assert.deepEqual([plain(after.told), plain(after.found)], [{ "not-there": [3] }, { "not-there": [3] }]);
    },
  },
  {
    says: "whoever goes from look to look is told every put of many that come at once, through three handles",
    async holds(stage) {
      const engines = [await created(stage), await stage.open(), await stage.open()];
      const names = Array.from({ length: 60 }, (_, i) => `member-${i}`);
      let isDone = false;
      const puts = Promise.all(
        names.map(async (name, i) => {
          const { registry } = engines[i % 3]!;
          await registry.put(name, bytesOf(i));
          await registry.renew(name, bytesOf(i, i));
        }),
      ).then(() => (isDone = true));
      const heard = new Set<string>();
      let cursor: string | undefined;
      for (let last = false; !last;) {
        last = isDone;
        const look = await looked(engines[1]!, cursor, [], () => true);
        for (const key of look.told.keys()) heard.add(key);
        cursor = look.cursor;
      }
      await puts;
      for (let n = 0; n < 1000 && heard.size < names.length; n++)
        for (const key of (await engines[1]!.registry.look(cursor, [])).told.keys()) heard.add(key);
      stage.assert.deepEqual([...heard].toSorted(), names.toSorted());
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

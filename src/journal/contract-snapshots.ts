// The engine kit's rules about snapshots.

import { bytesOf, codeOf, created, gather, type Rule, snapshotAt } from "./contract-tools.ts";

export const snapshotRules: readonly Rule[] = [
  {
    says: "a snapshot comes back in the chunks it was put in, from any handle and after reopening",
    async holds(stage) {
      const engine = await created(stage);
      const other = await stage.open();
      const chunks = [bytesOf(1, 2, 3), bytesOf(), bytesOf(0), bytesOf(255, 0, 255)];
      await engine.snapshots.put(snapshotAt(1, 10), chunks);
      stage.assert.deepEqual(await gather(other.snapshots.get(snapshotAt(1, 10))), chunks);
      await engine.close();
      await other.close();
      stage.assert.deepEqual(await gather((await stage.open()).snapshots.get(snapshotAt(1, 10))), chunks);
    },
  },
  {
    says: "a snapshot that does not exist is NOT_FOUND, whichever part of its name differs",
    async holds(stage) {
      const engine = await created(stage);
      const name = snapshotAt(1, 10);
      await engine.snapshots.put(name, [bytesOf(1)]);
      const others = [{ shard: 2 }, { generation: 2 }, { epoch: 2 }, { seq: 11 }, { hash: "cd".repeat(32) }];
      for (const other of others)
        stage.assert.equal(
          await codeOf(gather(engine.snapshots.get({ ...name, ...other }))),
          "NOT_FOUND",
          JSON.stringify(other),
        );
    },
  },
  {
    says: "snapshots are listed per shard, newest generation and then newest sequence first, with their whole names",
    async holds(stage) {
      const engine = await created(stage);
      const names = [snapshotAt(1, 9), snapshotAt(1, 200), snapshotAt(1, 30), snapshotAt(1, 4, 2), snapshotAt(10, 5)];
      for (const name of names) await engine.snapshots.put(name, [bytesOf(1)]);
      stage.assert.deepEqual(await engine.snapshots.list(1), [names[3], names[1], names[2], names[0]]);
      stage.assert.deepEqual(await engine.snapshots.list(10), [names[4]]);
      stage.assert.deepEqual(await engine.snapshots.list(3), []);
    },
  },
  {
    says: "putting a snapshot again replaces it; deleting removes it and it alone, once or twice",
    async holds(stage) {
      const engine = await created(stage);
      const { assert } = stage;
      const [name, next] = [snapshotAt(1, 10), snapshotAt(1, 11)];
      await engine.snapshots.put(name, [bytesOf(1), bytesOf(2), bytesOf(3)]);
      await engine.snapshots.put(next, [bytesOf(9)]);
      await engine.snapshots.put(name, [bytesOf(4)]);
      assert.deepEqual(await gather(engine.snapshots.get(name)), [bytesOf(4)]);
      await engine.snapshots.delete(name);
      await engine.snapshots.delete(name);
      assert.deepEqual(await engine.snapshots.list(1), [next]);
      assert.equal(await codeOf(gather(engine.snapshots.get(name))), "NOT_FOUND");
      assert.deepEqual(await gather(engine.snapshots.get(next)), [bytesOf(9)]);
    },
  },
  {
    says: "a source that fails lists nothing, and leaves an older snapshot of the name as it was",
    async holds(stage) {
      const engine = await created(stage);
      const { assert } = stage;
      async function* failing(): AsyncGenerator<Uint8Array> {
        yield bytesOf(7);
        yield new Uint8Array(300_000);
        throw new Error("the source failed");
      }
      assert.equal(await codeOf(engine.snapshots.put(snapshotAt(1, 10), failing())), "Error: the source failed");
      assert.deepEqual(await engine.snapshots.list(1), []);
      assert.equal(await codeOf(gather(engine.snapshots.get(snapshotAt(1, 10)))), "NOT_FOUND");
      await engine.snapshots.put(snapshotAt(1, 11), [bytesOf(1)]);
      assert.ok((await codeOf(engine.snapshots.put(snapshotAt(1, 11), failing()))) !== "resolved");
      assert.deepEqual(await gather(engine.snapshots.get(snapshotAt(1, 11))), [bytesOf(1)]);
      assert.deepEqual(await engine.snapshots.list(1), [snapshotAt(1, 11)]);
    },
  },
  {
    says: "a snapshot that is being put is not listed before it is whole, and appends go on meanwhile",
    async holds(stage) {
      const engine = await created(stage);
      const { assert } = stage;
      async function* watched(): AsyncGenerator<Uint8Array> {
        yield bytesOf(1);
        assert.deepEqual(await engine.snapshots.list(1), []);
        const [result] = await engine.append([{ shard: 1, generation: 1, epoch: 1, expected: 0, record: bytesOf(1) }]);
        assert.equal(result?.kind, "durable");
        yield bytesOf(2);
      }
      await engine.snapshots.put(snapshotAt(1, 10), watched());
      assert.deepEqual(await engine.snapshots.list(1), [snapshotAt(1, 10)]);
    },
  },
  {
    says: "a snapshot of 5 MiB and an empty one come back whole",
    async holds(stage) {
      const engine = await created(stage);
      const chunks = Array.from({ length: 5 }, (_, n) =>
        Uint8Array.from({ length: 1024 * 1024 }, (_, i) => (i * 31 + n) & 255),
      );
      await engine.snapshots.put(snapshotAt(1, 10), chunks);
      await engine.snapshots.put(snapshotAt(1, 11), []);
      const back = await gather(engine.snapshots.get(snapshotAt(1, 10)));
      stage.assert.equal(back.length, 5);
      for (const [n, chunk] of back.entries())
        stage.assert.ok(chunk.every((byte, i) => byte === chunks[n]![i]) && chunk.length === chunks[n]!.length);
      stage.assert.deepEqual(await gather(engine.snapshots.get(snapshotAt(1, 11))), []);
      stage.assert.equal((await engine.snapshots.list(1)).length, 2);
    },
  },
  {
    says: "hostile snapshot names are kept as they are or refused, never obeyed",
    async holds(stage) {
      const engine = await created(stage);
      const { assert } = stage;
      const hashes = [
        "",
        "../../etc/passwd",
        "a/b",
        "%2e%2e",
        "' OR 1=1 --",
        "nul\0byte",
        "x".repeat(300),
        "*",
        ">",
        "é",
        " 0 1 2",
      ];
      const kept: string[] = [];
      for (const [i, hash] of hashes.entries()) {
        const name = snapshotAt(1, hashes.length - i, 1, hash);
        if ((await codeOf(engine.snapshots.put(name, [bytesOf(i)]))) === "resolved") {
          kept.push(hash);
          assert.deepEqual(await gather(engine.snapshots.get(name)), [bytesOf(i)], hash);
        }
      }
      assert.deepEqual(
        (await engine.snapshots.list(1)).map((name) => name.hash),
        kept,
      );
      for (const name of await engine.snapshots.list(1)) await engine.snapshots.delete(name);
      assert.deepEqual(await engine.snapshots.list(1), []);
      assert.deepEqual((await engine.identify())?.name, "kit");
    },
  },
];

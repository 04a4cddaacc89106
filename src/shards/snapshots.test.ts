import assert from "node:assert/strict";
import { test } from "node:test";
import { SheafError, toHex } from "../base/index.ts";
import { encodeSnapshot, memoryEngine, noTip, recordCodec } from "../journal/index.ts";
import { simHost } from "../sim/sim-host.ts";
import type { Shard } from "./shard.ts";
import { writeSnapshot } from "./snapshots.ts";
import { memoryStore } from "./store-memory.ts";

test("snapshots: a copy of what the engine has lost writes none, and nothing is trimmed behind one that it wrote before", async () => {
  const host = simHost();
  const engine = memoryEngine();
  const cluster = "c".repeat(32);
  await engine.create({ id: cluster, name: "c", shards: 1, createdAt: 1 });
  const codec = recordCodec({ ...host, cluster });
  const hashes: Uint8Array[] = [];
  for (let seq = 1, prev = noTip.hash; seq <= 4; seq++) {
    const header = { cluster, shard: 0, generation: 1, epoch: 1, seq, prev, at: seq };
    const { bytes, hash } = codec.encode({ header, payload: { kind: "noop" } });
    await engine.append([{ shard: 0, generation: 1, epoch: 1, expected: seq - 1, record: bytes }]);
    hashes.push((prev = hash));
  }
  const snapshotOptions = { ...host, cluster };
  const ground = { host, engine, codec, snapshotOptions, meters: { snapshots: { add: () => {} } } };
  const shard = { number: 0, ground } as unknown as Shard;
  const lost = new Uint8Array(32).fill(7);
  const write = async (seq: number, hash: Uint8Array | undefined): Promise<unknown> => {
    const store = memoryStore();
    const position = { generation: 1, epoch: 1, seq, hash: hash!, at: 1, extra: new Uint8Array(0) };
    await store.save([{ shard: 0, position, cells: [], ops: [], forgetOps: [] }]);
    return writeSnapshot(shard, store, () => false);
  };
  const listed = async (): Promise<number[]> => (await engine.snapshots.list(0)).map(({ seq }) => seq);
  await write(2, hashes[1]);
  await assert.rejects(write(3, lost), { code: "CORRUPT" });
  assert.deepEqual(await listed(), [2]);
  const old = { shard: 0, generation: 1, epoch: 1, seq: 3, hash: toHex(lost) };
  await engine.snapshots.put(old, encodeSnapshot(snapshotOptions, old, []));
  await write(4, hashes[3]);
  assert.deepEqual(await listed(), [4, 2]);
  assert.equal((await engine.read(0, 1, 1)).first, 2);
});

test("snapshots: when one cannot be written, the store is not left with an image that nobody reads", async () => {
  const host = simHost();
  const memory = memoryEngine();
  const put = (): Promise<void> => Promise.reject(new SheafError("ENGINE_UNAVAILABLE"));
  const engine = { ...memory, snapshots: { ...memory.snapshots, put } };
  const codec = recordCodec({ ...host, cluster: "c".repeat(32) });
  const ground = { host, engine, codec, snapshotOptions: { ...host, cluster: "c".repeat(32) } };
  await memory.create({ id: "c".repeat(32), name: "c", shards: 1, createdAt: 1 });
  for (const pages of [0, 3]) {
    let closed = false;
    let unread = 2;
    // As a store that holds a connection until both streams were read, or one was left early.
    async function* stream(): AsyncGenerator<never[]> {
      if (closed) throw new SheafError("NOT_FOUND");
      let page = 0;
      try {
        for (; page < pages; page++) yield [];
      } finally {
        if (--unread === 0 || page < pages) closed = true;
      }
    }
    const position = { generation: 1, epoch: 1, seq: 3, hash: new Uint8Array(32), at: 1, extra: new Uint8Array(0) };
    const store = { ...memoryStore(), image: async () => ({ position, cells: stream(), ops: stream() }) };
    const shard = { number: 0, ground } as unknown as Shard;
    await assert.rejects(
      writeSnapshot(shard, store, () => false),
      { code: "ENGINE_UNAVAILABLE" },
    );
    assert.ok(closed);
  }
});

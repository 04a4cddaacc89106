import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import type { Append, Cluster, Engine, Head } from "../../journal/index.ts";
import { postgresEngine } from "./engine.ts";
import { type Server, serverOfThisFile, serverTest as test } from "./server.fixture.ts";

const server = serverOfThisFile();
const cluster: Cluster = { id: "0f".repeat(16), name: "bank", shards: 16, createdAt: 1 };
const shardsEach = 8;

/** A record that tells its place. */
const numbered = (shard: number, seq: number): Uint8Array => Buffer.from(`${shard}:${seq}:${"x".repeat(seq % 700)}`);

/** What one node's shards were answered. */
type Told = { readonly acked: Map<number, number>; unknown: number; refused: number };

/** Appends to its own shards until told to stop, and goes on from where the head is. A look at it does not decide what is
 *  unknown: a dying server may show an old head though it has committed what it will not answer, and the next append meets that (F5). */
async function load(engine: Engine, shards: readonly number[], told: Told, isOver: () => boolean): Promise<void> {
  const heads = new Map(shards.map((shard) => [shard, 0]));
  const unsure = new Set<number>();
  while (!isOver()) {
    const batch = [...heads].map(([shard, seq]): Append => ({
      shard,
      generation: 1,
      epoch: 1,
      expected: seq,
      record: numbered(shard, seq + 1),
    }));
    let isDoubtful = false;
    for (const [i, result] of (await engine.append(batch)).entries()) {
      const { shard, expected } = batch[i]!;
      if (result.kind === "durable") {
        heads.set(shard, expected + 1);
        told.acked.set(shard, expected + 1);
        unsure.delete(shard);
      } else {
        assert.ok(result.kind !== "fenced" || unsure.has(shard), "there is no other writer");
        if (result.kind === "unknown") {
          told.unknown++;
          unsure.add(shard);
        } else if (result.kind === "refused") told.refused++;
        isDoubtful = true;
      }
    }
    if (!isDoubtful) continue;
    let found: readonly Head[] = [];
    while (found.length === 0 && !isOver()) found = await engine.barrier(shards).catch(() => []);
    for (const { shard, seq } of found) {
      assert.ok(seq >= (told.acked.get(shard) ?? 0), `shard ${shard} was acknowledged further than ${seq}`);
      heads.set(shard, seq);
    }
  }
}

async function verify(engine: Engine, acked: ReadonlyMap<number, number>): Promise<number> {
  let records = 0;
  for (const [shard, seq] of acked) {
    let next = 1;
    for (;;) {
      const { entries, head } = await engine.read(shard, next, 1000);
      for (const entry of entries) {
        assert.equal(entry.seq, next);
        assert.deepEqual(Buffer.from(entry.record), Buffer.from(numbered(shard, next)));
        next++;
      }
      if (next > head.seq) break;
    }
    assert.ok(next - 1 >= seq, `shard ${shard} lost ${seq - next + 1} acknowledged records`);
    records += next - 1;
  }
  return records;
}

async function crash(it: Server, told: Told, isOver: () => boolean): Promise<void> {
  const at = (): number => Math.max(0, ...told.acked.values());
  const from = at();
  while (at() < from + 20 && !isOver()) await pause(5);
  await it.stop("immediate");
  await it.start();
}

test("server crash: over five immediate stops under load no acknowledged record is lost, and journals have no gap", async () => {
  const it = await server();
  const engines = await Promise.all([1, 2].map(() => postgresEngine({ url: it.url() })));
  await engines[0]!.create(cluster);
  const told: Told = { acked: new Map(), unknown: 0, refused: 0 };
  let isOver = false;
  const loads = engines.map((engine, n) => {
    const shards = Array.from({ length: shardsEach }, (_, i) => n * shardsEach + i);
    return load(engine, shards, told, () => isOver);
  });
  const failed = Promise.all(loads);
  try {
    for (let n = 0; n < 5; n++) await Promise.race([crash(it, told, () => isOver), failed]);
  } finally {
    isOver = true;
  }
  await failed;
  assert.ok(told.unknown > 0, "some appends were under way when the server stopped");
  assert.ok((await verify(engines[0]!, told.acked)) >= 5 * 20);
  await Promise.all(engines.map((engine) => engine.close()));
});

test("server crash: watches come back by themselves, and say that anything may have grown", async () => {
  const it = await server();
  const [engine, other] = await Promise.all([1, 2].map(() => postgresEngine({ url: it.url() })));
  let hints: (readonly number[] | undefined)[] = [];
  const told = async (holds: (shards: readonly number[] | undefined) => boolean): Promise<void> => {
    while (!hints.some(holds)) await pause(2);
    hints = [];
  };
  const end = engine!.watch((shards) => void hints.push(shards));
  await told((shards) => shards === undefined);
  await it.stop("immediate");
  await it.start();
  await told((shards) => shards === undefined);
  const [{ epoch, seq } = { epoch: 0, seq: 0 }] = await other!.barrier([3]);
  const one: Append = { shard: 3, generation: 1, epoch, expected: seq, record: numbered(3, seq + 1) };
  assert.equal((await other!.append([one]))[0]?.kind, "durable");
  await told((shards) => shards?.includes(3) ?? false);
  end();
  await engine!.close();
  await other!.close();
});

test("server crash: the registry may be empty afterwards, and takes members again; looks from before it tell all", async () => {
  const it = await server();
  const engine = await postgresEngine({ url: it.url() });
  for (const key of ["a", "b", "c"]) await engine.registry.put(key, Uint8Array.of(1));
  const { cursor } = await engine.registry.look(undefined, []);
  await it.stop("immediate");
  await it.start();
  await engine.registry.put("b", Uint8Array.of(2));
  assert.deepEqual([...(await engine.registry.list()).keys()].includes("b"), true);
  assert.deepEqual([...((await engine.registry.look(cursor, [])).told.get("b") ?? [])], [2]);
  await engine.close();
});

test("server: a registry of an earlier build is told whole, and numbers what is put into it from then on", async () => {
  const it = await server();
  const schema = "earlier";
  const first = await postgresEngine({ url: it.url(), schema });
  await first.create(cluster);
  await first.close();
  await it.sql(`ALTER TABLE ${schema}.member DROP COLUMN told; INSERT INTO ${schema}.member VALUES ('old', '\\x01')`);
  const engine = await postgresEngine({ url: it.url(), schema });
  const before = await engine.registry.look(undefined, ["old"]);
  assert.deepEqual([[...before.told.keys()], [...before.found.keys()]], [["old"], ["old"]]);
  await engine.registry.put("new", Uint8Array.of(2));
  const after = await engine.registry.look(before.cursor, []);
  assert.ok(after.told.has("new"));
  assert.equal((await engine.registry.look(after.cursor, [])).told.size, 0);
  await engine.close();
});

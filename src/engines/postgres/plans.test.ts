import assert from "node:assert/strict";
import type { Cluster } from "../../journal/index.ts";
import { postgresEngine } from "./engine.ts";
import { serverOfThisFile, serverTest as test } from "./server.fixture.ts";

const server = serverOfThisFile();
const cluster: Cluster = { id: "0f".repeat(16), name: "bank", shards: 4, createdAt: 1 };

test("postgres: journals are looked up, never read whole, however much they have grown since the engine first asked", async () => {
  const { url, sql } = await server();
  const engine = await postgresEngine({ url: url(), schema: "plans" });
  await engine.create(cluster);
  const wholeReads = async (): Promise<unknown> => {
    const [row] = await sql(
      "SELECT seq_scan FROM pg_stat_all_tables WHERE schemaname = 'plans' AND relname = 'record'",
    );
    return row?.["seq_scan"];
  };
  await sql("SELECT pg_stat_force_next_flush()"); // of the connections that have made the tables, which is closed
  const before = await wholeReads();
  const everything = async (seq: number): Promise<void> => {
    await engine.append([0, 1, 2, 3].map((shard) => ({ shard, generation: 1, epoch: 1, expected: seq, record })));
    await engine.barrier([0, 1, 2, 3]);
    const asks = [0, 1, 2, 3].map((shard) => ({ shard, from: seq + 1 }));
    assert.equal((await engine.tail(asks, 10)).length, 4);
    assert.equal((await engine.read(2, seq + 1, 10)).entries.length, 1);
    if (seq % 50 === 49) await engine.trim(1, seq - 10);
  };
  const record = new Uint8Array(200);
  for (let seq = 0; seq < 200; seq++) await everything(seq);
  await engine.close(); // Each of its connections tells what it has read as it ends.
  assert.equal(await wholeReads(), before);
});

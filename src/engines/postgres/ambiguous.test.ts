import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after } from "node:test";
import type { Append, AppendResult, Cluster, Engine } from "../../journal/index.ts";
import { type Proxied, type TcpProxy, tcpProxy } from "../tcp-proxy.fixture.ts";
import { postgresEngine } from "./engine.ts";
import { type Server, serverOfThisFile, serverTest as test } from "./server.fixture.ts";

const opened: (() => Promise<void>)[] = [];
after(() => Promise.all(opened.map((close) => close())));
const server = serverOfThisFile();
const cluster: Cluster = { id: "0f".repeat(16), name: "bank", shards: 64, createdAt: 1 };
let schemas = 0;

const recordOf = (round: number): Uint8Array => createHash("sha512").update(String(round)).digest();
const next = (shard: number, expected: number, record: Uint8Array): Append => ({
  shard,
  generation: 1,
  epoch: 1,
  expected,
  record,
});
const appendOne = async (engine: Engine, one: Append): Promise<AppendResult> => (await engine.append([one]))[0]!;

/** A cluster, an engine that reaches it through a proxy, and one that reaches it directly. */
async function bed(
  patienceMs: number,
): Promise<{ server: Server; proxy: TcpProxy; far: Engine; near: Engine; schema: string; close(): Promise<void> }> {
  const it = await server();
  const schema = `ambiguous_${++schemas}`;
  const proxy = await tcpProxy({ path: `${it.dir}/.s.PGSQL.5432` });
  const near = await postgresEngine({ url: it.url(), schema });
  await near.create(cluster);
  const url = `postgres://sheaf@127.0.0.1:${proxy.port}/postgres`;
  const far = await postgresEngine({ url, schema, patienceMs, appendConnections: 1 });
  const close = async (): Promise<void> => {
    await far.close();
    await near.close();
    await proxy.close();
  };
  opened.push(close);
  return { server: it, proxy, far, near, schema, close };
}

/** Whether an append whose answer was lost has happened: by the entry at expected + 1, which is filled when it is empty, so
 *  that a copy which is still on its way cannot land later (F5). */
async function decide(engine: Engine, one: Append): Promise<"applied" | "not-applied"> {
  for (;;) {
    const { entries } = await engine.read(one.shard, one.expected + 1, 1);
    if (entries[0]) return Buffer.compare(entries[0].record, one.record) === 0 ? "applied" : "not-applied";
    const noop = { ...one, record: Uint8Array.of(0) };
    if ((await appendOne(engine, noop)).kind === "durable") return "not-applied";
  }
}

/** Deterministic, so that a failure can be had again. */
function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * sides);
  };
}

test("ambiguous append: 500 whose answer was lost are each decided by the entry at expected + 1, and happen once or never (P4, F5)", async () => {
  const { proxy, far, near, close } = await bed(150);
  const roll = dice(7);
  /** What becomes of the next append that passes the proxy. */
  let fault: ((connection: Proxied) => void) | undefined;
  const watch = (connection: Proxied): void =>
    connection.onBytes("up", (bytes) => {
      if (!fault || !bytes.includes("append\0")) return;
      const strike = fault;
      fault = undefined;
      strike(connection);
    });
  for (const connection of proxy.connections()) watch(connection);
  proxy.onConnection(watch);

  const late: Proxied[] = [];
  const faults: ((connection: Proxied) => void)[] = [
    (connection) => connection.cutAfter("down", roll(160)),
    (connection) => connection.cutAfter("down", roll(160)),
    (connection) => connection.cutAfter("down", 0),
    (connection) => connection.cutAfter("up", roll(400)),
    (connection) => connection.cutAfter("up", roll(400)),
  ];
  const stalls: ((connection: Proxied) => void)[] = [
    (connection) => connection.lose("down"),
    // Arrives after it was given up, and after the place was filled.
    (connection) => (connection.hold("up"), void late.push(connection)),
  ];
  const truth: Uint8Array[] = [];
  const count = { applied: 0, "not-applied": 0, answered: 0 };
  for (let round = 0; count.applied + count["not-applied"] < 500; round++) {
    const one = next(1, truth.length, recordOf(round));
    fault = round % 10 === 9 ? stalls[roll(stalls.length)] : faults[roll(faults.length)];
    const result = await appendOne(far, one);
    if (result.kind === "durable") count.answered++;
    else if (result.kind === "refused") continue; // No connection was had in time, so nothing was sent.
    else assert.equal(result.kind, "unknown", `round ${round}: ${JSON.stringify(result)}`);
    const decided = result.kind === "durable" ? "applied" : await decide(near, one);
    if (result.kind === "unknown") count[decided]++;
    truth.push(decided === "applied" ? one.record : Uint8Array.of(0));
    for (const connection of late.splice(0)) connection.release("up");
  }
  const kept: Uint8Array[] = [];
  while (kept.length < truth.length) {
    const { entries } = await near.read(1, kept.length + 1, 1000);
    kept.push(...entries.map(({ record }) => record));
  }
  assert.equal((await near.barrier([1]))[0]?.seq, truth.length);
  for (const [i, record] of kept.entries())
    assert.ok(Buffer.compare(record, truth[i]!) === 0, `the record at ${i + 1} is not what was decided`);
  assert.ok(count.applied >= 100 && count["not-applied"] >= 100, JSON.stringify(count));
  await close();
});

test("ambiguous append: one that a network held back for long lands nowhere once a claim has written (P37)", async () => {
  const { proxy, far, near, close } = await bed(200);
  assert.equal((await appendOne(far, next(2, 0, recordOf(0)))).kind, "durable");
  for (const connection of proxy.connections()) connection.hold("up");
  const held = proxy.connections();
  const stale = await Promise.all([1, 2, 3].map((expected) => appendOne(far, next(2, expected, recordOf(expected)))));
  assert.deepEqual(
    stale.map(({ kind }) => kind),
    ["unknown", "unknown", "unknown"],
  );
  assert.equal((await appendOne(near, { ...next(2, 1, recordOf(9)), epoch: 2 })).kind, "durable");
  for (const connection of held) connection.release("up");
  assert.equal((await appendOne(near, { ...next(2, 2, recordOf(10)), epoch: 2 })).kind, "durable");
  const { entries } = await near.read(2, 1, 10);
  assert.deepEqual(
    entries.map(({ epoch }) => epoch),
    [1, 2, 2],
  );
  await close();
});

test("ambiguous append: what never left this process is refused, not unknown, and the next one gets through", async () => {
  const { proxy, far, close } = await bed(300);
  assert.equal((await appendOne(far, next(3, 0, recordOf(0)))).kind, "durable");
  proxy.refuse(true);
  proxy.cutAll();
  let result: AppendResult;
  do result = await appendOne(far, next(3, 1, recordOf(1)));
  while (result.kind === "unknown"); // The cut was not noticed yet.
  assert.equal(result.kind, "refused");
  assert.equal((result as { error: { code?: string } }).error.code, "ENGINE_UNAVAILABLE");
  proxy.refuse(false);
  assert.equal((await appendOne(far, next(3, 1, recordOf(1)))).kind, "durable");
  await close();
});

const isWaiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'";

/** Makes commits wait for a standby that there is not. */
async function withGhostStandby(it: Server, run: () => Promise<void>): Promise<void> {
  const set = async (names: string): Promise<void> => {
    await it.sql("SET synchronous_commit = local; SELECT 1");
    await it.sql(`ALTER SYSTEM SET synchronous_standby_names = '${names}'`);
    await it.sql("SELECT pg_reload_conf()");
    const shown = "SELECT current_setting('synchronous_standby_names') AS names";
    while ((await it.sql(shown))[0]?.["names"] !== names) continue;
  };
  await set("ghost");
  try {
    await run();
  } finally {
    await set("");
  }
}

test("ambiguous append: one whose wait for a synchronous standby is cancelled or terminated is unknown, never durable (fact 7)", async () => {
  const { server: it, near, close, schema } = await bed(200);
  const engine = await postgresEngine({ url: it.url(), schema, patienceMs: 20_000 });
  assert.equal((await appendOne(engine, next(4, 0, recordOf(0)))).kind, "durable");
  await withGhostStandby(it, async () => {
    for (const [n, end] of ["pg_cancel_backend", "pg_terminate_backend"].entries()) {
      const waiting = appendOne(engine, next(4, n + 1, recordOf(n + 1)));
      for (let looks = 0; ; looks++) {
        assert.ok(looks < 2000, "the append does not wait for a standby");
        const [found] = await it.sql(isWaiting);
        if (!found) continue;
        await it.sql(`SELECT ${end}($1)`, [found["pid"]]);
        break;
      }
      assert.equal((await waiting).kind, "unknown", end);
    }
  });
  assert.equal((await near.read(4, 1, 10)).entries.length, 3, "the server has committed both, for itself");
  await engine.close();
  await close();
});

test("barrier: where commits wait for a standby, it waits as well, and is refused rather than answered alone", async () => {
  const { server: it, far, close } = await bed(300);
  assert.equal((await far.barrier([1]))[0]?.seq, 0);
  await withGhostStandby(it, async () => {
    await assert.rejects(far.barrier([1]), { code: "ENGINE_UNAVAILABLE" });
    await far.read(1, 1, 10);
  });
  assert.equal((await far.barrier([1]))[0]?.seq, 0);
  await close();
});

// What three nodes do for their callers: reads at copies beside reads at the owner, how soon a follower has what was
// acknowledged, what a hand-over and a lost owner cost those who call meanwhile.

import { execFile } from "node:child_process";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { shardOf } from "../../src/base/index.ts";
import { works } from "../../src/cli/bench.ts";
import app, { Counter } from "../../src/cli/bench-app.ts";
import { quantile } from "../../src/cli/bench-rounds.ts";
import { connect } from "../../src/client/index.ts";
import { type Contender, costed } from "../contender.ts";
import { sqliteCommit, subjectAppend, unnestAppend } from "../limits.ts";
import { embedded, type Nodes, startNodes, type Work, working } from "../ours.ts";
import type { Check, Fact } from "../outcome.ts";
import { engines, type EngineName, type Row } from "../row.ts";
import { groundOf, postgresServer } from "../servers.ts";

const keys = 1000;
const memo = "x".repeat(80);
const shards = 64;

/** Calls without a pause until it is stopped. Fails as soon as one of them does. */
function background(callers: number, call: (caller: number) => Promise<unknown>): { stop(): Promise<unknown> } {
  let stopping = false;
  const one = async (caller: number): Promise<void> => {
    while (!stopping) await call(caller);
  };
  const all = Promise.all(Array.from({ length: callers }, (_, caller) => one(caller)));
  all.catch(() => {});
  return { stop: () => ((stopping = true), all) };
}

/** Sum of a counter over all nodes. */
async function counted({ ready }: Nodes, metric: string): Promise<number> {
  const pages = ready.map(async ({ admin }) => (await fetch(`${admin}/metrics`)).text());
  const of = (page: string): number => Number(new RegExp(`^${metric} (\\S+)$`, "m").exec(page)?.[1] ?? 0);
  return (await Promise.all(pages)).reduce((sum, page) => sum + of(page), 0);
}

export const reads: Row = {
  id: "reads",
  title: "reads at the owner and at copies while 16 callers write, three nodes, embedded engine",
  async run({ sideBySide, ms }) {
    const nodes = await startNodes(embedded, { nodes: 3 });
    const sessions = nodes.ready.map(({ gateway }) => connect(app.contract, { url: gateway, session: "" }));
    const key = (n: number): string => `k${n % keys}`;
    for (let n = 0; n < keys; n++) await works.write.once(nodes.clients[0]!, n, keys);
    let writes = 0;
    const writing = background(16, () => works.write.once(nodes.clients[++writes % 3]!, writes, keys));
    const read = (name: string, work: Work, clients = nodes.clients): Contender => ({
      name,
      role: "ours",
      start: async () => working({ ...nodes, clients, stop: async () => {} }, work),
    });
    const strong: Work = (client, n) => client.entity(Counter, key(n)).total({ consistency: "strong" });
    const at =
      (consistency: "causal" | "eventual"): Work =>
      (client, n) =>
        client.entity(Counter, key(n)).total({ consistency });
    const all = [
      read("strong", strong),
      read("causal, with a session", at("causal"), sessions),
      read("eventual", at("eventual")),
    ];
    const figures = await sideBySide(all, [1, 64, 512]);
    const before = await counted(nodes, "sheaf_journal_barriers_total");
    const { opsPerSec } = await costed(working(nodes, strong), 512, ms);
    // The loop warms up for half of the time before it counts.
    const barriers = (await counted(nodes, "sheaf_journal_barriers_total")) - before;
    const perBarrier = (opsPerSec * (ms + Math.min(1000, ms / 2))) / 1000 / barriers;
    await writing.stop();
    for (const client of sessions) client.close();
    await nodes.stop();
    const rate = (name: string, inFlight: number): number =>
      figures.find((figure) => figure.name === name && figure.inFlight === inFlight)?.opsPerSec ?? Number.NaN;
    const local = ["causal, with a session", "eventual"].flatMap((name) =>
      [1, 64].map((inFlight): Check => {
        const value = rate(name, inFlight) / rate("strong", inFlight);
        return { says: `${name} × strong, ${inFlight} in flight`, value, bound: "at least", target: 10 };
      }),
    );
    const shared: Check = {
      says: "strong reads for each barrier, 512 in flight",
      value: perBarrier,
      bound: "at least",
      target: 50,
    };
    const notes = ["CPU and disk hold what the 16 writers cost as well."];
    return { figures, checks: [...local, shared], notes };
  },
};

/** One key for each shard. */
function keyOfEachShard(): readonly string[] {
  const found = new Map<number, string>();
  for (let n = 0; found.size < shards; n++) {
    const shard = shardOf(Counter.name, `k${n}`, shards);
    if (!found.has(shard)) found.set(shard, `k${n}`);
  }
  return [...found.values()];
}

/** Until a node owns nothing any more, and what it handed over has found its owners. */
async function drained(nodes: Nodes, id: string): Promise<void> {
  for (const until = performance.now() + 30_000; performance.now() < until; await pause(50)) {
    const status = await nodes.status();
    if (status.shards.every(({ owner }) => owner !== null && owner !== id)) return;
  }
  throw new Error("a node that was drained still owns shards after 30 s");
}

export const handOver: Row = {
  id: "handoff",
  title: "a node is drained while one caller for each of 64 shards writes, three nodes, embedded engine",
  async run({ runs, ms, note }) {
    const nodes = await startNodes(embedded, { nodes: 3, shards });
    const callers = keyOfEachShard();
    let times = callers.map((): number[] => []);
    const failures: string[] = [];
    const load = background(callers.length, async (caller) => {
      const began = performance.now();
      const client = nodes.clients[caller % nodes.clients.length]!;
      await client
        .entity(Counter, callers[caller]!)
        .add({ by: 1, memo })
        .catch((error: unknown) => failures.push(String(error)));
      times[caller]!.push(performance.now() - began);
    });
    const taken = (): number[][] => [times, (times = callers.map((): number[] => []))][0]!;
    const found = { before: [] as number[], during: [] as number[], pauses: [] as number[], spans: [] as number[] };
    await pause(ms);
    for (let run = 0; run < runs; run++) {
      const { node } = nodes.ready[run % nodes.ready.length]!;
      taken();
      await pause(3 * ms);
      found.before.push(...taken().flat());
      const began = performance.now();
      await nodes.ask(`/admin/v1/nodes/${node}/drain`);
      await drained(nodes, node);
      found.spans.push(performance.now() - began);
      const during = taken();
      found.during.push(...during.flat());
      found.pauses.push(...during.map((each) => Math.max(0, ...each)));
      note(`drained in ${Math.round(found.spans.at(-1)!)} ms`);
      await nodes.ask(`/admin/v1/nodes/${node}/undrain`);
      await pause(3 * ms);
    }
    await load.stop();
    await nodes.stop();
    const [before, during] = [quantile(found.before, 0.99), quantile(found.during, 0.99)];
    const worst = Math.max(...found.pauses);
    const facts: Fact[] = [
      { name: "drains", value: runs, unit: "" },
      { name: "a drain, half of them within", value: quantile(found.spans, 0.5), unit: "ms" },
      { name: "calls before and during", value: found.before.length + found.during.length, unit: "calls" },
      { name: "p99 before", value: before, unit: "ms" },
      { name: "p99 during", value: during, unit: "ms" },
      { name: "longest call of a shard, half of them within", value: quantile(found.pauses, 0.5), unit: "ms" },
      { name: "longest call of a shard, the worst", value: worst, unit: "ms" },
    ];
    const checks: Check[] = [
      { says: "failed calls", value: failures.length, bound: "at most", target: 0 },
      { says: "p99 during ÷ before", value: during / before, bound: "at most", target: 3 },
      { says: "longest pause of a shard, ms", value: worst, bound: "at most", target: 100 },
    ];
    return { facts, checks, notes: failures.slice(0, 3) };
  },
};

const samples = 200;

/** From the answer to a command until a node that does not own its key tells the new state, in milliseconds. */
async function lagsOf(nodes: Nodes): Promise<number[]> {
  const { shards } = await nodes.status();
  const lags: number[] = [];
  for (let n = 0; n < samples; n++) {
    const key = `k${n % keys}`;
    const { owner } = shards[shardOf(Counter.name, key, shards.length)]!;
    const follower = nodes.ready.findIndex(({ node }) => node !== owner);
    const copy = nodes.clients[follower]!.entity(Counter, key);
    const { total } = await nodes.clients[n % nodes.clients.length]!.entity(Counter, key).add({ by: 1, memo });
    const answeredAt = performance.now();
    while ((await copy.total({ consistency: "eventual" })).total < total);
    lags.push(performance.now() - answeredAt);
  }
  return lags;
}

/** The median time of one commit on the engine itself. */
async function roundTrip(engine: EngineName, ms: number): Promise<number> {
  const postgres = engine === "postgres" ? await postgresServer() : undefined;
  const limit = postgres ? unnestAppend(postgres) : engine === "nats" ? subjectAppend : sqliteCommit;
  const started = await limit.start();
  const { p50Ms } = await costed(started, 1, ms);
  await started.stop();
  await postgres?.server.destroy();
  return p50Ms;
}

export const lag: Row = {
  id: "lag",
  title: "from a command's answer until a follower tells it, three nodes, one caller",
  async run({ ms }) {
    const [facts, checks]: [Fact[], Check[]] = [[], []];
    for (const engine of engines) {
      const trip = await roundTrip(engine, ms);
      const nodes = await startNodes(await groundOf(engine)(), { nodes: 3 });
      const lags = await lagsOf(nodes);
      await nodes.stop();
      const [p50, p99] = [quantile(lags, 0.5), quantile(lags, 0.99)];
      facts.push(
        { name: `${engine}, one commit on the engine, p50`, value: trip, unit: "ms" },
        { name: `${engine}, lag, p50`, value: p50, unit: "ms" },
        { name: `${engine}, lag, p99`, value: p99, unit: "ms" },
      );
      checks.push({ says: `${engine}: lag, p50 ÷ one commit`, value: p50 / trip, bound: "at most", target: 1.5 });
      if (engine !== "nats") checks.push({ says: `${engine}: lag, p99, ms`, value: p99, bound: "at most", target: 20 });
    }
    const notes = ["Seen by asking the follower again and again: the time of one such read is in it."];
    return { facts, checks, notes };
  },
};

type Failover = {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly answered: number;
  readonly failed: number;
  readonly wrong: readonly string[];
};

const failoverBench = fileURLToPath(new URL("../../src/cli/failover.bench.ts", import.meta.url));
const kills = 20;

async function failoverOn(engine: EngineName, how: "kill" | "freeze"): Promise<Failover> {
  const args = [failoverBench, "--kills", String(kills), "--engine", engine, ...(how === "freeze" ? ["--freeze"] : [])];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout) as Failover;
}

export const failover: Row = {
  id: "failover",
  title: `the owner of a key is killed with -9, or frozen, ${kills} times, three nodes, eight callers`,
  async run({ note }) {
    const [facts, checks]: [Fact[], Check[]] = [[], []];
    for (const engine of engines) {
      for (const how of engine === "embedded" ? (["kill"] as const) : (["kill", "freeze"] as const)) {
        const found = await failoverOn(engine, how);
        const name = `${engine}, ${how === "kill" ? "killed" : "frozen"}`;
        note(`${name}: ${found.p50} ms, worst ${found.p99} ms`);
        const times = { p50: found.p50, p90: found.p90, worst: found.p99 };
        for (const [at, value] of Object.entries(times)) facts.push({ name: `${name}, ${at}`, value, unit: "ms" });
        facts.push({ name: `${name}, calls answered`, value: found.answered, unit: "calls" });
        if (how === "kill") checks.push({ says: `${name}: p50, ms`, value: found.p50, bound: "at most", target: 150 });
        const most = how === "kill" ? 500 : 1500;
        checks.push(
          { says: `${name}: worst of ${kills}, ms`, value: found.p99, bound: "at most", target: most },
          { says: `${name}: lost or doubled`, value: found.wrong.length, bound: "at most", target: 0 },
        );
      }
    }
    return { facts, checks };
  },
};

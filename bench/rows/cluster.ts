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
import { clusterWarmUpMs, type Conditions, type Contender, costed, type Figure, warmUp } from "../contender.ts";
import { sqliteCommit, subjectAppend, unnestAppend } from "../limits.ts";
import { embedded, type Nodes, type Work, withNodes, working } from "../ours.ts";
import { type Check, type Fact, type Outcome, rateCheck } from "../outcome.ts";
import { type EngineName, onEachEngine, type Row } from "../row.ts";
import { groundOf, postgresServer } from "../servers.ts";

const keys = 1000;
const memo = "x".repeat(80);
const key = (n: number): string => `k${n % keys}`;
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

const strong: Work = (client, n) => client.entity(Counter, key(n)).total({ consistency: "strong" });
const at =
  (consistency: "causal" | "eventual"): Work =>
  (client, n) =>
    client.entity(Counter, key(n)).total({ consistency });
const local = { causal: "causal, with a session", eventual: "eventual" };

/** Figures of all reads, and how many strong ones shared a barrier with 512 in flight. */
async function readsOf(nodes: Nodes, { sideBySide, ms }: Conditions): Promise<readonly [readonly Figure[], number]> {
  const sessions = nodes.ready.map(({ gateway }) => connect(app.contract, { url: gateway, session: "" }));
  const read = (name: string, work: Work, clients = nodes.clients): Contender => ({
    name,
    role: "ours",
    start: async () => working({ ...nodes, clients, stop: async () => {} }, work),
  });
  const causal = read(local.causal, at("causal"), sessions);
  const kinds = [strong, at("causal"), at("eventual")];
  const all: Work = (client, n) => kinds[n % kinds.length]!(client, n);
  await warmUp(working({ ...nodes, clients: sessions }, all), 512, clusterWarmUpMs);
  const figures = await sideBySide(
    [read("strong", strong), causal, read(local.eventual, at("eventual"))],
    [1, 64, 512],
  );
  for (const client of sessions) client.close();
  let asked = 0;
  const counting: Work = (client, n) => {
    asked++;
    return strong(client, n);
  };
  const before = await counted(nodes, "sheaf_journal_barriers_total");
  await costed(working(nodes, counting), 512, ms);
  return [figures, asked / ((await counted(nodes, "sheaf_journal_barriers_total")) - before)];
}

export const reads: Row = {
  id: "reads",
  title: "reads at the owner and at copies while 16 callers write, three nodes, embedded engine",
  run: (conditions) =>
    withNodes(embedded, { nodes: 3 }, async (nodes) => {
      for (let n = 0; n < keys; n++) await works.write.once(nodes.clients[0]!, n, keys);
      let writes = 0;
      const writing = background(16, () => works.write.once(nodes.clients[++writes % 3]!, writes, keys));
      const [figures, perBarrier] = await readsOf(nodes, conditions);
      await writing.stop();
      const checks = Object.values(local).flatMap((ours) =>
        [1, 64].map((inFlight) => rateCheck(figures, { ours, to: "strong", inFlight }, 10)),
      );
      const shared = { says: "strong reads for each barrier, 512 in flight", value: perBarrier } as const;
      checks.push({ ...shared, bound: "at least", target: 50 });
      return { figures, checks, notes: ["CPU and disk hold what the 16 writers cost as well."] };
    }),
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

/** Times of calls, per caller, since they were last taken. */
type Times = { taken(): readonly (readonly number[])[] };

type Drains = {
  readonly before: number[];
  readonly during: number[];
  readonly pauses: number[];
  readonly spans: number[];
};

/** Drains one node after another while there is load. */
async function drains(nodes: Nodes, times: Times, { runs, ms, note }: Conditions): Promise<Drains> {
  const found: Drains = { before: [], during: [], pauses: [], spans: [] };
  for (let run = 0; run < runs; run++) {
    const { node } = nodes.ready[run % nodes.ready.length]!;
    times.taken();
    await pause(3 * ms);
    found.before.push(...times.taken().flat());
    const began = performance.now();
    await nodes.ask(`/admin/v1/nodes/${node}/drain`);
    await drained(nodes, node);
    found.spans.push(performance.now() - began);
    const during = times.taken();
    found.during.push(...during.flat());
    found.pauses.push(...during.map((each) => Math.max(0, ...each)));
    note(`drained in ${Math.round(found.spans.at(-1)!)} ms`);
    await nodes.ask(`/admin/v1/nodes/${node}/undrain`);
    await pause(3 * ms);
  }
  return found;
}

function judgeDrains({ before, during, pauses, spans }: Drains, failures: readonly string[]): Outcome {
  const [usual, meanwhile] = [quantile(before, 0.99), quantile(during, 0.99)];
  const worst = Math.max(...pauses);
  const facts = [
    { name: "drains", value: spans.length, unit: "" },
    { name: "a drain, half of them within", value: quantile(spans, 0.5), unit: "ms" },
    { name: "calls before and during", value: before.length + during.length, unit: "calls" },
    { name: "p99 before", value: usual, unit: "ms" },
    { name: "p99 during", value: meanwhile, unit: "ms" },
    { name: "longest call of a shard, half of them within", value: quantile(pauses, 0.5), unit: "ms" },
    { name: "longest call of a shard, the worst", value: worst, unit: "ms" },
  ];
  const checks: Check[] = [
    { says: "failed calls", value: failures.length, bound: "at most", target: 0 },
    { says: "p99 during ÷ before", value: meanwhile / usual, bound: "at most", target: 3 },
    { says: "longest pause of a shard, ms", value: worst, bound: "at most", target: 100 },
  ];
  return { facts, checks, notes: failures.slice(0, 3) };
}

export const handOver: Row = {
  id: "handoff",
  title: "a node is drained while one caller for each of 64 shards writes, three nodes, embedded engine",
  run: (conditions) =>
    withNodes(embedded, { nodes: 3, shards }, async (nodes) => {
      const callers = keyOfEachShard();
      let times = callers.map((): number[] => []);
      const failures: string[] = [];
      const load = background(callers.length, async (caller) => {
        const began = performance.now();
        const client = nodes.clients[caller % nodes.clients.length]!;
        const call = client.entity(Counter, callers[caller]!).add({ by: 1, memo });
        await call.catch((error: unknown) => failures.push(String(error)));
        times[caller]!.push(performance.now() - began);
      });
      const taken = (): number[][] => {
        const old = times;
        times = callers.map((): number[] => []);
        return old;
      };
      await pause(clusterWarmUpMs);
      const found = await drains(nodes, { taken }, conditions);
      await load.stop();
      return judgeDrains(found, failures);
    }),
};

const samples = 200;

/** From the answer to a command until a node that does not own its key tells the new state, in milliseconds. */
async function lagsOf(nodes: Nodes): Promise<number[]> {
  const both: Work = (client, n) => (n % 2 === 0 ? works.write.once(client, n, keys) : at("eventual")(client, n));
  await warmUp(working(nodes, both), 64, clusterWarmUpMs);
  const { shards } = await nodes.status();
  const lags: number[] = [];
  for (let n = 0; n < samples; n++) {
    const { owner } = shards[shardOf(Counter.name, key(n), shards.length)]!;
    const follower = nodes.ready.findIndex(({ node }) => node !== owner);
    const copy = nodes.clients[follower]!.entity(Counter, key(n));
    const { total } = await nodes.clients[n % nodes.clients.length]!.entity(Counter, key(n)).add({ by: 1, memo });
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
    const failed = await onEachEngine(async (engine) => {
      const trip = await roundTrip(engine, ms);
      const lags = await withNodes(await groundOf(engine)(), { nodes: 3 }, lagsOf);
      const [p50, p99] = [quantile(lags, 0.5), quantile(lags, 0.99)];
      facts.push(
        { name: `${engine}, one commit on the engine, p50`, value: trip, unit: "ms" },
        { name: `${engine}, lag, p50`, value: p50, unit: "ms" },
        { name: `${engine}, lag, p99`, value: p99, unit: "ms" },
      );
      checks.push({ says: `${engine}: lag, p50 ÷ one commit`, value: p50 / trip, bound: "at most", target: 1.5 });
      if (engine !== "nats") checks.push({ says: `${engine}: lag, p99, ms`, value: p99, bound: "at most", target: 20 });
    });
    const notes = [...failed, "Seen by asking the follower again and again: the time of one such read is in it."];
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
/** A frozen node takes a while to be back: these are fewer. */
const times = { kill: 20, freeze: 10 };

async function failoverOn(engine: EngineName, how: "kill" | "freeze"): Promise<Failover> {
  const args = [
    failoverBench,
    "--kills",
    String(times[how]),
    "--engine",
    engine,
    ...(how === "freeze" ? ["--freeze"] : []),
  ];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout) as Failover;
}

export const failover: Row = {
  id: "failover",
  title: "the owner of a key is killed with -9, or frozen where it stands; three nodes, eight callers",
  async run({ note }) {
    const [facts, checks]: [Fact[], Check[]] = [[], []];
    const notes = await onEachEngine(async (engine) => {
      for (const how of ["kill", "freeze"] as const) {
        const found = await failoverOn(engine, how);
        const name = `${engine}, ${how === "kill" ? "killed" : "frozen"}`;
        note(`${name}: ${found.p50} ms, worst ${found.p99} ms`);
        const told = { p50: found.p50, p90: found.p90, worst: found.p99 };
        for (const [at, value] of Object.entries(told)) facts.push({ name: `${name}, ${at}`, value, unit: "ms" });
        facts.push({ name: `${name}, calls answered`, value: found.answered, unit: "calls" });
        if (how === "kill") checks.push({ says: `${name}: p50, ms`, value: found.p50, bound: "at most", target: 150 });
        const most = how === "kill" ? 500 : 1500;
        checks.push(
          { says: `${name}: worst of ${times[how]}, ms`, value: found.p99, bound: "at most", target: most },
          { says: `${name}: lost or doubled`, value: found.wrong.length, bound: "at most", target: 0 },
        );
      }
    });
    return { facts, checks, notes };
  },
};

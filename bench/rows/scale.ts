// Scale: what a command costs with more entities, more shards, more nodes. And what a cluster costs that does nothing.

import { setTimeout as pause } from "node:timers/promises";
import { join } from "node:path";
import { Counter } from "../../src/cli/bench-app.ts";
import { works } from "../../src/cli/bench.ts";
import { clusterWarmUpMs, conditionsOf, type Contender, type Figure } from "../contender.ts";
import { cpuMicrosOf, diskBytes, loopbackBytes } from "../cost.ts";
import { fill, filledKey } from "../fill.ts";
import { cacheFolder } from "../folders.ts";
import { embedded, ours, startNodes, type Work, withNodes, working } from "../ours.ts";
import type { Check, Fact } from "../outcome.ts";
import { type EngineName, onEachEngine, type Row } from "../row.ts";
import { groundOf } from "../servers.ts";

const keys = 1000;
const write: Work = (client, n) => works.write.once(client, n, keys);
const memo = "x".repeat(80);
const within = 0.2;

/** The worst of them may do so much less, and cost so much more, than the first. */
function flat(what: string, figures: readonly Figure[], inFlight: number): readonly Check[] {
  const [first, ...others] = figures.filter((figure) => figure.inFlight === inFlight);
  if (!first || others.length === 0) return [];
  const slowest = Math.min(...others.map(({ opsPerSec }) => opsPerSec / first.opsPerSec));
  const dearest = Math.max(...others.map((each) => each.serverMicrosPerOp / first.serverMicrosPerOp));
  const of = `${what}, ${inFlight} in flight`;
  return [
    { says: `rate, worst ÷ first, ${of}`, value: slowest, bound: "at least", target: 1 - within },
    { says: `server CPU per command, worst ÷ first, ${of}`, value: dearest, bound: "at most", target: 1 + within },
  ];
}

/** Commands spread over entities that are there already, far more of them than are hot. */
const withEntities = (entities: number): Contender => ({
  name: `${entities.toLocaleString("en")} entities`,
  role: "ours",
  async start() {
    const nodes = await startNodes(embedded);
    const data = join(nodes.folder, "data");
    await nodes.stop("good order");
    await fill(data, entities, 100);
    const again = await startNodes(embedded, { flags: { data } });
    // A prime apart: each is met once before any is met again.
    return working(again, (client, n) => client.entity(Counter, filledKey((n * 7919) % entities)).add({ by: 1, memo }));
  },
});

export const scale: Row = {
  id: "scale",
  title: "cost of a command with more entities, shards and nodes, embedded engine",
  async run({ sideBySide, ms, runs, note }) {
    // Filling takes longest: one long run each.
    const once = conditionsOf({ ms: ms * runs, runs: 1 }, note);
    const entities = await once.sideBySide([1000, 10_000, 100_000, 1_000_000].map(withEntities), [64]);
    const ofShards = [16, 64, 256, 1024].map((shards) => ours(`${shards} shards`, () => embedded, { shards }, write));
    const shards = await sideBySide(ofShards, [64, 512]);
    // One node is compared with several: it is given as long.
    const ofNodes = [1, 2, 3].map((nodes) => ({
      ...ours(`${nodes} nodes`, () => embedded, { nodes }, write),
      warmUpMs: clusterWarmUpMs,
    }));
    const nodes = await sideBySide(ofNodes, [64, 512]);
    const checks = [
      ...flat("entities", entities, 64),
      ...[64, 512].flatMap((inFlight) => flat("shards", shards, inFlight)),
      ...[64, 512].flatMap((inFlight) => flat("nodes", nodes, inFlight).slice(0, 1)),
    ];
    return { figures: [...entities, ...shards, ...nodes], checks };
  },
};

const idleFor = 10_000;
const settleFor = 5000;

async function idleOn(engine: EngineName): Promise<readonly Fact[]> {
  const ground = await groundOf(engine)();
  return withNodes(ground, { nodes: 3 }, async (nodes) => {
    const own = nodes.ready.map(({ pid }) => pid);
    await pause(settleFor);
    const look = async (): Promise<readonly number[]> => [
      cpuMicrosOf(own),
      cpuMicrosOf(ground.pids),
      loopbackBytes(),
      diskBytes(cacheFolder),
      (await ground.operations?.()) ?? 0,
    ];
    const before = await look();
    await pause(idleFor);
    const after = await look();
    const [cpu, server, wire, disk, operations] = after.map((value, n) => (value - before[n]!) / (idleFor / 1000)) as [
      number,
      number,
      number,
      number,
      number,
    ];
    const name = (what: string): string => `${engine}, ${what}`;
    return [
      { name: name("CPU of a node"), value: cpu / 1e4 / own.length, unit: "% of a core" },
      ...(ground.pids.length > 0
        ? [
            { name: name("CPU of the engine's servers"), value: server / 1e4, unit: "% of a core" },
            { name: name(`what its servers count`), value: operations, unit: `${ground.counts ?? "operations"}/s` },
          ]
        : []),
      { name: name("loopback, for each node"), value: wire / own.length, unit: "bytes/s" },
      { name: name("disk"), value: disk, unit: "bytes/s" },
    ];
  });
}

export const idle: Row = {
  id: "idle",
  title: "a cluster of three nodes and 64 shards that does nothing",
  async run() {
    const facts: Fact[] = [];
    const notes = await onEachEngine(async (engine) => void facts.push(...(await idleOn(engine))));
    return { facts, checks: [], notes };
  },
};

// One seed of the gate: a random small world, a random workload, random faults; what was wrong, and what happened.

import type { Limits, Millis } from "../base/index.ts";
import type { AppShape, Client } from "../model/index.ts";
import { bindClient } from "../model/index.ts";
import { gateApp } from "./gate-app.ts";
import { describeCall } from "./history.ts";
import { type Random, seeded } from "./random.ts";
import { jobsApp } from "./jobs-app.ts";
import { schedulesApp } from "./schedules-app.ts";
import { releases, topicsApp } from "./topics-app.ts";
import { streamsApp } from "./workloads-streams.ts";
import { clusterFaults, type FaultName, faultNames, type Tally } from "./weather.ts";
import type { Stage } from "./stage.ts";
import { workloads, type WorkloadName } from "./workloads.ts";
import { checkWorld } from "./simulate.ts";
import { createWorld, simLimits, type World, type WorldOptions } from "./world.ts";

export type Plan = {
  readonly workload: WorkloadName;
  readonly world: WorldOptions;
  readonly clients: number;
  readonly rounds: number;
  readonly keys: number;
  /** All nodes end, and start again on empty local stores, before the final check. */
  readonly rebuilds: boolean;
};

export type TrialResult = {
  readonly seed: number;
  readonly plan: Plan;
  readonly problems: readonly string[];
  readonly tally: Tally;
  readonly events: number;
  readonly voided: number;
  readonly digest: string;
};

export type TrialOptions = {
  readonly mutants?: readonly string[] | undefined;
  /** Only these workloads and faults are drawn from. */
  readonly workloads?: readonly WorkloadName[] | undefined;
  readonly faults?: readonly FaultName[] | undefined;
  /** Nodes, where there are several, form a cluster by themselves: all, none, or as the seed says. */
  readonly cluster?: boolean | undefined;
  /** Every trial has long journals and ends with a start from the engine alone: for what concerns snapshots. */
  readonly long?: boolean | undefined;
  /** Receives a readable trace when the trial is over. */
  readonly onTrace?: ((line: string) => void) | undefined;
};

/** Drawn from; those named more often are drawn more often. */
const usual: readonly WorkloadName[] = [
  ...(["registers", "bags", "bank", "counters", "errands", "sessions", "glances"] as const).flatMap((name) =>
    Array<WorkloadName>(40).fill(name),
  ),
  "rolling",
  "apart",
  ...Array<WorkloadName>(6).fill("transfers"),
  ...Array<WorkloadName>(4).fill("alarms"),
];

/** Nodes that do not know each other cannot send each other anything. */
const linked: ReadonlySet<WorkloadName> = new Set<WorkloadName>([
  "transfers",
  "alarms",
  "schedules",
  "topics",
  "jobs",
  "streams",
]);

/** Of all trials; drawn apart, so that the others stay what they are. */
const schedulesShare = 0.003;
const topicsShare = 0.005;
const jobsShare = 0.005;
const streamsShare = 0.003;

/** Of the trials with several nodes, so many form clusters by themselves; the others leave claims to the world's whim. */
const clusterShare = 0.1;

const longestCluster: Millis = 220;

/** Everything about a trial that its seed decides beforehand. */
export function planOf(seed: number, options: TrialOptions = {}): Plan {
  const random = seeded(seed).fork("plan");
  const drawn = random.pick(options.workloads ?? usual);
  const isScheduled = !options.workloads && seeded(seed).fork("schedules").chance(schedulesShare);
  const isOfTopics = !options.workloads && seeded(seed).fork("topics").chance(topicsShare);
  const isOfJobs = !options.workloads && seeded(seed).fork("jobs").chance(jobsShare);
  const isOfStreams = !options.workloads && seeded(seed).fork("streams").chance(streamsShare);
  const apart = isScheduled ? "schedules" : isOfTopics ? "topics" : isOfJobs ? "jobs" : isOfStreams && "streams";
  const workload = apart || drawn;
  const orderly = workload === "rolling" || workload === "apart";
  const nodes = orderly
    ? 2 + random.below(2)
    : random.pick(linked.has(workload) && options.cluster !== true ? [1, 1, 1, 1, 1, 2] : [1, 1, 2, 2, 2, 3]);
  const isLinked = linked.has(workload);
  const cluster = nodes > 1 && (orderly || isLinked || (options.cluster ?? random.chance(clusterShare)));
  const fitting = (options.faults ?? faultNames).filter(
    (name) => !orderly && (nodes > 1 || name !== "contend") && (cluster || !clusterFaults.has(name)),
  );
  const share = random.pick([0.15, 0.3, 0.6]);
  const faults = fitting.filter(() => random.chance(share));
  if (faults.length === 0 && fitting.length > 0) faults.push(random.pick(fitting));
  // Snapshots, trims and what depends on them need journals that are long for their shard.
  const long = options.long === true || random.chance(faults.includes("bit-rot") ? 0.15 : 0.04);
  return {
    workload,
    clients: 2 + random.below(2),
    rounds: (long ? 12 : 2) + random.below(4),
    keys: 2 + random.below(3),
    rebuilds: !orderly && (options.long === true || random.chance(0.5)),
    world: {
      nodes,
      cluster,
      seed,
      faults,
      shards: long ? 1 : 1 + random.below(3),
      limits: {
        ...simLimits,
        snapshotEveryBytes: options.long === true ? 400 : random.pick([400, 1024, 100_000]),
        maxHotEntities: random.pick([1, 2, 10_000]),
        maxBatchCommits: random.pick([1, 3, 4096]),
        maxIssuedOperations: random.pick(orderly ? [4096] : [5, 4096, 4096]),
        ...(isLinked && workLimits(random)),
        ...((workload === "schedules" || workload === "jobs") && { maxTasks: 20_000 }),
        ...(workload === "topics" && { trimEveryMs: 20 }),
      },
      mutants: options.mutants ?? [],
      encryptionKey: random.chance(0.1) ? random.bytes(32) : undefined,
      faultEveryMs: random.pick([15, 30, 60]),
      strict: true,
      direct: false,
      ...(workload === "topics" && { each: releases() }),
    },
  };
}

const appOf = ({ workload, world }: Plan): AppShape => {
  if (workload === "topics") return topicsApp;
  if (workload === "jobs") return jobsApp;
  if (workload === "streams") return streamsApp;
  return workload === "schedules" ? schedulesApp(world.faults) : gateApp;
};

/** Few attempts and little room are met in turn: a place that is full of dead letters takes nothing more. */
function workLimits(random: Random): Partial<Limits> {
  const isNarrow = random.chance(0.3);
  return {
    retryMs: 3,
    maxAttempts: isNarrow ? 1_000 : random.pick([2, 4, 1_000]),
    maxTasks: isNarrow ? 3 + random.below(6) : 20_000,
    defaultDeadlineMs: random.pick([30, 2_000]),
  };
}

/** Runs one seed. Rejects only on a defect of the simulation itself. */
export async function runTrial(seed: number, options: TrialOptions = {}): Promise<TrialResult> {
  const plan = planOf(seed, options);
  const { world, started } = createWorld(appOf(plan), plan.world);
  const problems: string[] = [];
  let voided = 0;
  try {
    voided = await world.driver.drive(play(world, plan, started, problems));
  } catch (error) {
    problems.push(error instanceof Error ? error.message : String(error));
  }
  trace(world, plan, problems, options.onTrace);
  return {
    seed,
    plan,
    problems,
    tally: world.weather.tally,
    events: world.schedule.count(),
    voided,
    digest: world.schedule.hash.digest(),
  };
}

async function play(world: World, plan: Plan, started: Promise<void>, problems: string[]): Promise<number> {
  await started;
  const random = world.random.fork("workload");
  const clients = Array.from({ length: plan.clients }, (_, index): Client =>
    bindClient(world.invoke({ name: `c${index}`, deadlineMs: 400, repeats: random.chance(0.7) })),
  );
  const keys = Array.from({ length: plan.keys }, (_, index) => `k${index}`);
  // Nodes that keep in touch cost as much when nothing else happens: no cluster runs long.
  const until = plan.world.cluster ? world.schedule.now() + longestCluster : Infinity;
  const stage: Stage = {
    until,
    world,
    random,
    clients,
    rounds: plan.rounds,
    keys,
    steps: [],
  };
  const workload = workloads[plan.workload];
  await workload.run(stage);
  if (plan.rebuilds) await world.startAfresh();
  await world.heal();
  problems.push(...(await workload.check(stage)));
  const audits = await checkWorld(world);
  return audits.reduce((sum, audit) => sum + audit.voided, 0);
}

function trace(world: World, plan: Plan, problems: readonly string[], onTrace: TrialOptions["onTrace"]): void {
  if (onTrace === undefined) return;
  const { nodes, shards, faults, seed } = plan.world;
  onTrace(
    `seed ${seed}: ${plan.workload}, ${nodes} nodes, ${shards} shards, ${plan.clients} callers; faults: ${faults.join(", ")}`,
  );
  const events = world.history.calls.map((call) => ({ at: call.startedAt, says: describeCall(call) }));
  for (const { at, node, level, message, fields } of world.lines)
    events.push({
      at,
      says: `${at.toFixed(1)} ms  ${node}  ${level}: ${message}${fields === undefined ? "" : ` ${JSON.stringify(fields)}`}`,
    });
  for (const { says } of events.toSorted((a, b) => a.at - b.at)) onTrace(says);
  for (const problem of problems) onTrace(`problem: ${problem}`);
}

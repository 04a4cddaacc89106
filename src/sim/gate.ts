// The gate: thousands of seeds, each a small random world with random faults, checked for what callers were promised.
//
//   npm run sim -- [--seeds 10000] [--from 1] [--workers 2]     run them; exit 1 when one fails or the run proved nothing
//   npm run sim -- --seed 4711                                  run one again, with everything that happened in it
//   … --mutant M2 --workload bank --faults crash,contend        plant a defect, narrow the draw
//   … --cluster                                                 every trial with several nodes is a cluster
//   node src/sim/gate.ts --seeds 100000 --from 1000001          for the night

import { fork } from "node:child_process";
import { enableCompileCache } from "node:module";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { real } from "./strict-globals.ts";
import { runTrial, type TrialOptions } from "./trial.ts";
import { addTally, type FaultName, faultNames, newTally, type Tally } from "./weather.ts";
import { type WorkloadName, workloads } from "./workloads.ts";

/** What a run of many seeds found. */
export type Findings = {
  passed: number;
  readonly failed: { readonly seed: number; readonly says: string }[];
  readonly tally: Tally;
  events: number;
  /** Of the seeds, those whose nodes formed a cluster by themselves. */
  clusters: number;
  /** Seeds run a second time to compare fingerprints. */
  repeated: number;
};

const newFindings = (): Findings => ({ passed: 0, failed: [], tally: newTally(), events: 0, clusters: 0, repeated: 0 });

/** One seed in so many is run twice. */
const repeatEvery = 100;

/** Runs `seeds` seeds from `from`, every `step`th. */
export async function runSeeds(from: number, seeds: number, step = 1, options: TrialOptions = {}): Promise<Findings> {
  const findings = newFindings();
  for (let seed = from; seed < from + seeds; seed += step) {
    const result = await runTrial(seed, options);
    const problems = [...result.problems];
    if (seed % repeatEvery === 0) {
      findings.repeated++;
      const again = await runTrial(seed, options);
      if (again.digest !== result.digest)
        problems.push(`two runs differ: fingerprints ${result.digest} and ${again.digest}`);
    }
    addTally(findings.tally, result.tally);
    findings.events += result.events;
    if (result.plan.world.cluster) findings.clusters++;
    if (problems.length === 0) findings.passed++;
    else findings.failed.push({ seed, says: `${result.plan.workload}: ${problems[0]}` });
  }
  return findings;
}

/** Why a run proves nothing, in words; none when it does. Small runs cannot be held to having met every fault, nor
 *  narrowed ones to more than the faults that were asked for. */
export function emptiness(
  { tally, clusters, repeated }: Findings,
  seeds: number,
  asked: readonly FaultName[] = faultNames,
): string[] {
  const reasons: string[] = [];
  if (tally.answered * 2 < tally.calls) reasons.push(`only ${tally.answered} of ${tally.calls} calls were answered`);
  if (seeds < 500) return reasons;
  for (const name of asked) if (tally.injected[name] === 0) reasons.push(`the fault "${name}" never struck`);
  const whole = asked.length === faultNames.length;
  if (whole && tally.takeovers === 0) reasons.push("no shard ever changed its owner");
  if (whole && tally.ambiguous === 0) reasons.push("no append was ever ambiguous");
  if (whole && clusters * 20 < seeds) reasons.push(`only ${clusters} of ${seeds} seeds were clusters`);
  if (repeated === 0) reasons.push("no seed was run twice");
  return reasons;
}

export type GateArguments = {
  readonly seeds: number;
  readonly from: number;
  readonly workers: number;
  readonly seed: number | undefined;
  readonly options: TrialOptions;
};

function argumentsOf(argv: readonly string[]): GateArguments {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  const spec = {
    seeds: text,
    from: text,
    workers: text,
    seed: text,
    mutant: text,
    workload: text,
    faults: text,
    cluster: flag,
  };
  const { values } = parseArgs({ args: [...argv], options: spec });
  const list = <T extends string>(
    value: string | undefined,
    known: readonly string[],
    what: string,
  ): T[] | undefined => {
    const names = value?.split(",");
    const strange = names?.find((name) => !known.includes(name));
    if (strange !== undefined) throw new Error(`there is no ${what} "${strange}"; there are ${known.join(", ")}`);
    return names as T[] | undefined;
  };
  const count = (value: string | undefined, fallback: number): number => {
    const number = Number(value ?? fallback);
    if (!Number.isSafeInteger(number) || number < 1) throw new Error(`"${value}" is not a count`);
    return number;
  };
  return {
    seeds: count(values.seeds, 10_000),
    from: count(values.from, 1),
    workers: count(values.workers, 2),
    seed: values.seed === undefined ? undefined : count(values.seed, 1),
    options: {
      mutants: values.mutant?.split(","),
      workloads: list<WorkloadName>(values.workload, Object.keys(workloads), "workload"),
      faults: list<FaultName>(values.faults, faultNames, "fault"),
      cluster: values.cluster,
    },
  };
}

type Order = { readonly from: number; readonly seeds: number; readonly step: number; readonly options: TrialOptions };

/** Shares the seeds between processes. */
async function spread({ seeds, from, workers, options }: GateArguments): Promise<Findings> {
  const sum = newFindings();
  const compiled = enableCompileCache().directory;
  const one = (index: number): Promise<Findings> =>
    new Promise((resolve, reject) => {
      const child = fork(fileURLToPath(import.meta.url), [], {
        serialization: "advanced",
        // Each worker has a core to itself: what collects garbage beside it would take another worker's.
        // And what has outlived many trials says nothing of the next ones: all of a world is to be young (world.ts).
        execArgv: ["--single-threaded-gc", "--max-semi-space-size=64", "--no-allocation-site-pretenuring"],
        env: { ...process.env, NODE_COMPILE_CACHE: compiled },
      });
      child.once("message", (found) => resolve(found as Findings));
      child.once("exit", (code) => reject(new Error(`a worker ended with ${code} before it had answered`)));
      child.send({ from: from + index, seeds: seeds - index, step: workers, options } satisfies Order);
    });
  for (const found of await Promise.all(Array.from({ length: Math.min(workers, seeds) }, (_, index) => one(index)))) {
    sum.passed += found.passed;
    sum.failed.push(...found.failed);
    sum.events += found.events;
    sum.clusters += found.clusters;
    sum.repeated += found.repeated;
    addTally(sum.tally, found.tally);
  }
  sum.failed.sort((a, b) => a.seed - b.seed);
  return sum;
}

function report(findings: Findings, { seeds, options }: GateArguments, tookMs: number): string[] {
  const { tally, failed, passed, events, clusters, repeated } = findings;
  const seconds = tookMs / 1000;
  const struck = faultNames.map((name) => `${name} ${tally.injected[name]}`).join(" · ");
  const shown = failed
    .slice(0, 10)
    .flatMap(({ seed, says }) => [`seed ${seed}: ${says}`, `  repeat it: npm run sim -- --seed ${seed}`]);
  return [
    ...shown,
    ...(failed.length > 10 ? [`… and ${failed.length - 10} more seeds`] : []),
    `faults: ${struck}`,
    `calls ${tally.calls}, answered ${tally.answered}, unknown ${tally.unknown} · appends ${tally.appends}, ambiguous ${tally.ambiguous} · claims ${tally.claims}, takeovers ${tally.takeovers}`,
    `${clusters} clusters, ${events} events, ${repeated} seeds run twice`,
    `${seeds} seeds in ${seconds.toFixed(1)} s, ${(seeds / seconds).toFixed(0)} seeds/s`,
    ...emptiness(findings, seeds, options.faults).map((reason) => `this run proves nothing: ${reason}`),
    `${passed} passed, ${failed.length} failed`,
  ];
}

async function main(argv: readonly string[]): Promise<void> {
  const given = argumentsOf(argv);
  if (given.seed !== undefined) {
    const result = await runTrial(given.seed, { ...given.options, onTrace: (line) => void console.log(line) });
    console.log(`${result.events} events, fingerprint ${result.digest}`);
    console.log(result.problems.length === 0 ? "1 passed, 0 failed" : "0 passed, 1 failed");
    if (result.problems.length > 0) process.exitCode = 1;
    return;
  }
  const began = real.now();
  const findings = await spread(given);
  for (const line of report(findings, given, real.now() - began)) console.log(line);
  if (findings.failed.length > 0 || emptiness(findings, given.seeds, given.options.faults).length > 0)
    process.exitCode = 1;
}

/** A worker gets one order from its parent, answers it, and ends. */
function work(): void {
  Error.stackTraceLimit = 0;
  process.once("message", (message) => {
    const { from, seeds, step, options } = message as Order;
    void runSeeds(from, seeds, step, options).then((findings) => process.send?.(findings, () => process.disconnect()));
  });
}

if (import.meta.main) {
  if (process.send === undefined) await main(process.argv.slice(2));
  else work();
}

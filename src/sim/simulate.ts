// simulate(): whole nodes of an application in one process, in virtual time, with faults from a seed.

import type { Limits, Millis } from "../base/index.ts";
import type { AppShape, Client } from "../model/index.ts";
import { type CallRecord, describeCall } from "./history.ts";
import { simLimits, type CallerSettings, clientOf, createWorld, type World } from "./world.ts";
import type { Audit } from "./journal-audit.ts";
import type { LogLine } from "./sim-host.ts";
import type { FaultName, Tally } from "./weather.ts";

export type SimulateOptions = {
  /** Nodes that share one engine; 1 by default. */
  readonly nodes?: number | undefined;
  /** Everything follows from it. The environment variable SHEAF_SEED overrides it; 1 by default. */
  readonly seed?: number | undefined;
  /** What may go wrong, by name (`faultNames`); nothing by default. */
  readonly faults?: readonly FaultName[] | undefined;
  /** 4 by default. */
  readonly shards?: number | undefined;
  /** In place of the runtime's limits, which a simulation shortens so that saves, snapshots and timeouts happen often. */
  readonly limits?: Partial<Limits> | undefined;
  /** Mean virtual time between two faults of one kind; 60 by default. */
  readonly faultEveryMs?: Millis | undefined;
  /** Make the real clock, dice and timers throw while the world moves, so that a run can be repeated; true by default. */
  readonly strict?: boolean | undefined;
  /** 32 bytes: the journal is encrypted. */
  readonly encryptionKey?: Uint8Array | undefined;
  /** Defects of Sheaf itself to plant, for Sheaf's own tests. */
  readonly mutants?: readonly string[] | undefined;
};

export interface Simulation<A extends AppShape> {
  readonly seed: number;
  /** A caller: a typed client whose calls are recorded in `history`. It asks again, under one operation id, when an
   *  answer is lost, unless `repeats` is false. */
  client(settings?: CallerSettings): Client<A["contract"]>;
  /** Runs a workload: the world moves until the promise it returns settles. Its result, or its failure with the seed. */
  run<T>(workload: (world: Simulation<A>) => Promise<T>): Promise<T>;
  /** Virtual milliseconds since the world began. */
  now(): Millis;
  /** Waits in virtual time; to be awaited within `run`. */
  sleep(ms: Millis): Promise<void>;
  /** Kills a node now, by its index; its memory is gone. Start it again with `restart`. */
  crash(node?: number): void;
  /** Starts a node that is down and waits until it serves. */
  restart(node?: number): Promise<void>;
  /** Ends all faults, starts every node, and waits until all that was under way has landed or failed. */
  heal(): Promise<void>;
  /** Heals, then audits every journal against what the nodes serve. Rejects, with the seed, when anything is wrong. */
  check(): Promise<readonly Audit[]>;
  /** Every call so far, in the order they began. */
  readonly history: readonly CallRecord[];
  readonly log: readonly LogLine[];
  /** How often each fault struck, and more. */
  readonly tally: Tally;
  /** Fingerprint of all that happened: equal for equal seeds. */
  digest(): string;
}

/**
 * Creates a world and starts its nodes.
 *
 * @example
 * const world = await simulate(bank, { nodes: 3, seed: 42, faults: ["crash", "contend", "lost-ack"] });
 * await world.run(async () => {
 *   const account = world.client().entity(Account, "acc-7");
 *   for (let i = 0; i < 10; i++) await account.deposit({ cents: 5 });
 * });
 * await world.check();
 *
 * Rejects USAGE for a fault that does not exist. A failure's message names the seed and the command that repeats it.
 */
export async function simulate<A extends AppShape>(app: A, options: SimulateOptions = {}): Promise<Simulation<A>> {
  const seed = Number(process.env["SHEAF_SEED"] ?? options.seed ?? 1);
  const faults = options.faults ?? [];
  const { world, started } = createWorld(app, {
    nodes: options.nodes ?? 1,
    cluster: (options.nodes ?? 1) > 1,
    seed,
    faults,
    shards: options.shards ?? 4,
    limits: { ...simLimits, ...options.limits },
    mutants: options.mutants ?? [],
    encryptionKey: options.encryptionKey,
    faultEveryMs: options.faultEveryMs ?? 60,
    strict: options.strict ?? true,
    direct: false,
  });
  const failing = <T>(promise: Promise<T>): Promise<T> =>
    promise.catch((error: unknown) => {
      throw new Error(failure(world, error instanceof Error ? error.message : String(error)), { cause: error });
    });
  await failing(world.driver.drive(started));
  return face<A>(world, failing);
}

function face<A extends AppShape>(world: World, failing: <T>(promise: Promise<T>) => Promise<T>): Simulation<A> {
  const { driver, machines, schedule } = world;
  const machine = (index: number): World["machines"][number] => {
    const found = machines[index];
    if (found === undefined)
      throw new RangeError(`there is no node ${index}; the nodes are 0 to ${machines.length - 1}`);
    return found;
  };
  const simulation: Simulation<A> = {
    seed: world.options.seed,
    client: (settings = {}) => clientOf<A>(world, settings),
    run: (workload) => failing(driver.drive(workload(simulation))),
    now: schedule.now,
    sleep: world.sleep,
    crash: (node = 0) => machine(node).crash(),
    restart: (node = 0) => failing(driver.drive(machine(node).start())),
    heal: () => failing(driver.drive(world.heal())),
    check: () => failing(driver.drive(checkWorld(world))),
    history: world.history.calls,
    log: world.lines,
    tally: world.weather.tally,
    digest: schedule.hash.digest,
  };
  return simulation;
}

/** Heals, audits, and rejects with all problems found. */
export async function checkWorld(world: World): Promise<readonly Audit[]> {
  await world.heal();
  const audits = await world.audit();
  if (world.problems.length > 0) throw new Error(world.problems.slice(0, 10).join("; "));
  return audits;
}

/** What a person needs to see the same again. */
function failure({ options, history }: World, says: string): string {
  const { seed, nodes, faults } = options;
  const file = process.argv[1] ?? "your test";
  const last = history.calls.slice(-8).map((call) => `  ${describeCall(call)}`);
  return [
    says,
    `in a simulation of ${nodes} node${nodes === 1 ? "" : "s"}, faults: ${faults.join(", ") || "none"}, seed ${seed}; the last calls were`,
    ...last,
    `repeat it: SHEAF_SEED=${seed} node --test ${file}`,
  ].join("\n");
}

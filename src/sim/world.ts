// A whole world in one process: machines with nodes, one engine, callers, and things that go wrong, all from one seed.

import { type Instant, type Limits, type Millis, SheafError } from "../base/index.ts";
import { type Engine, memoryEngine, type RecordCodec, recordCodec } from "../journal/index.ts";
import { type AppShape, bindClient, type Client, type Invoke } from "../model/index.ts";
import type { AskedApart } from "../node/index.ts";
import { createCaller, type Session } from "./caller.ts";
import { createDriver, type Driver } from "./drive.ts";
import { bringBack, rotSnapshot, runs, startFaults } from "./fault-schedule.ts";
import { createHistory, type History } from "./history.ts";
import { type Audit, auditJournal } from "./journal-audit.ts";
import { createLink } from "./link.ts";
import { createMachine, type Ground, type Machine, type Setup } from "./machine.ts";
import { createNetwork } from "./network.ts";
import { createPlacement, type Placement } from "./placement.ts";
import { type Random, seeded } from "./random.ts";
import { createSchedule, type Schedule } from "./schedule.ts";
import { auditNodes, settle } from "./serving-audit.ts";
import { checkLanes } from "./work-audit.ts";
import { simCompress, simCrypto } from "./sim-crypto.ts";
import { type LogLine, worldStart } from "./sim-host.ts";
import { staleness } from "./sim-engine.ts";
import { type FaultName, faultNames, clear, newWeather, type Weather } from "./weather.ts";

export type WorldOptions = {
  readonly nodes: number;
  /** Nodes find each other and share the shards by themselves. */
  readonly cluster: boolean;
  readonly seed: number;
  readonly faults: readonly FaultName[];
  readonly shards: number;
  /** Entities that have shards of their own. */
  readonly apart?: readonly AskedApart[] | undefined;
  readonly limits: Partial<Limits>;
  readonly mutants: readonly string[];
  readonly encryptionKey: Uint8Array | undefined;
  readonly faultEveryMs: Millis;
  readonly strict: boolean;
  /** No delays, no losses, and time moves only when told: for tests of handlers. */
  readonly direct: boolean;
  /** What is a machine's own, by its name: `node-1` and so on. */
  readonly each?: ((name: string) => Setup) | undefined;
};

export type CallerSettings = {
  readonly name?: string | undefined;
  /** Overall deadline of a call that names none; virtual. Default 2,000. */
  readonly deadlineMs?: Millis | undefined;
  /** Ask again under an operation id when an answer is lost, as `connect()` does. Default true. */
  readonly repeats?: boolean | undefined;
  /** Keep a session: a causal read sees no less than what this caller has seen. None by default. */
  readonly session?: Session | undefined;
};

/** The inside of a world; its faces for users are in simulate.ts and test-app.ts. */
export type World = {
  readonly options: WorldOptions;
  readonly schedule: Schedule;
  readonly random: Random;
  readonly weather: Weather;
  readonly machines: readonly Machine[];
  readonly placement: Placement;
  readonly driver: Driver;
  readonly history: History;
  readonly problems: string[];
  readonly lines: LogLine[];
  readonly shared: Engine;
  invoke(settings: CallerSettings): Invoke;
  sleep(ms: Millis): Promise<void>;
  /** The world's wall clock, as a node without skew sees it. */
  now(): Instant;
  /** Ends all faults, starts what is down, and lets everything under way land. To be driven. */
  heal(): Promise<void>;
  /** All nodes end now, and what they serve after `heal` comes from the engine alone; with "bit-rot", a snapshot rots first. */
  startAfresh(): Promise<void>;
  audit(): Promise<readonly Audit[]>;
};

/** What a simulation uses instead of the defaults: everything as soon and as often as it can be made to happen. */
export const simLimits: Partial<Limits> = {
  appendPatienceMs: 40,
  saveEveryMs: 25,
  snapshotEveryBytes: 1024,
  beatMs: 6,
  followEveryMs: 20,
  consumerBeatMs: 12,
  consumerStallMs: 150,
  maxCrashes: 100_000,
};

/** Everything that was under way when the world healed has landed or failed after this. */
const settleMs: Millis = 250;

// Worlds come and go by the thousand. One that is over costs nothing to collect while all of it is young, but V8 puts some
// functions among what is old at once, and each of them keeps all that it can reach until a full collection: getters of object
// literals, functions written where they are assigned to a property, and generators that are made anew. So worlds have none.

/** Creates the world and starts its nodes. To be driven. */
export function createWorld(app: AppShape, options: WorldOptions): { world: World; started: Promise<void> } {
  const unknown = options.faults.filter((name) => !faultNames.includes(name));
  if (unknown.length > 0) {
    throw new SheafError("USAGE", `there is no fault named ${unknown.map((name) => `"${name}"`).join(", ")}`, {
      hint: `The faults are ${faultNames.join(", ")}.`,
    });
  }
  const random = seeded(options.seed);
  const schedule = createSchedule(random.fork("schedule"));
  const weather = newWeather([]);
  const shared = memoryEngine({ decide: staleness(weather, seeded(options.seed).fork("staleness")) });
  const rot = new Map<string, number>();
  const [problems, lines]: [string[], LogLine[]] = [[], []];
  const onProblem = (says: string): void => void problems.push(says);
  const { shards, limits, encryptionKey, direct } = options;
  const mutants = new Set(options.mutants);
  const onLog = (line: LogLine): void => void lines.push(line);
  const ground: Ground = {
    schedule,
    random,
    weather,
    shared,
    rot,
    app,
    each: options.each,
    shards,
    apart: options.apart,
    limits,
    mutants,
    encryptionKey,
    network: options.cluster ? createNetwork({ schedule, random: random.fork("network"), weather }) : undefined,
    direct,
    onLog,
    onProblem,
  };
  const machines = Array.from({ length: options.nodes }, (_, index) => createMachine(ground, `node-${index + 1}`));
  const placement = createPlacement({ machines, shards, schedule, random: random.fork("placement"), weather });
  const link = createLink({ schedule, random: random.fork("link"), weather, direct });
  const history = createHistory();
  const driver = createDriver({ schedule, strict: options.strict, jumps: !direct, patienceMs: 120_000 });
  const sleep = (ms: Millis): Promise<void> => new Promise((resolve) => void schedule.after(ms, "sleep", resolve));
  let callers = 0;
  /** No fault is enabled any more, and all that was under way then has ended. */
  let healed = false;

  const world: World = {
    options,
    schedule,
    random,
    weather,
    machines,
    placement,
    driver,
    history,
    problems,
    lines,
    shared,
    sleep,
    now: () => Math.floor(worldStart + schedule.now()),
    invoke({ name = `caller-${++callers}`, deadlineMs = 2_000, repeats = true, session }) {
      const own = random.fork(name);
      const shape = { name, deadlineMs, repeats: repeats && !direct, once: direct, anyNode: options.cluster, session };
      return createCaller({
        ...shape,
        schedule,
        random: own,
        weather,
        machines,
        placement,
        link,
        history,
        shards,
        onProblem,
      });
    },
    async heal() {
      clear(weather);
      for (const machine of machines) {
        const state = machine.state();
        if (state.kind !== "down") state.host.resume();
      }
      if (healed && machines.every(runs)) return;
      await sleep(settleMs);
      for (const machine of machines)
        if (machine.state().kind === "down") bringBack({ schedule, random, machines, placement }, machine);
      if (!options.cluster) await sleep(settleMs);
      else while (!machines.every(runs)) await sleep(10);
      healed = true;
    },
    async startAfresh() {
      if (options.faults.includes("bit-rot"))
        for (let shard = 0; shard < shards; shard++) await rotSnapshot({ shared, random, rot, weather }, shard);
      for (const machine of machines) {
        machine.crash();
        machine.store.wipe();
      }
    },
    audit: () => audit(world),
  };

  const start = async (): Promise<void> => {
    for (const machine of machines) await machine.start(machines.length === 1 ? undefined : placement.ownedBy(machine));
    for (const fault of options.faults) weather.enabled.add(fault);
    const jump = (machine: Machine, ms: Millis): void => {
      const state = machine.state();
      if (state.kind !== "down") state.host.jump(ms);
    };
    startFaults({
      schedule,
      random: random.fork("faults"),
      weather,
      machines,
      placement,
      shared,
      rot,
      shards,
      everyMs: options.faultEveryMs,
      // Nodes that keep in touch make many events in which nothing else happens.
      eventsPerCrash: options.cluster ? 4000 : 400,
      jump,
      codec: () => (codec ??= codecOf(world)),
      onProblem,
    });
  };
  let codec: Promise<RecordCodec | undefined> | undefined;
  return { world, started: start() };
}

/** The codec of the world's cluster; undefined when no node has created it yet. */
export async function codecOf({ shared, options, random }: World): Promise<RecordCodec | undefined> {
  const cluster = await shared.identify();
  if (cluster === undefined) return undefined;
  return recordCodec({
    cluster: cluster.id,
    crypto: simCrypto(random.fork("records")),
    compress: simCompress,
    key: options.encryptionKey,
  });
}

/** Reads every journal, and holds what nodes serve against it. */
async function audit(world: World): Promise<readonly Audit[]> {
  const { shared, options, problems, weather } = world;
  const codec = await codecOf(world);
  if (codec === undefined) return [];
  problems.push(...(await settle(world)));
  const audits: Audit[] = [];
  for (let shard = 0; shard < options.shards; shard++) audits.push(await auditJournal(shared, codec, shard));
  for (const { problems: found } of audits) problems.push(...found);
  problems.push(...checkLanes(audits.map(({ work }) => work)));
  problems.push(...(await auditNodes(world, audits)));
  if (options.cluster) for (const { claims } of audits) weather.tally.takeovers += Math.max(0, claims - 1);
  return audits;
}

/** A typed client over a world; each of its calls makes the world move. */
export const clientOf = <A extends AppShape>(world: World, settings: CallerSettings): Client<A["contract"]> => {
  const invoke = world.invoke(settings);
  return bindClient<A["contract"]>((address, input, options) => world.driver.drive(invoke(address, input, options)));
};

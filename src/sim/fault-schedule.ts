// When which fault strikes. Faults of single requests are rolled where the request passes (sim-engine, link, caller); this
// file has those that come over a whole node or the whole world, and go again.

import type { Millis, Shard } from "../base/index.ts";
import type { Machine } from "./machine.ts";
import type { Placement } from "./placement.ts";
import type { Random } from "./random.ts";
import type { Schedule } from "./schedule.ts";
import type { Engine, RecordCodec } from "../journal/index.ts";
import { wayOf } from "./network.ts";
import { snapshotId } from "./sim-engine.ts";
import type { FaultName, Weather } from "./weather.ts";

export type FaultScheduleOptions = {
  readonly schedule: Schedule;
  readonly random: Random;
  readonly weather: Weather;
  readonly machines: readonly Machine[];
  readonly placement: Placement;
  readonly shared: Engine;
  readonly rot: Map<string, number>;
  readonly shards: number;
  /** Mean time between two faults of one kind. */
  readonly everyMs: Millis;
  /** Mean number of events between two crashes. */
  readonly eventsPerCrash: number;
  /** Wall clock of a machine's present node, moved by so much. */
  readonly jump: (machine: Machine, ms: Millis) => void;
  /** Reads and writes the cluster's records, once there is a cluster. */
  readonly codec: () => Promise<RecordCodec | undefined>;
  readonly onProblem: (says: string) => void;
};

const longestDown: Millis = 60;
/** Faults that stop everything come more seldom, or nothing would ever run. */
const rarity: Partial<Record<FaultName, number>> = {
  restart: 5,
  power: 5,
  "slow-engine": 2,
  full: 3,
  partition: 2,
  "bit-rot": 0.3,
  zombie: 2,
  pause: 2,
  flap: 4,
  registry: 2,
};

/** Begins; ends when the weather has no fault enabled. */
export function startFaults(options: FaultScheduleOptions): void {
  const { schedule, random, weather, machines, everyMs } = options;
  const acts = actsOf(options);
  const count = (name: FaultName): void => void weather.tally.injected[name]++;

  const again = (name: FaultName, act: () => boolean): void => {
    const ms = -Math.log(1 - random.float()) * everyMs * (rarity[name] ?? 1);
    schedule.after(ms, `fault:${name}`, () => {
      if (!weather.enabled.has(name)) return;
      if (act()) count(name);
      again(name, act);
    });
  };
  for (const [name, act] of acts) if (weather.enabled.has(name)) again(name, act);
  if (weather.enabled.has("crash")) crashBetweenEvents(options, () => count("crash"), machines);
}

/** Crashes strike between any two events, also those of one instant. */
function crashBetweenEvents(options: FaultScheduleOptions, count: () => void, machines: readonly Machine[]): void {
  const { schedule, random, weather, eventsPerCrash } = options;
  let at = schedule.count() + random.below(eventsPerCrash);
  const strike = (): void => {
    if (schedule.count() < at || !weather.enabled.has("crash")) return;
    at = schedule.count() + random.below(2 * eventsPerCrash);
    const running = machines.filter((one) => one.state().kind !== "down");
    if (running.length === 0) return;
    count();
    const machine = random.pick(running);
    machine.crash();
    if (random.chance(0.4)) machine.store.wipe();
    bringBack(options, machine);
  };
  schedule.beforeEach = strike;
}

/** Starts the machine again after a while, as often as it takes. */
export function bringBack(
  options: Pick<FaultScheduleOptions, "schedule" | "random" | "machines" | "placement">,
  machine: Machine,
): void {
  const { schedule, random, machines, placement } = options;
  schedule.after(random.float() * longestDown, `${machine.name}:boot`, () => {
    if (machine.state().kind !== "down") return;
    const claim = machines.length === 1 ? undefined : random.chance(0.5) ? placement.ownedBy(machine) : [];
    machine.start(claim).catch(() => bringBack(options, machine));
  });
}

type Act = () => boolean;

/** What each fault does; answers whether it did anything. */
function actsOf(options: FaultScheduleOptions): readonly (readonly [FaultName, Act])[] {
  const { schedule, random, weather, machines, placement, shards } = options;
  const up = (): Machine[] => machines.filter(runs);
  const spell = (ms: Millis, begin: () => void, end: () => void): boolean => {
    begin();
    schedule.after(random.float() * ms, "fault:over", end);
    return true;
  };
  return [
    ["restart", () => restartOne(options, up())],
    ["power", () => powerCut(options)],
    [
      "slow-engine",
      () => {
        const factor = random.between(2, random.chance(0.2) ? 100 : 20);
        return spell(
          80,
          () => (weather.slowness = factor),
          () => (weather.slowness = 1),
        );
      },
    ],
    [
      "full",
      () =>
        spell(
          60,
          () => (weather.full = true),
          () => (weather.full = false),
        ),
    ],
    [
      "bit-rot",
      () => {
        void rotSnapshot(options, random.below(shards));
        return false;
      },
    ],
    [
      "contend",
      () => {
        const shard = random.below(shards);
        const others = up().filter((machine) => machine !== placement.owner(shard));
        if (others.length === 0) return false;
        void placement.claim(shard, random.pick(others));
        return true;
      },
    ],
    [
      "clock",
      () => {
        options.jump(random.pick(machines), random.between(-1, 1) * 3_600_000);
        return true;
      },
    ],
    [
      "partition",
      () => {
        const { name } = random.pick(machines);
        const cut = random.chance(0.6) ? weather.cutFromEngine : weather.cutFromCallers;
        return spell(
          80,
          () => cut.add(name),
          () => cut.delete(name),
        );
      },
    ],
    ["pause", () => pauseOne(options, up())],
    [
      "zombie",
      () => {
        void haunt(options, random.below(shards));
        return false;
      },
    ],
    ...betweenNodes(options, spell),
    ["flap", () => flap(options, up())],
    [
      "registry",
      () => {
        if (random.chance(0.5)) return spell(60, ...away(weather));
        void forget(options.shared);
        return true;
      },
    ],
  ];
}

/** Up, and not paused. */
export function runs(machine: Machine): boolean {
  const state = machine.state();
  return state.kind === "up" && !state.host.paused();
}

const away = (weather: Weather): [() => void, () => void] => [
  () => (weather.registryAway = true),
  () => (weather.registryAway = false),
];

async function forget({ registry }: Engine): Promise<void> {
  for (const key of (await registry.list()).keys()) await registry.delete(key);
}

function pauseOne({ schedule, random }: FaultScheduleOptions, up: readonly Machine[]): boolean {
  if (up.length === 0) return false;
  const state = random.pick(up).state();
  if (state.kind !== "up") return false;
  const { host } = state;
  host.pause();
  schedule.after(random.float() * (random.chance(0.3) ? 300 : 60), "fault:over", () => host.resume());
  return true;
}

type Spell = (ms: Millis, begin: () => void, end: () => void) => boolean;

/** What befalls the ways between nodes. */
function betweenNodes(
  { random, weather, machines }: FaultScheduleOptions,
  spell: Spell,
): readonly (readonly [FaultName, Act])[] {
  /** From one node to another, or to all others. */
  const ways = (): { there: string[]; back: string[] } => {
    const { name } = random.pick(machines);
    const others = machines.map((machine) => machine.name).filter((other) => other !== name);
    const to = random.chance(0.5) ? others : [random.pick(others)];
    return { there: to.map((other) => wayOf(name, other)), back: to.map((other) => wayOf(other, name)) };
  };
  const cut = (all: readonly string[]): boolean =>
    spell(
      random.chance(0.3) ? 300 : 80,
      () => all.forEach((way) => weather.cutBetween.add(way)),
      () => all.forEach((way) => weather.cutBetween.delete(way)),
    );
  return [
    [
      "split",
      () => {
        const { there, back } = ways();
        return cut([...there, ...back]);
      },
    ],
    ["one-way", () => cut(ways().there)],
    [
      "lag",
      () => {
        const { there, back } = ways();
        const all = random.chance(0.5) ? there : [...there, ...back];
        const ms = random.between(2, random.chance(0.3) ? 60 : 15);
        return spell(
          120,
          () => all.forEach((way) => weather.lagBetween.set(way, ms)),
          () => all.forEach((way) => weather.lagBetween.delete(way)),
        );
      },
    ],
  ];
}

/** The same way, or the same node, over and over. */
function flap(options: FaultScheduleOptions, up: readonly Machine[]): boolean {
  const { schedule, random, weather, machines } = options;
  if (up.length === 0) return false;
  const times = 2 + random.below(4);
  const pause = (): Millis => random.between(2, 30);
  const machine = random.pick(up);
  if (random.chance(0.5)) {
    const other = random.pick(machines.filter((one) => one !== machine));
    const ways = [wayOf(machine.name, other.name), wayOf(other.name, machine.name)];
    const turn = (left: number): void => {
      const breaks = left % 2 === 0 && weather.enabled.has("flap");
      for (const way of ways) weather.cutBetween[breaks ? "add" : "delete"](way);
      if (left > 1) schedule.after(pause(), "fault:flap", () => turn(left - 1));
    };
    turn(2 * times);
    return true;
  }
  const leave = async (left: number): Promise<void> => {
    if (left === 0 || !runs(machine) || !weather.enabled.has("flap")) return;
    await once(options, machine);
    schedule.after(pause(), "fault:flap", () => void leave(left - 1).catch(again));
  };
  const again = (): void => bringBack(options, machine);
  void leave(times).catch(again);
  return true;
}

/** A node goes, or gives away what it has, or takes nothing more, and is as before again. */
async function once({ schedule, random }: FaultScheduleOptions, machine: Machine): Promise<void> {
  const state = machine.state();
  const dice = random.float();
  if (dice < 0.5 && state.kind === "up") {
    const { node } = state;
    const steer = dice < 0.35 ? node.drain : node.cordon;
    await steer(node.id, true);
    await new Promise<void>((resolve) => void schedule.after(random.between(2, 60), "fault:flap", resolve));
    return steer(node.id, false);
  }
  if (dice < 0.7) machine.crash();
  else await machine.stop();
  return machine.start();
}

/** What a replaced owner had sent gets in behind its successor's claim: a batch of an older epoch, with the states of then. */
async function haunt({ shared, codec, weather }: FaultScheduleOptions, shard: Shard): Promise<void> {
  const [head] = await shared.barrier([shard]);
  const records = await codec();
  if (!head || head.epoch < 2 || records === undefined) return;
  const { entries } = await shared.read(shard, Math.max(1, head.seq - 64), 128);
  const decoded = entries.map(({ seq, record }) => records.decode(record, { shard, seq }));
  const old = decoded.findLast(({ header, payload }) => payload.kind === "batch" && header.epoch < head.epoch);
  const last = decoded.at(-1);
  if (!old || !last || last.header.seq !== head.seq) return;
  const { header, payload } = old;
  const record = records.encode({ header: { ...header, seq: head.seq + 1, prev: last.hash }, payload }).bytes;
  const { generation, epoch } = header;
  weather.haunted = true;
  const landed = shared.append([{ shard, generation, epoch, expected: head.seq, record }]);
  weather.haunted = false;
  weather.tally.injected.zombie++;
  await landed;
}

function restartOne(options: FaultScheduleOptions, up: readonly Machine[]): boolean {
  if (up.length === 0) return false;
  const machine = options.random.pick(up);
  machine.stop().then(
    () => bringBack(options, machine),
    (error: unknown) => options.onProblem(`${machine.name} could not stop: ${String(error)}`),
  );
  return true;
}

function powerCut(options: FaultScheduleOptions): boolean {
  for (const machine of options.machines) {
    machine.crash();
    machine.disk.losePower();
    void machine.store.losePower(options.random).then(() => bringBack(options, machine));
  }
  return true;
}

/** Flips a bit of the newest or the older snapshot of a shard, unless one of the two has a flipped bit already. One that the
 *  journal does not continue any more, as a copy that is behind may leave, does not count: nothing could start from it. */
export async function rotSnapshot(
  { shared, random, rot, weather }: Pick<FaultScheduleOptions, "shared" | "random" | "rot" | "weather">,
  shard: Shard,
): Promise<void> {
  const { first } = await shared.read(shard, 1, 1);
  const kept = (await shared.snapshots.list(shard)).filter(({ seq }) => seq >= first - 1).map(snapshotId);
  if (kept.length < 2 || kept.some((id) => rot.has(id))) return;
  rot.set((random.chance(0.75) ? kept[0] : kept[1]) as string, random.bits());
  weather.tally.injected["bit-rot"]++;
}

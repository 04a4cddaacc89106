// When which fault strikes. Faults of single requests are rolled where the request passes (sim-engine, link, caller); this
// file has those that come over a whole node or the whole world, and go again.

import type { Millis, Shard } from "../base/index.ts";
import type { Machine } from "./machine.ts";
import type { Placement } from "./placement.ts";
import type { Random } from "./random.ts";
import type { Schedule } from "./schedule.ts";
import type { Engine } from "../journal/index.ts";
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
  schedule.beforeEach = () => {
    if (schedule.count() < at || !weather.enabled.has("crash")) return;
    at = schedule.count() + random.below(2 * eventsPerCrash);
    const running = machines.filter((machine) => machine.state().kind !== "down");
    if (running.length === 0) return;
    count();
    const machine = random.pick(running);
    machine.crash();
    if (random.chance(0.4)) machine.store.wipe();
    bringBack(options, machine);
  };
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
  const up = (): Machine[] => machines.filter((machine) => machine.state().kind === "up");
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
  ];
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

/** Flips a bit of the newest or the older snapshot of a shard, unless one of the two has a flipped bit already. */
export async function rotSnapshot(
  { shared, random, rot, weather }: Pick<FaultScheduleOptions, "shared" | "random" | "rot" | "weather">,
  shard: Shard,
): Promise<void> {
  const kept = (await shared.snapshots.list(shard)).map(snapshotId);
  if (kept.length < 2 || kept.some((id) => rot.has(id))) return;
  rot.set((random.chance(0.75) ? kept[0] : kept[1]) as string, random.bits());
  weather.tally.injected["bit-rot"]++;
}

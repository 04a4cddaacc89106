// What operators do in the gate with schedules, and what must be true afterwards.

import type { Millis } from "../base/index.ts";
import { Schedule, scheduleBook } from "../control/index.ts";
import type { Message } from "../journal/index.ts";
import type { ScheduledRun } from "../model/index.ts";
import { unpack } from "../wire/index.ts";
import { checkRolls, nameOf, ScheduleAudit } from "./schedule-audit.ts";
import { type Mark, Roll, rolls, schedulesApp } from "./schedules-app.ts";
import { calmly, openCalls, type Stage, type Workload } from "./stage.ts";
import { Watch } from "./workloads-messages.ts";
import type { World } from "./world.ts";

const lengthMs: Millis = 500;
const longestPauseMs: Millis = 60;
/** A run that has failed six times waits nearly 4 s for the next attempt. */
const patienceMs: Millis = 6_000;

type Watching = { readonly watch: Watch; readonly audits: readonly ScheduleAudit[]; readonly early: readonly string[] };
const watching = new WeakMap<World, Watching>();

/** Asks some node to do something with a schedule, which may fail, or to load its code again. */
async function operate({ world, random }: Stage, names: readonly string[]): Promise<void> {
  const state = random.pick(world.machines).state();
  if (state.kind !== "up") return;
  const { node, host } = state;
  if (random.chance(0.2)) return node.reload(schedulesApp(world.options.faults));
  const book = scheduleBook({ host, calls: node, search: async () => [], declared: () => names });
  const by = { id: "operator", roles: ["admin"] };
  const act = random.pick([book.run, book.run, book.pause, book.resume, book.resume, book.resume]);
  await Promise.race([act(by, random.pick(names)).catch(() => undefined), world.sleep(longestPauseMs)]);
}

/** W9 by schedules: whatever comes to pass, each time that is due is run once, and no run is lost but by policy. */
export const schedules: Workload = {
  async run(stage) {
    const { world, random } = stage;
    const shapes = schedulesApp(world.options.faults).schedules ?? [];
    const audits = Array.from({ length: world.options.shards }, () => new ScheduleAudit(shapes));
    const early: string[] = [];
    const hasJumps = world.options.faults.includes("clock");
    const seen = new Watch(world, (shard, decoded) => {
      audits[shard]!.apply(decoded);
      if (!hasJumps && decoded.header.at > world.now())
        early.push(`a record of ${decoded.header.at} at ${world.now()}`);
    });
    void seen.run();
    watching.set(world, { watch: seen, audits, early });
    const until = Math.min(stage.until, world.schedule.now() + lengthMs);
    while (world.schedule.now() < until) {
      await world.sleep(random.float() * longestPauseMs);
      if (random.chance(0.4))
        await operate(
          stage,
          shapes.map(({ name }) => name),
        );
    }
  },
  async check({ world }) {
    const { watch: seen, audits, early } = watching.get(world)!;
    const names = (schedulesApp(world.options.faults).schedules ?? []).map(({ name }) => name);
    const client = calmly(world);
    // A schedule that was paused all along is to have begun, too.
    for (const name of names) await client.entity(Schedule, name).resume({ by: "checker" });
    await world.sleep(100);
    for (const name of names) await client.entity(Schedule, name).pause({ by: "checker" });
    const marks: Mark[] = [];
    for (let n = 0; n < rolls; n++) await client.entity(Roll, `r${n}`).look();
    const open = await seen.settle(patienceMs);
    for (let n = 0; n < rolls; n++) marks.push(...(await client.entity(Roll, `r${n}`).look()));
    seen.end();
    const left = seen.audits.flatMap(({ chores }) => [...chores.values()]).map(({ message }) => message);
    const problems = [...openCalls(world), ...open, ...seen.found(), ...early.slice(0, 3)];
    problems.push(...audits.flatMap((audit) => audit.problems));
    problems.push(...checkRolls(audits, marks, new Set(left.map(runOf))));
    for (const name of names)
      if (!marks.some((mark) => mark.name === name) && !world.options.faults.includes("clock"))
        problems.push(`schedule ${name} never ran`);
    return problems;
  },
};

/** The run that a dead letter is of. */
function runOf({ type, key, input }: Message): string {
  const { number, name } = unpack(input) as ScheduledRun & { readonly name?: string };
  return nameOf(type === Roll.name ? (name ?? "") : key, number);
}

// A small simulated cluster for tests of the machines here: members with clocks of their own, a registry that all poll, a
// matrix of links, and shards whose journal is one variable. Everything is drawn from one seed.

import { invariant, type Tick } from "../base/index.ts";
import type { Member, MemberRecord } from "./member.ts";
import { type Members, trackMembers } from "./members.ts";
import { type Placement, placementOf } from "./placement.ts";
import { plan, type ShardSight, type Step } from "./plan.ts";
import { checkTiming, type Timing } from "./timing.ts";
import type { View } from "./view.ts";

export const memberNamed = (name: string, changes: Partial<Member> = {}): Member => ({
  id: name,
  name,
  peer: `${name}:7400`,
  gateway: null,
  admin: null,
  zone: "",
  weight: 1,
  release: "",
  services: [],
  entities: true,
  hosts: null,
  state: "ready",
  cordoned: false,
  startedAt: 0,
  pid: 1,
  version: "0.1.0",
  ...changes,
});

/** Mulberry32 (Tommy Ettinger, public domain). */
function diceOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t ^= t + Math.imul(t ^ (t >>> 7), 61 | t);
    return ((t ^ (t >>> 14)) >>> 0) / 0x100000000;
  };
}

type Held = { -readonly [name in keyof ShardSight]: ShardSight[name] } & { epoch: number };

type Run = {
  readonly id: string;
  readonly members: Members;
  member: Member;
  readonly clockAhead: number;
  readonly held: readonly Held[];
  beat: number;
  accused: string;
  placement: { readonly of: View; readonly value: Placement };
  steps: readonly Step[];
};

type Slot = { readonly name: string; run: Run | undefined; runs: number; pausedUntil: number; waiting: (() => void)[] };

export type WorldOptions = {
  readonly seed: number;
  readonly nodes: number;
  readonly shards: number;
  readonly copies?: number;
  readonly timing?: Partial<Timing>;
  /** A planted defect. */
  readonly defect?: "no accusations" | undefined;
};

export type World = ReturnType<typeof worldOf>;

export function worldOf(options: WorldOptions) {
  const { nodes, shards, copies = 3 } = options;
  const dice = diceOf(options.seed);
  const timing = checkTiming(options.timing);
  let now = 0;
  const queue: { at: number; act: () => void }[] = [];
  const registry = new Map<string, MemberRecord>();
  const journals = Array.from({ length: shards }, () => ({ owner: undefined as string | undefined, epoch: 0 }));
  const history: { at: number; shard: number; by: string; how: "claim" | "hand-over" }[] = [];
  const trace: string[] = [];
  const cut = new Set<string>();
  const offEngine = new Set<string>();
  const slots: Slot[] = Array.from({ length: nodes }, (_, i) => ({
    name: String.fromCharCode(97 + i),
    run: undefined,
    runs: 0,
    pausedUntil: 0,
    waiting: [],
  }));

  const later = (ms: number, act: () => void): void => {
    // Sorted with the next one last; of one moment, the first asked for is next.
    const at = now + ms;
    let low = 0;
    for (let high = queue.length; low < high;) {
      const middle = (low + high) >> 1;
      if ((queue[middle]?.at ?? 0) > at) low = middle + 1;
      else high = middle;
    }
    queue.splice(low, 0, { at, act });
  };
  const slot = (name: string): Slot => {
    const found = slots.find((one) => one.name === name);
    invariant(found, `no node ${name}`);
    return found;
  };
  const slotOfRun = (id: string): Slot => slot(id.slice(0, 1));
  const isCut = (from: string, to: string): boolean => cut.has(`${from}>${to}`);
  const isReachable = (from: string, to: string): boolean => !isCut(from, to) && !isCut(to, from);
  const clock = (run: Run): Tick => now + run.clockAhead;

  /** Runs `act` on the process, unless it is gone by then; a paused one does it when it wakes. */
  const onRun = (run: Run, act: () => void): void => {
    const at = slotOfRun(run.id);
    if (at.run !== run) return;
    if (now < at.pausedUntil) at.waiting.push(() => onRun(run, act));
    else act();
  };
  const every = (run: Run, ms: number, act: () => void): void => {
    const again = (): void => {
      if (slotOfRun(run.id).run !== run) return;
      onRun(run, act);
      later(ms + Math.floor(dice() * 8), again);
    };
    later(Math.floor(dice() * ms), again);
  };

  const put = (run: Run): void => {
    const accuses = options.defect === "no accusations" ? [] : run.members.accuses(clock(run));
    run.accused = accuses.join();
    if (offEngine.has(slotOfRun(run.id).name)) return;
    const record = { member: run.member, beat: run.beat++, accuses };
    later(2 + Math.floor(dice() * 20), () => registry.set(run.id, record));
  };
  const poll = (run: Run): void => {
    if (offEngine.has(slotOfRun(run.id).name)) return;
    run.members.listed(new Map(registry), clock(run));
    for (const id of run.members.gone(clock(run))) registry.delete(id);
    for (const held of run.held) readJournal(run, held);
    act(run);
  };
  const readJournal = (run: Run, held: Held): void => {
    const journal = journals[held.shard];
    if (journal === undefined || journal.epoch <= held.epoch) return;
    held.epoch = journal.epoch;
    held.owner = journal.owner;
    held.since = clock(run);
    held.moving = undefined;
    held.offered = false;
    if (held.mine === "serving" || held.mine === "opening") held.mine = "fenced";
  };
  const beat = (run: Run): void => {
    const from = slotOfRun(run.id).name;
    for (const { member } of run.members.view().members) {
      if (member.id === run.id || isCut(from, member.name)) continue;
      const to = slot(member.name);
      if (to.run?.id !== member.id) {
        if (!isCut(member.name, from)) later(5, () => onRun(run, () => run.members.refused(member.id, clock(run))));
        continue;
      }
      const target = to.run;
      later(1 + Math.floor(dice() * 10), () => onRun(target, () => target.members.heard(run.id, clock(target))));
    }
    run.members.tick(clock(run));
    if (run.members.accuses(clock(run)).join() !== run.accused) put(run);
    act(run);
  };

  const tryClaim = (run: Run, held: Held): void => {
    const expected = held.epoch;
    const how = held.offered === true ? "hand-over" : "claim";
    held.mine = "opening";
    later(10 + Math.floor(dice() * 20), () =>
      onRun(run, () => {
        const journal = journals[held.shard];
        const reaches = !offEngine.has(slotOfRun(run.id).name);
        if (journal === undefined || held.mine !== "opening") return;
        held.offered = false;
        // Somebody else's claim, met while reading to the end, is news for the plan.
        if (!reaches || journal.epoch !== expected) return void (held.mine = "following");
        journal.epoch++;
        journal.owner = run.id;
        history.push({ at: now, shard: held.shard, by: run.id, how });
        trace.push(`${now} ${held.shard} ${run.id} ${how} ${journal.epoch}`);
        held.mine = "serving";
        held.owner = run.id;
        held.epoch = journal.epoch;
        held.since = clock(run);
      }),
    );
  };
  const handOver = (run: Run, held: Held, to: string): void => {
    held.moving = to;
    later(30, () =>
      onRun(run, () => {
        if (held.mine !== "serving" || held.moving !== to) return;
        held.moving = undefined;
        const from = slotOfRun(run.id);
        const target = slotOfRun(to);
        if (target.run?.id !== to || !isReachable(from.name, target.name) || offEngine.has(from.name)) return;
        held.mine = "following";
        held.since = clock(run);
        const other = target.run;
        const theirs = other.held[held.shard];
        onRun(other, () => {
          if (theirs === undefined || theirs.mine === "serving") return;
          theirs.offered = true;
          act(other);
        });
      }),
    );
  };
  const act = (run: Run): void => {
    const view = run.members.view();
    if (run.placement.of !== view) run.placement = { of: view, value: placementOf(view, shards, copies) };
    const { placement } = run;
    run.steps = plan({ me: run.id, view, placement: placement.value, shards: run.held, now: clock(run), timing });
    for (const [i, step] of run.steps.entries()) {
      const held = run.held[i];
      if (held === undefined) continue;
      if (step.do === "hand-over" && held.moving !== step.to) handOver(run, held, step.to);
      else if (step.do === "follow" && held.mine !== "following") held.mine = "following";
      else if (step.do === "rest") held.mine = "closed";
      else if (step.do === "claim" && step.afterMs === 0 && held.mine !== "opening") tryClaim(run, held);
    }
  };

  const start = (name: string, changes: Partial<Member> = {}): void => {
    const at = slot(name);
    const id = `${name}${++at.runs}`;
    const member = memberNamed(name, { id, startedAt: now, ...changes });
    const clockAhead = Math.floor(dice() * 1e6);
    const members = trackMembers(member, now + clockAhead, options.timing);
    const since = now + clockAhead;
    const held: Held[] = journals.map((_, shard) => ({ shard, mine: "closed", owner: undefined, since, epoch: 0 }));
    const view = members.view();
    const placement = { of: view, value: placementOf(view, shards, copies) };
    const run: Run = { id, members, member, clockAhead, held, beat: 1, accused: "", placement, steps: [] };
    at.run = run;
    at.waiting = [];
    at.pausedUntil = 0;
    put(run);
    every(run, 150, () => beat(run));
    every(run, 250, () => put(run));
    every(run, 60, () => poll(run));
  };

  return {
    start,
    registry,
    journals,
    /** Every change of owner. */
    history,
    /** One line for each change of owner. */
    trace,
    now: () => now,
    crash(name: string): void {
      const at = slot(name);
      const dead = at.run;
      at.run = undefined;
      if (dead === undefined) return;
      for (const { name: other, run } of slots) {
        if (run === undefined || !isReachable(name, other)) continue;
        later(20, () => onRun(run, () => run.members.refused(dead.id, clock(run))));
      }
    },
    /** Everyone's dialing of that run is refused, though it lives. */
    refuse(id: string): void {
      for (const { run } of slots) if (run && run.id !== id) run.members.refused(id, clock(run));
    },
    pause(name: string, ms: number): void {
      const at = slot(name);
      at.pausedUntil = now + ms;
      later(ms, () => {
        if (now < at.pausedUntil) return;
        for (const wake of at.waiting.splice(0)) wake();
      });
    },
    change(name: string, changes: Partial<Member>): void {
      const { run } = slot(name);
      if (run === undefined) return;
      run.member = { ...run.member, ...changes };
      run.members.self(run.member, clock(run));
      put(run);
    },
    /** Cuts what `from` sends to `to`. */
    cut: (from: string, to: string): void => void cut.add(`${from}>${to}`),
    join: (from: string, to: string): void => void cut.delete(`${from}>${to}`),
    cutEngine: (name: string): void => void offEngine.add(name),
    heal(): void {
      cut.clear();
      offEngine.clear();
    },
    runFor(ms: number): void {
      const end = now + ms;
      for (let next = queue.at(-1); next !== undefined && next.at <= end; next = queue.at(-1)) {
        queue.pop();
        now = next.at;
        next.act();
      }
      now = end;
    },
    reachesEngine: (name: string): boolean => !offEngine.has(name),
    running: (): readonly Run[] => slots.flatMap(({ run }) => run ?? []),
    view: (name: string): View => {
      const { run } = slot(name);
      invariant(run, `${name} does not run`);
      return run.members.view();
    },
    names: slots.map(({ name }) => name),
  };
}

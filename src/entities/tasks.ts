// Carries out what is due at shards that are owned here: messages that have come, and timers.
//
// T1. What a task does and that it is over stand in one record. So one that was under way when its owner died is begun again.
// T2. A failed attempt is journaled with when the next one is due, so attempts are counted across owners and restarts.
// T3. What was begun is not begun again while what came of it may yet become durable.
// T4. Of a key one message at a time is under way. A refusal that says nothing of the handler counts as no attempt.

import { asSheafError, type ErrorCode, type Limits, type Millis, SheafError } from "../base/index.ts";
import type { Host, Timer } from "../host/index.ts";
import type { CompiledApp } from "../model/index.ts";
import type { Call, Reply } from "../rpc/index.ts";
import { type Agenda, type Hot, refOf, type Shard, type Shards, type Task, timerName } from "../shards/index.ts";
import { unpack } from "../wire/index.ts";
import { Crowd } from "./crowd.ts";
import { Shares } from "./shares.ts";
import { type TaskMeters, taskMeters } from "./task-meters.ts";

export type TasksOptions = {
  readonly host: Host;
  readonly limits: Limits;
  readonly shards: Shards;
  /** Carries a command out on this node. */
  readonly here: (call: Call) => Promise<Reply>;
  /** How many may wait for their turn on this node, so that callers get theirs. */
  readonly room: () => number;
  readonly app: () => CompiledApp;
};

const anyInput = new Uint8Array(16);

/** Tasks of one shard under way. */
const atOnce = 256;
const longestPause: Millis = 60_000;
/** What no application here knows may come with a release that is under way: so long it is no dead letter. */
const releaseMs: Millis = 60 * 60_000;
/** Until what was refused for reasons of the node is tried again; and what had begun and could not go on, in a call it made say. */
const soonMs: Millis = 50;
const laterMs: Millis = 500;

/** It will not fit any better next time. */
const final: ReadonlySet<ErrorCode> = new Set(["DECLARED", "BAD_INPUT", "TOO_LARGE", "POISONED"]);
/** Nothing was found out about the command. */
const passing: ReadonlySet<ErrorCode> = new Set([
  "NOT_OWNER",
  "NOT_READY",
  "STOPPING",
  "QUARANTINED",
  "OVERLOADED",
  "ENGINE_UNAVAILABLE",
  "ENGINE_FULL",
  "OUTCOME_UNKNOWN",
  "UNREACHABLE",
  "CALL_LOST",
  "NOT_HOSTED",
]);

export class Tasks {
  readonly #options: TasksOptions;
  readonly #meters: TaskMeters;
  readonly #crowd: Crowd;
  readonly #shares: Shares;
  /** Under way, by agenda: what was begun in an earlier tenure keeps nothing from beginning anew. */
  readonly #running = new WeakMap<Agenda, Set<string>>();
  readonly #timers = new Map<Shard, Timer>();
  #closed = false;

  constructor(options: TasksOptions) {
    this.#options = options;
    this.#meters = taskMeters(options.host.meter);
    this.#crowd = new Crowd(options.host.clock, options.room, (shard) => this.wake(shard));
    this.#shares = new Shares(options.app, ({ fold }, id) => this.#runningAt(fold.agenda).has(id));
  }

  /** Starts what is due at a shard, and comes back when the next is. */
  wake(shard: Shard): void {
    this.#timers.get(shard)?.cancel();
    this.#timers.delete(shard);
    if (this.#closed || shard.tenure.kind !== "serving") return;
    const { clock } = this.#options.host;
    const { agenda } = shard.fold;
    const running = this.#runningAt(agenda);
    this.#shares.offer(shard);
    for (let task = agenda.first(); task !== undefined && running.size < atOnce; task = agenda.first()) {
      const wait = task.due! - shard.now();
      if (wait > 0)
        return void this.#timers.set(
          shard,
          clock.after(Math.min(wait, longestPause), () => this.wake(shard)),
        );
      if (this.#crowd.keepsOut(shard)) return;
      agenda.take();
      if (!running.has(task.id) && this.#shares.enter(shard, task)) void this.#start(shard, task, running);
    }
  }

  /** Ends a task that is not to be carried out any more. Rejects IN_USE while it is carried out. */
  async withdraw(shard: Shard, task: Task): Promise<void> {
    const { id } = task;
    const { agenda } = shard.fold;
    const running = this.#runningAt(agenda);
    if (running.has(id) || shard.settles(refOf(task)))
      throw new SheafError("IN_USE", "it is being carried out at this moment", { hint: "Ask again in a moment." });
    // Nobody begins it meanwhile.
    running.add(id);
    const ref = refOf(task);
    // The journal tells what was given up from what was carried out.
    if (task.due !== undefined)
      shard.note(
        { kind: "failed", task: ref, attempts: task.attempts, cause: "CANCELLED: an operator took it back" },
        () => {},
      );
    const refusal = await new Promise<SheafError | undefined>((resolve) =>
      shard.note({ kind: "done", task: ref }, resolve),
    );
    running.delete(id);
    agenda.back(id);
    this.wake(shard);
    if (refusal) throw refusal;
  }

  close(): void {
    this.#closed = true;
    this.#crowd.close();
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
  }

  #runningAt(agenda: Agenda): Set<string> {
    let running = this.#running.get(agenda);
    if (!running) this.#running.set(agenda, (running = new Set()));
    return running;
  }

  async #start(shard: Shard, task: Task, running: Set<string>): Promise<void> {
    const { agenda } = shard.fold;
    running.add(task.id);
    let pause: Millis = 0;
    const begun = { yet: false, waitsNoMore: this.#crowd.enter() };
    try {
      await this.#options.here(this.#callOf(shard, task, begun));
      this.#meters.done(task, shard.now());
    } catch (error) {
      pause = await this.#failed(shard, task, asSheafError(error), begun.yet);
    }
    begun.waitsNoMore();
    if (pause > 0) await new Promise<void>((resolve) => void this.#options.host.clock.after(pause, resolve));
    running.delete(task.id);
    // Unless it is over: itself, or what was set in its place meanwhile and could not begin beside it.
    agenda.back(task.id);
    this.wake(shard);
  }

  /** `begun` tells whether its handler was run. */
  #callOf(shard: Shard, task: Task, begun: { yet: boolean; waitsNoMore: () => void }): Call {
    const { clock } = this.#options.host;
    const [id = "", ...roles] = task.by;
    const { agenda } = shard.fold;
    const name = task.kind === "timer" ? timerName(task) : undefined;
    return {
      target: { kind: "command", entity: task.type, key: task.key, name: task.command },
      input: task.input.length === 0 ? undefined : unpack(task.input),
      principal: { id, roles },
      deadline: clock.tick() + this.#options.limits.defaultDeadlineMs,
      // What it calls is a repeat when it runs again, redriven too, whatever a mended handler asks for then.
      op: { id: `task ${shard.number} ${refOf(task)}`, issuedAt: undefined, fingerprint: anyInput },
      session: "",
      task: {
        id: refOf(task),
        stands: (hot) => {
          begun.waitsNoMore();
          return (begun.yet =
            shard.fold.agenda === agenda &&
            agenda.tasks.get(task.id) === task &&
            !shard.settles(refOf(task)) &&
            (name === undefined || !shard.retimes(hot as Hot, name)));
        },
      },
    };
  }

  /** Notes the failure. Tells how long to wait until it is tried again where none was to be noted. */
  async #failed(shard: Shard, task: Task, error: SheafError, begun: boolean): Promise<Millis> {
    const { host, limits } = this.#options;
    if (passing.has(error.code) || error.outcome === "unknown" || (error.code === "DEADLINE" && !begun))
      return Math.max(begun ? laterMs : soonMs, error.retryAfterMs ?? 0);
    if (this.#closed || shard.tenure.kind !== "serving" || shard.settles(refOf(task))) return soonMs;
    const attempts = task.attempts + 1;
    const early = error.code === "UNKNOWN_TARGET" && !begun && shard.now() - task.at < releaseMs;
    const dead = final.has(error.code) || (attempts >= limits.maxAttempts && !early);
    const pause = Math.min(longestPause, limits.retryMs * 4 ** task.attempts) * (0.75 + host.dice.random() / 2);
    const cause = `${error.code}: ${error.message}`.slice(0, 1024);
    const due = dead ? undefined : Math.ceil(shard.now() + pause);
    this.#meters.failed(dead);
    if (dead) {
      const { type, key, command } = task;
      host.log.warn("a message or timer is a dead letter", {
        shard: shard.number,
        task: task.id,
        type,
        key,
        command,
        cause,
      });
    }
    const refusal = await new Promise<SheafError | undefined>((resolve) =>
      shard.note({ kind: "failed", task: refOf(task), ...(due !== undefined && { due }), attempts, cause }, resolve),
    );
    return refusal ? soonMs : 0;
  }
}

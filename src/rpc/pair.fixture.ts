// Both ends of the session protocol in one process under a clock that stands still: what session tests share.

import { setImmediate as nextTurn } from "node:timers/promises";
import { defaultLimits, SheafError, type Tick } from "../base/index.ts";
import type { Clock, Timer } from "../host/index.ts";
import {
  type Call,
  Caller,
  type CallerOptions,
  type Calls,
  type DialEnd,
  type Pipe,
  type PipeEnd,
  respond,
  type Responder,
  type ResponderOptions,
} from "./index.ts";

export class StillClock implements Clock {
  #tick: Tick = 0;
  #timers: { at: Tick; fn: () => void; done: boolean }[] = [];
  #turns: (() => void)[] = [];

  now = (): number => 1_700_000_000_000 + this.#tick;
  tick = (): Tick => this.#tick;
  turn = (fn: () => void): void => void this.#turns.push(fn);
  after = (ms: number, fn: () => void): Timer => {
    const timer = { at: this.#tick + Math.max(0, ms), fn, done: false };
    this.#timers.push(timer);
    return { cancel: () => void (timer.done = true) };
  };

  get timers(): number {
    this.#timers = this.#timers.filter((timer) => !timer.done);
    return this.#timers.length;
  }

  /** Runs turns and promises until nothing is left to do at this instant. */
  async settle(): Promise<void> {
    for (;;) {
      await nextTurn();
      const turns = this.#turns;
      if (turns.length === 0) return;
      this.#turns = [];
      for (const fn of turns) fn();
    }
  }

  async advance(ms: number): Promise<void> {
    const until = this.#tick + ms;
    for (;;) {
      await this.settle();
      const next = this.#timers.filter((timer) => !timer.done && timer.at <= until).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#tick = Math.max(this.#tick, next.at);
      next.done = true;
      next.fn();
    }
    this.#tick = until;
    await this.settle();
  }
}

/** A connection in memory. Messages arrive a turn later, and never after `cut`. */
export class Cable {
  readonly clock: StillClock;
  readonly log: { from: "caller" | "responder"; bytes: Uint8Array }[] = [];
  /** While true nothing arrives at the caller: it does not read. */
  stuck = false;
  paused = false;
  #alive = true;
  #caller: PipeEnd | undefined;
  #responder: PipeEnd | undefined;
  #held: Uint8Array[] = [];
  #unsent = 0;
  readonly #toResponder: Uint8Array[] = [];

  constructor(clock: StillClock) {
    this.clock = clock;
  }

  get alive(): boolean {
    return this.#alive;
  }

  open(caller: (pipe: Pipe) => PipeEnd, responder: (pipe: Pipe) => PipeEnd): void {
    this.#responder = responder({
      send: (bytes) => {
        if (!this.#alive) return;
        this.log.push({ from: "responder", bytes });
        this.#unsent += bytes.length;
        if (this.stuck) this.#held.push(bytes);
        else this.clock.turn(() => this.#deliver(bytes));
      },
      unsentBytes: () => this.#unsent,
      pause: () => void (this.paused = true),
      resume: () => {
        this.paused = false;
        this.#drain();
      },
      close: (why) => this.clock.turn(() => this.cut(why)),
    });
    this.#caller = caller({
      send: (bytes) => {
        if (!this.#alive) return;
        this.log.push({ from: "caller", bytes });
        this.#toResponder.push(bytes);
        this.clock.turn(() => this.#drain());
      },
      unsentBytes: () => this.#toResponder.reduce((sum, bytes) => sum + bytes.length, 0),
      pause: () => {},
      resume: () => {},
      close: (why) => this.clock.turn(() => this.cut(why)),
    });
  }

  /** Sends bytes as if the caller had. */
  inject(bytes: Uint8Array): void {
    this.#responder?.message(bytes);
  }

  unstick(): void {
    this.stuck = false;
    for (const bytes of this.#held.splice(0)) this.#deliver(bytes);
  }

  get unsentBytes(): number {
    return this.#unsent;
  }

  cut(why = "cut"): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#caller?.closed(why);
    this.#responder?.closed(why);
  }

  #deliver(bytes: Uint8Array): void {
    this.#unsent -= bytes.length;
    if (!this.#alive) return;
    this.#caller?.message(bytes);
    if (this.#unsent === 0) this.#responder?.drained();
  }

  #drain(): void {
    while (this.#alive && !this.paused && this.#toResponder.length > 0)
      this.#responder?.message(this.#toResponder.shift()!);
  }
}

const { maxRequestBytes, maxItems, maxDepth, maxDeadlineMs, maxUnsentBytes } = defaultLimits;
export const limits: ResponderOptions["limits"] = {
  maxRequestBytes,
  maxItems,
  maxDepth,
  maxDeadlineMs,
  maxUnsentBytes,
  maxInFlight: 1000,
};

const answering = (clock: Clock, calls: Calls, given: Partial<ResponderOptions> | undefined): ResponderOptions => ({
  clock,
  calls,
  cluster: "0f".repeat(16),
  limits,
  accept: (hello) => ({ id: hello.token ?? "nobody", roles: [] }),
  recheckMs: 15_000,
  helloMs: 10_000,
  permit: () => {},
  expose: (error) => error,
  ...given,
});

/** A responder whose caller is the test itself. */
export function lone(
  calls: Calls,
  given?: Partial<ResponderOptions>,
): { clock: StillClock; end: Responder; sent: Uint8Array[]; closed(): boolean } {
  const clock = new StillClock();
  const sent: Uint8Array[] = [];
  let closed = false;
  const pipe: Pipe = {
    send: (bytes) => void sent.push(bytes),
    unsentBytes: () => 0,
    pause() {},
    resume() {},
    close: () => void (closed = true),
  };
  return { clock, end: respond(pipe, answering(clock, calls, given)), sent, closed: () => closed };
}

export type Pair = {
  readonly clock: StillClock;
  readonly caller: Caller;
  /** Every connection ever made, the last one current. */
  readonly cables: Cable[];
  readonly responders: Responder[];
  /** Refuse new connections while true. */
  down: boolean;
  call(call: Partial<Call> & { input?: unknown }, deadlineMs?: number): Promise<{ output: unknown }>;
};

/** Numbers in [0, 1) that only depend on the seed (mulberry32, Ettinger, public domain). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function pair(
  calls: Calls,
  given: { responder?: Partial<ResponderOptions>; caller?: Partial<CallerOptions>; seed?: number } = {},
): Pair {
  const clock = new StillClock();
  const random = seeded(given.seed ?? 1);
  const cables: Cable[] = [];
  const responders: Responder[] = [];
  const options = answering(clock, calls, given.responder);
  const dial = (end: DialEnd): (() => void) => {
    if (built.down) {
      clock.turn(() => end.failed(new SheafError("UNREACHABLE", "down")));
      return () => {};
    }
    const cable = new Cable(clock);
    cables.push(cable);
    clock.turn(() =>
      cable.open(
        (pipe) => end.opened(pipe, "token"),
        (pipe) => {
          const responder = respond(pipe, options);
          responders.push(responder);
          return responder;
        },
      ),
    );
    return () => cable.cut();
  };
  const caller = new Caller({
    clock,
    dice: { random, bytes: (length) => Uint8Array.from({ length }, () => random() * 256) },
    app: "bank",
    dial,
    limits: { maxDepth, maxItems, maxQueued: 10_000, maxReplyBytes: 16 << 20, maxUnsentBytes },
    pingMs: 5_000,
    dialMs: 5_000,
    maxPauseMs: 1_000,
    ...given.caller,
  });
  const built: Pair = {
    clock,
    caller,
    cables,
    responders,
    down: false,
    call: (call, deadlineMs = 10_000) =>
      caller.call({
        target: { kind: "command", entity: "account", key: "acc-1", name: "deposit" },
        input: undefined,
        principal: { id: "self", roles: [] },
        deadline: clock.tick() + deadlineMs,
        ...call,
      }),
  };
  return built;
}

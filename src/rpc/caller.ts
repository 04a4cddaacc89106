// The asking end: carries calls over one connection at a time, dials again when it is lost, and repeats what may be
// repeated. Time, dice and connections are handed in.
//
// C1. A call settles exactly once, and not later than its deadline (plus the grain of `Deadlines`).
// C2. Only a query, or a call with an operation id, is ever sent twice; a repeat carries the same id and input.
// C3. A call that never left is `not-applied`; one that left and was not answered is `unknown`.
// C4. Calls waiting for a connection or for room are bounded.
// C5. Where the other side owes answers and is silent, what may be repeated goes on over another connection; the rest waits
//     for what becomes of this one.

import { SheafError, type Millis, type Tick, toHex } from "../base/index.ts";
import type { Clock, Dice, Timer } from "../host/index.ts";
import { frameVersion, type GoawayFrame, oldestFrameVersion } from "../wire/index.ts";
import type { Call, Calls, Cancellation, Reply } from "./call.ts";
import { CallerLink, type CallerLinkOptions } from "./caller-link.ts";
import { Deadlines } from "./deadlines.ts";
import type { Pipe, PipeEnd } from "./pipe.ts";
import { fate, fieldsOf, inDoubt, type Pending, pendingOf, repeatable } from "./pending.ts";
import { keptWith } from "./session-token.ts";

/** What a dialler tells. `opened` or `failed`, once, unless it was aborted before. */
export type DialEnd = {
  opened(pipe: Pipe, token: string | undefined): PipeEnd;
  failed(error: SheafError): void;
};

export type CallerOptions = {
  readonly clock: Clock;
  readonly dice: Pick<Dice, "random" | "bytes">;
  readonly app: string;
  /** Opens a connection, to another address each time where there are several. Returns what aborts it. */
  dial(end: DialEnd): () => void;
  readonly limits: {
    readonly maxDepth: number;
    readonly maxItems: number;
    readonly maxQueued: number;
    readonly maxReplyBytes: number;
    readonly maxUnsentBytes: number;
  };
  readonly pingMs: Millis;
  /** As `CallerLinkOptions` has them: for callers with somebody else to turn to. */
  readonly patience?: number | undefined;
  readonly idleBeats?: number | undefined;
  readonly suspectAfter?: number | undefined;
  /** A connection that has not answered HELLO by then is given up. */
  readonly dialMs: Millis;
  /** Longest pause between attempts to connect, or to repeat. */
  readonly maxPauseMs: Millis;
};

type Stage =
  | { readonly kind: "idle" }
  | { readonly kind: "dialing"; readonly abort: () => void; readonly timer: Timer; link: CallerLink | undefined }
  | { readonly kind: "waiting"; readonly timer: Timer }
  | { readonly kind: "open"; readonly link: CallerLink }
  | { readonly kind: "closed" };

const FIRST_PAUSE: Millis = 25;
/** A call that loses its connection this often is likely what breaks them. */
const MAX_SENDS = 8;
/** Repeats that answers asked for: at most a tenth of the calls in the long run, and a burst of these. */
const BURST = 64;
const SHARE = 0.1;
/** Answers after which the same call may succeed at once or soon, without anybody deciding anything. */
const passing: ReadonlySet<string> = new Set(["NOT_OWNER", "NOT_READY", "STOPPING", "OUTCOME_UNKNOWN"]);

export class Caller implements Calls {
  readonly #options: CallerOptions;
  readonly #clock: Clock;
  readonly #issuer: string;
  readonly #deadlines: Deadlines;
  readonly #link: CallerLinkOptions;
  #stage: Stage = { kind: "idle" };
  /** Connections that are to end when their last call is answered. */
  readonly #leaving = new Set<CallerLink>();
  #queue: Pending[] = [];
  #next = 0;
  readonly #issue = (): number => {
    this.#unsettled.add(++this.#operations);
    return this.#operations;
  };
  readonly #resting = new Map<Pending, Timer>();
  /** The session that the other side of a connection goes by, and what calls that it answered since were sent with besides. */
  readonly #known = new WeakMap<CallerLink, { token: string | undefined; carried: string }>();
  #operations = 0;
  /** Numbers of operations whose answer is waited for, in the order they were issued: the first is the lowest. */
  readonly #unsettled = new Set<number>();
  #failures = 0;
  #budget = BURST;
  #cause: SheafError | undefined;
  #watchers: { resolve: () => void; reject: (error: SheafError) => void }[] = [];
  /** Covers everything that was seen through this caller. */
  session: string | undefined;

  constructor(options: CallerOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#issuer = toHex(options.dice.bytes(12));
    this.#deadlines = new Deadlines(options.clock, (now) => this.#expire(now));
    this.#link = {
      clock: options.clock,
      pingMs: options.pingMs,
      patience: options.patience,
      idleBeats: options.idleBeats,
      suspectAfter: options.suspectAfter,
      suspected: (link) => this.#suspected(link),
      maxReplyBytes: options.limits.maxReplyBytes,
      maxUnsentBytes: options.limits.maxUnsentBytes,
      welcomed: (link) => this.#welcomed(link),
      replied: (pending, reply) => this.#replied(pending, reply),
      failed: (pending, error) => this.#failed(pending, error),
      unsettled: () => this.#lowestUnsettled(),
      session: () => {},
      roomy: () => this.#roomy(),
      goaway: (link, goaway) => this.#goaway(link, goaway),
      lost: (link, sent, unsent, why) => this.#lost(link, sent, unsent, why),
    };
  }

  /** The principal of `call` is not sent: the other side knows who called from the connection's token. */
  call(call: Call): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const now = this.#clock.tick();
      let fields: Pending["fields"];
      try {
        this.#admit(call, now);
        fields = fieldsOf(call, this.#issue, this.#options.limits);
      } catch (error) {
        return reject(error);
      }
      const pending = pendingOf(fields, call.deadline, resolve, reject);
      if (call.signal !== undefined) this.#listen(pending, call.signal);
      this.#deadlines.add(pending.deadline);
      const stage = this.#stage;
      if (stage.kind === "open" && this.#next === this.#queue.length && stage.link.roomy)
        return this.#send(stage.link, pending, now);
      this.#queue.push(pending);
      if (stage.kind === "idle") this.#dial();
    });
  }

  /** Resolves when a connection is open, rejects when the attempt under way fails. */
  ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#stage.kind === "open") return resolve();
      if (this.#stage.kind === "closed") return reject(new SheafError("UNREACHABLE", "the client was closed"));
      this.#watchers.push({ resolve, reject });
      if (this.#stage.kind === "idle") this.#dial();
    });
  }
  /** Fails what is under way and closes the connection. */
  close(): void {
    const stage = this.#stage;
    if (stage.kind === "closed") return;
    const left = [...this.#all()];
    this.#stage = { kind: "closed" };
    this.#deadlines.stop();
    for (const timer of this.#resting.values()) timer.cancel();
    this.#resting.clear();
    for (const pending of left) this.#reject(pending, fate(pending, "CANCELLED", "the client was closed"));
    this.#forgetQueue();
    this.#tellWatchers(new SheafError("UNREACHABLE", "the client was closed"));
    if (stage.kind === "waiting") stage.timer.cancel();
    if (stage.kind === "dialing") this.#stopDialing(stage);
    if (stage.kind === "open") stage.link.close("closed by the caller");
    for (const link of this.#leaving) link.close("closed by the caller");
  }

  #admit(call: Call, now: Tick): void {
    if (this.#stage.kind === "closed") throw new SheafError("UNREACHABLE", "the client was closed", { retry: "never" });
    if (call.signal?.aborted === true) throw new SheafError("CANCELLED", undefined, { outcome: "not-applied" });
    if (call.deadline <= now) throw new SheafError("DEADLINE", undefined, { outcome: "not-applied" });
    if (this.#queue.length - this.#next < this.#options.limits.maxQueued) return;
    throw new SheafError("OVERLOADED", "too many calls wait for the connection", { retryAfterMs: 100 }); // C4
  }

  #listen(pending: Pending, signal: Cancellation): void {
    const stop = (): void => {
      const error = fate(pending, "CANCELLED", "the caller gave up", signal.reason);
      this.#cancel(pending);
      this.#reject(pending, error);
    };
    signal.addEventListener("abort", stop, { once: true });
    pending.unlisten = () => signal.removeEventListener("abort", stop);
  }

  #send(link: CallerLink, pending: Pending, now: Tick): void {
    const isKnown = this.session === this.#known.get(link)?.token; // else another connection has brought more
    pending.fields.session = pending.session ?? (isKnown ? undefined : this.session);
    if (link.send(pending, now)) return;
    this.#reject(pending, fate(pending, "TOO_LARGE", "the call is larger than the gateway reads"));
  }

  #pump(): void {
    const stage = this.#stage;
    if (stage.kind !== "open" || this.#next === this.#queue.length) return;
    const now = this.#clock.tick();
    while (this.#next < this.#queue.length && stage.link.roomy) {
      const pending = this.#queue[this.#next++]!;
      if (!pending.done) this.#send(stage.link, pending, now);
    }
    if (this.#next === this.#queue.length) this.#forgetQueue();
    else if (this.#next > 1024) {
      this.#queue = this.#queue.slice(this.#next);
      this.#next = 0;
    }
  }

  #forgetQueue(): void {
    this.#queue = [];
    this.#next = 0;
  }

  #replied(pending: Pending, reply: Reply): void {
    this.#failures = 0;
    this.#budget = Math.min(BURST, this.#budget + SHARE);
    if (this.#finish(pending)) pending.resolve(reply);
  }

  #failed(pending: Pending, error: SheafError): void {
    this.#failures = 0;
    if (!pending.done && !this.#again(pending, error)) this.#reject(pending, inDoubt(error, pending.doubt));
  }

  /** A message was read to its end, which says what was seen with its answers: only now one that leaves may be closed. */
  #roomy(): void {
    if (this.#leaving.size > 0) this.#sweepLeaving();
    this.#pump();
  }

  /** Puts a call back after an answer that a repeat may better, if its deadline and the budget allow. */
  #again(pending: Pending, error: SheafError): boolean {
    if (!passing.has(error.code) || this.#budget < 1) return false;
    if (error.outcome !== "not-applied" && !repeatable(pending)) return false; // C2
    const now = this.#clock.tick();
    const pause =
      (error.retryAfterMs ?? 0) + (error.retry === "now" && pending.retries === 0 ? 0 : this.#pause(pending.retries));
    if (now + pause >= pending.deadline) return false;
    this.#budget--;
    pending.doubt ||= error.outcome === "unknown" && pending.fields.op !== undefined;
    pending.retries++;
    const back = (): void => {
      this.#resting.delete(pending);
      this.#requeue([pending]);
    };
    this.#resting.set(pending, this.#clock.after(pause, back));
    return true;
  }

  /** Full jitter (Brooker, "Exponential Backoff And Jitter", 2015). */
  #pause(attempt: number): Millis {
    return this.#options.dice.random() * Math.min(this.#options.maxPauseMs, FIRST_PAUSE * 2 ** Math.min(attempt, 16));
  }

  #requeue(pendings: Pending[]): void {
    if (pendings.length === 0) return;
    this.#queue = [...pendings, ...this.#queue.slice(this.#next)];
    this.#next = 0;
    if (this.#stage.kind === "idle") this.#dial();
    this.#pump();
  }

  #reject(pending: Pending, error: SheafError): void {
    if (this.#finish(pending)) pending.reject(error);
  }

  /** False when it was settled before (C1). */
  #finish(pending: Pending): boolean {
    if (pending.done) return false;
    pending.done = true;
    pending.unlisten?.();
    if (typeof pending.fields.op === "number") this.#unsettled.delete(pending.fields.op);
    return true;
  }

  #cancel(pending: Pending): void {
    this.#resting.get(pending)?.cancel();
    this.#resting.delete(pending);
    for (const link of this.#links()) link.cancel(pending);
  }

  #lowestUnsettled(): number {
    for (const lowest of this.#unsettled) return lowest;
    return this.#operations + 1;
  }

  *#links(): Iterable<CallerLink> {
    if (this.#stage.kind === "open") yield this.#stage.link;
    yield* this.#leaving;
  }

  *#all(): Iterable<Pending> {
    for (const link of this.#links()) yield* link.pendings();
    yield* this.#waiting();
  }

  *#waiting(): Iterable<Pending> {
    for (let i = this.#next; i < this.#queue.length; i++) if (!this.#queue[i]!.done) yield this.#queue[i]!;
    yield* this.#resting.keys();
  }

  #expire(now: Tick): Tick {
    let next: Tick = Infinity;
    const late: Pending[] = [];
    for (const pending of this.#all()) {
      if (pending.deadline <= now) late.push(pending);
      else if (pending.deadline < next) next = pending.deadline;
    }
    if (late.length === 0) return next;
    for (const pending of late) {
      this.#cancel(pending);
      this.#reject(pending, this.#tooLate(pending));
    }
    this.#queue = this.#queue.slice(this.#next).filter((pending) => !pending.done);
    this.#next = 0;
    return next;
  }

  #tooLate(pending: Pending): SheafError {
    if (this.#stage.kind === "open") return fate(pending, "DEADLINE", "the deadline passed before the answer came");
    if (pending.sends > 0)
      return fate(
        pending,
        "CALL_LOST",
        "the connection broke before the answer came, and none could be made since",
        this.#cause,
      );
    return fate(
      pending,
      "UNREACHABLE",
      `no connection could be made: ${this.#cause?.message ?? "no answer"}`,
      this.#cause,
    );
  }

  #dial(): void {
    const end: DialEnd = {
      opened: (pipe, token) => this.#opened(pipe, token),
      failed: (error) => this.#dialFailed(error),
    };
    const timer = this.#clock.after(this.#options.dialMs, () =>
      this.#dialFailed(new SheafError("UNREACHABLE", "the gateway did not answer in time")),
    );
    let over = false;
    let abort = (): void => void (over = true);
    this.#stage = { kind: "dialing", abort: () => abort(), timer, link: undefined };
    const stop = this.#options.dial(end);
    if (over) stop();
    else abort = stop;
  }

  #opened(pipe: Pipe, token: string | undefined): PipeEnd {
    const { app } = this.#options;
    const hello = {
      version: frameVersion,
      oldest: oldestFrameVersion,
      app,
      token,
      issuer: this.#issuer,
      session: this.session,
    };
    const known = { token: this.session, carried: "" };
    const opened = new CallerLink(pipe, hello, {
      ...this.#link,
      replied: (pending, reply) => {
        const { session } = pending.fields;
        if (session !== undefined) known.carried += `,${session}`;
        this.#replied(pending, reply);
      },
      session: (token) => {
        this.session = keptWith(this.session ?? "", `${known.token ?? ""}${known.carried}`, token);
        [known.token, known.carried] = [token, ""];
      },
    });
    this.#known.set(opened, known);
    if (this.#stage.kind === "dialing") this.#stage.link = opened;
    else opened.close("not wanted any more");
    return opened;
  }

  #stopDialing(stage: Stage & { kind: "dialing" }): void {
    stage.timer.cancel();
    if (stage.link === undefined) stage.abort();
    else stage.link.close("given up");
  }

  #welcomed(link: CallerLink): void {
    if (this.#stage.kind !== "dialing") return link.close("not wanted any more");
    this.#stage.timer.cancel();
    this.#stage = { kind: "open", link };
    this.#cause = undefined;
    this.#tellWatchers(undefined);
    this.#pump();
  }

  #dialFailed(error: SheafError): void {
    const stage = this.#stage;
    if (stage.kind !== "dialing") return;
    this.#stage = { kind: "idle" };
    this.#stopDialing(stage);
    this.#cause = error;
    this.#tellWatchers(error);
    if (error.retry === "never") return this.#refuse(error);
    this.#redial();
  }

  /** The other side will not have us: nobody gains from waiting. */
  #refuse(error: SheafError): void {
    for (const pending of this.#waiting()) this.#reject(pending, fate(pending, error.code, error.message, error));
    this.#forgetQueue();
    for (const timer of this.#resting.values()) timer.cancel();
    this.#resting.clear();
  }

  /** Connects again if somebody waits for it. */
  #redial(): void {
    if (this.#queue.length - this.#next + this.#resting.size === 0) return void (this.#stage = { kind: "idle" });
    const timer = this.#clock.after(this.#pause(this.#failures++), () => this.#dial());
    this.#stage = { kind: "waiting", timer };
  }

  #goaway(link: CallerLink, goaway: GoawayFrame): void {
    const error = new SheafError(goaway.code, goaway.message, { retryAfterMs: goaway.retryAfterMs });
    const stage = this.#stage;
    if (stage.kind === "dialing" && stage.link === link) return this.#dialFailed(error);
    this.#cause = error;
    if (stage.kind !== "open" || stage.link !== link || goaway.code !== "STOPPING") return;
    this.#leave(link);
  }

  /** Goes on over another connection; this one ends when it owes nothing. Only one is dialled, though it may end at once. */
  #leave(link: CallerLink): void {
    this.#stage = { kind: "idle" };
    this.#leaving.add(link);
    this.#redial();
  }

  /** C5 */
  #suspected(link: CallerLink): void {
    const stage = this.#stage;
    if (stage.kind !== "open" || stage.link !== link) return;
    const back = link.release((pending) => repeatable(pending) && pending.sends < MAX_SENDS);
    for (const pending of back) pending.doubt ||= pending.fields.op !== undefined;
    this.#cause = new SheafError("CALL_LOST", "the other side is silent");
    this.#queue = [...back, ...this.#queue.slice(this.#next)];
    this.#next = 0;
    this.#leave(link);
    this.#sweepLeaving();
  }

  #sweepLeaving(): void {
    for (const link of this.#leaving) if (link.inFlight === 0) link.close("drained");
  }

  #lost(link: CallerLink, sent: Pending[], unsent: Pending[], why: string): void {
    const back: Pending[] = [];
    const cause = this.#cause ?? new SheafError("CALL_LOST", why);
    for (const pending of sent) {
      pending.doubt ||= pending.fields.op !== undefined;
      if (repeatable(pending) && pending.sends < MAX_SENDS) back.push(pending);
      else
        this.#reject(pending, fate(pending, "CALL_LOST", `the connection broke before the answer came: ${why}`, cause));
    }
    back.push(...unsent);
    const stage = this.#stage;
    if (stage.kind === "closed") return;
    if (stage.kind === "open" && stage.link === link) this.#stage = { kind: "idle" };
    else if (!this.#leaving.delete(link) && !(stage.kind === "dialing" && stage.link === link)) return;
    this.#queue = [...back, ...this.#queue.slice(this.#next)];
    this.#next = 0;
    if (stage.kind === "dialing" && stage.link === link) return this.#dialFailed(new SheafError("UNREACHABLE", why));
    if (this.#stage.kind === "idle") this.#redial();
    this.#pump();
  }

  #tellWatchers(error: SheafError | undefined): void {
    const watchers = this.#watchers;
    this.#watchers = [];
    for (const { resolve, reject } of watchers) {
      if (error === undefined) resolve();
      else reject(error);
    }
  }
}

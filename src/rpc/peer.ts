// The way to another node: one connection that is always wanted, calls over it, and what it tells of the node at its end.
// It repeats nothing: whoever routes decides where a call goes next.
//
// P1. A call that cannot leave now fails at once, not-applied. One that left and was not answered is unknown.
// P2. Who says that it is leaving is given nothing more, and is heard out: what it was sent before, it still answers.
// P3. `up`: heard within the last beats. `refused`: nothing listens there any more, or something else does: that process is
//     gone. `silent`: neither.
// P4. Calls go out over one connection at a time. Where a better one comes, the one before ends when it owes nothing.

import { SheafError, type Limits, type Millis, type Tick } from "../base/index.ts";
import type { Clock, Timer } from "../host/index.ts";
import { frameVersion, oldestFrameVersion } from "../wire/index.ts";
import type { Call, Calls, Reply } from "./call.ts";
import { CallerLink } from "./caller-link.ts";
import { Deadlines } from "./deadlines.ts";
import { fate, type Pending, pendingOf } from "./pending.ts";
import type { Pipe, PipeEnd } from "./pipe.ts";
import { relayed } from "./relay.ts";

export type PeerState = "up" | "silent" | "refused";

/** Opens a connection to one address. `opened` or `failed`, once, unless it was aborted before. Returns what aborts it. */
export type PeerDial = (
  address: string,
  end: {
    opened(pipe: Pipe): PipeEnd;
    /** `refused`: the machine says that nothing listens there. */
    failed(why: string, refused: boolean): void;
  },
) => () => void;

export type PeerOptions = {
  readonly clock: Clock;
  readonly dial: PeerDial;
  readonly address: string;
  /** Ids of the node here and of the one that should answer. */
  readonly self: string;
  readonly node: string;
  readonly app: string;
  /** What the other side's WELCOME must say: cluster and node. */
  readonly expects: string;
  readonly limits: Pick<Limits, "maxDepth" | "maxItems" | "maxRecordBytes" | "maxUnsentBytes">;
  /** A sign of life is had this often where the node lives and does not rest; a connection without any for four is given up. */
  readonly beatMs: Millis;
  /** The node may call over the connection that is made here, too. */
  readonly both?: boolean | undefined;
  changed(state: PeerState): void;
  /** A sign of life. */
  heard(): void;
};

type Dialing = {
  readonly kind: "dialing";
  readonly timer: Timer;
  readonly abort: () => void;
  link: CallerLink | undefined;
};

type Stage =
  | Dialing
  | { readonly kind: "waiting"; readonly timer: Timer }
  | { readonly kind: "open" | "leaving"; readonly link: CallerLink }
  | { readonly kind: "closed" };

/** A handshake may take so many beats. */
const dialBeats = 6;
const mostRefusals = 5;

export class Peer implements Calls {
  readonly #options: PeerOptions;
  readonly #clock: Clock;
  readonly #deadlines: Deadlines;
  #stage: Stage = { kind: "closed" };
  /** To a better connection than the one that there is. */
  #moving: Dialing | undefined;
  /** Connections that are heard out. */
  readonly #before = new Set<CallerLink>();
  #state: PeerState | undefined;
  /** In a row. */
  #refusals = 0;
  /** How long it need not be asked for a sign of life while it owes nothing. */
  #restMs: Millis | undefined;
  /** Told once this way, which is not wanted any more, has ended. */
  #ended: (() => void) | undefined;

  constructor(options: PeerOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#deadlines = new Deadlines(options.clock, (now) => this.#expire(now));
    this.#dial();
  }

  get state(): PeerState | undefined {
    return this.#state;
  }

  /** Calls under way. */
  get inFlight(): number {
    return this.#links().reduce((sum, link) => sum + link.inFlight, 0);
  }

  /** Whether nobody asks it for signs of life here: its connection is open, owes nothing, and may rest. */
  get resting(): boolean {
    return this.#stage.kind === "open" && this.#stage.link.resting;
  }

  /** From now on it need be asked for a sign of life only so often while it owes nothing; at every beat when undefined. */
  rest(restMs: Millis | undefined): void {
    this.#restMs = restMs;
    if (restMs === undefined) connected(this.#stage)?.wake();
  }

  call(call: Call): Promise<Reply> {
    const stage = this.#stage;
    if (call.signal?.aborted)
      return Promise.reject(new SheafError("CANCELLED", "the caller gave up", { outcome: "not-applied" }));
    const says = `node ${this.#options.node} cannot be reached`;
    if (stage.kind !== "open") return Promise.reject(new SheafError("UNREACHABLE", says));
    if (!stage.link.roomy) {
      const busy = `node ${this.#options.node} has as many calls under way as it may`;
      return Promise.reject(new SheafError("OVERLOADED", busy, { retryAfterMs: 20 }));
    }
    return new Promise((resolve, reject) => {
      const fields = relayed(call, this.#options.self, this.#options.limits);
      const pending = pendingOf(fields, call.deadline, resolve, reject);
      const { signal } = call;
      if (signal) {
        const stop = (): void => {
          stage.link.cancel(pending);
          end(pending, () => reject(fate(pending, "CANCELLED", "the caller gave up")));
          this.#sweep(stage.link);
        };
        signal.addEventListener("abort", stop, { once: true });
        pending.unlisten = () => signal.removeEventListener("abort", stop);
      }
      this.#deadlines.add(pending.deadline);
      if (!stage.link.send(pending, this.#clock.tick()))
        end(pending, () => reject(fate(pending, "TOO_LARGE", "the call is larger than the other node reads")));
    });
  }

  /** There is a better connection to be had: dials, and goes on over that once it is open (P4). */
  move(): void {
    const stage = this.#stage;
    if (stage.kind === "closed") return;
    const moving = this.#moving;
    this.#dial(connected(stage) !== undefined);
    if (moving) stop(moving);
    if (stage.kind === "dialing") stop(stage);
    if (stage.kind === "waiting") stage.timer.cancel();
  }

  /** Ends once what is under way is answered, and takes nothing more; `ended` tells when. */
  retire(ended: () => void): void {
    this.#ended = ended;
    const link = connected(this.#stage);
    if (link) this.#before.add(link);
    this.#end();
    if (link) this.#sweep(link);
  }

  close(): void {
    const links = this.#links();
    this.#end();
    for (const link of links) link.close("not wanted any more");
  }

  #end(): void {
    const stage = this.#stage;
    const moving = this.#moving;
    this.#stage = { kind: "closed" };
    this.#moving = undefined;
    if (stage.kind === "waiting") stage.timer.cancel();
    if (stage.kind === "dialing") stop(stage);
    if (moving) stop(moving);
    this.#endedOnce();
  }

  #endedOnce(): void {
    if (this.#stage.kind !== "closed" || this.#before.size > 0) return;
    this.#deadlines.stop();
    this.#ended?.();
    this.#ended = undefined;
  }

  #dial(moving = false): void {
    const { clock, address, beatMs, dial } = this.#options;
    const timer = clock.after(dialBeats * beatMs, () => this.#failed(stage, false));
    let abort = (): void => {};
    const stage: Dialing = { kind: "dialing", timer, abort: () => abort(), link: undefined };
    if (moving) this.#moving = stage;
    else this.#stage = stage;
    abort = dial(address, {
      opened: (pipe) => this.#opened(stage, pipe),
      failed: (_, refused) => this.#failed(stage, refused),
    });
    if (!this.#wants(stage)) abort();
  }

  #wants(stage: Dialing): boolean {
    return this.#stage === stage || this.#moving === stage;
  }

  #opened(stage: Dialing, pipe: Pipe): PipeEnd {
    const { clock, app, self, limits, beatMs, expects, both } = this.#options;
    const hello = {
      version: frameVersion,
      oldest: oldestFrameVersion,
      app,
      token: undefined,
      issuer: self,
      session: undefined,
      both,
    };
    const link: CallerLink = new CallerLink(pipe, hello, {
      clock,
      pingMs: beatMs / 2,
      patience: 8,
      restMs: () => this.#restMs,
      maxReplyBytes: limits.maxRecordBytes,
      maxUnsentBytes: limits.maxUnsentBytes,
      welcomed: (_, { cluster }) => {
        if (!this.#wants(stage)) return link.close("not wanted any more");
        if (cluster !== expects) return this.#failed(stage, true);
        stage.timer.cancel();
        this.#goOn(link);
      },
      replied: (pending, reply) => end(pending, () => pending.resolve(reply)),
      failed: (pending, error) => end(pending, () => pending.reject(error)),
      unsettled: () => 0,
      session: () => {},
      roomy: () => {
        if (connected(this.#stage) === link) this.#options.heard();
        this.#sweep(link);
      },
      goaway: () => {
        if (this.#before.has(link)) return;
        if (this.#stage.kind !== "open" || this.#stage.link !== link) return link.close("the other node is stopping");
        this.#stage = { kind: "leaving", link };
      },
      lost: (lost, sent, unsent, why) => this.#lost(lost, sent, unsent, why),
    });
    if (this.#wants(stage)) stage.link = link;
    else link.close("not wanted any more");
    return link;
  }

  /** Calls go out over this one from now on. */
  #goOn(link: CallerLink): void {
    const before = connected(this.#stage);
    this.#moving = undefined;
    this.#stage = { kind: "open", link };
    this.#refusals = 0;
    this.#tell("up");
    if (before === undefined) return;
    this.#before.add(before);
    this.#sweep(before);
  }

  /** Lets go of a connection that is to end once it owes nothing (P2, P4). */
  #sweep(link: CallerLink): void {
    const stage = this.#stage;
    if (link.inFlight > 0) return;
    if (this.#before.has(link)) link.close("calls go over another connection");
    else if (stage.kind === "leaving" && stage.link === link) link.close("the other node is stopping");
  }

  #links(): CallerLink[] {
    const link = connected(this.#stage);
    return link ? [link, ...this.#before] : [...this.#before];
  }

  #failed(stage: Dialing, refused: boolean): void {
    if (this.#moving === stage) {
      this.#moving = undefined;
      return stop(stage);
    }
    if (this.#stage !== stage) return;
    const { clock, beatMs } = this.#options;
    // Who is gone is asked after ever more seldom; who is only silent may be back any moment.
    this.#refusals = refused ? Math.min(this.#refusals + 1, mostRefusals) : 0;
    this.#stage = { kind: "waiting", timer: clock.after(beatMs * 2 ** this.#refusals, () => this.#dial()) };
    stop(stage);
    this.#tell(refused ? "refused" : "silent");
  }

  /** Dials again at once: a process that was killed refuses, and then it is certain. */
  #lost(link: CallerLink, sent: Pending[], unsent: Pending[], why: string): void {
    for (const pending of [...sent, ...unsent]) {
      const code = pending.sends === 0 ? "UNREACHABLE" : "CALL_LOST";
      const says = `the connection to node ${this.#options.node} broke before the answer came: ${why}`;
      end(pending, () => pending.reject(fate(pending, code, says)));
    }
    for (const stage of [this.#stage, this.#moving])
      if (stage?.kind === "dialing" && stage.link === link) return this.#failed(stage, false);
    if (this.#before.delete(link)) return this.#endedOnce();
    if (connected(this.#stage) !== link) return;
    this.#tell("silent");
    if (!this.#moving) return this.#dial();
    this.#stage = this.#moving;
    this.#moving = undefined;
  }

  #tell(state: PeerState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#options.changed(state);
  }

  #expire(now: Tick): Tick {
    let next: Tick = Infinity;
    for (const link of this.#links()) {
      for (const pending of link.pendings()) {
        if (pending.deadline > now) {
          next = Math.min(next, pending.deadline);
          continue;
        }
        link.cancel(pending);
        end(pending, () => pending.reject(fate(pending, "DEADLINE", "the deadline passed before the answer came")));
      }
      this.#sweep(link);
    }
    return next;
  }
}

const connected = (stage: Stage): CallerLink | undefined =>
  stage.kind === "open" || stage.kind === "leaving" ? stage.link : undefined;

/** Settles a call once. */
function end(pending: Pending, settle: () => void): void {
  if (pending.done) return;
  pending.done = true;
  pending.unlisten?.();
  settle();
}

function stop({ timer, link, abort }: Dialing): void {
  timer.cancel();
  if (link) link.close("given up");
  else abort();
}

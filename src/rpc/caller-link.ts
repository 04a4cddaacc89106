// One connection as its caller sees it: HELLO, calls out, answers in, until it is lost. It retries nothing; what was under
// way when it ended is handed back to the caller, which knows what may be repeated.

import { asSheafError, never, SheafError, type Millis, type Tick } from "../base/index.ts";
import type { Clock, Timer } from "../host/index.ts";
import {
  frameKind,
  type GoawayFrame,
  type HelloFrame,
  MessageWriter,
  messageBytes,
  oldestFrameVersion,
  callBound,
  optionalCount,
  optionalText,
  packHello,
  packNumber,
  readBoxed,
  readFail,
  readGoaway,
  readId,
  readMessage,
  readText,
  readWelcome,
  type WelcomeFrame,
} from "../wire/index.ts";
import type { Reply } from "./call.ts";
import type { Pipe, PipeEnd } from "./pipe.ts";
import type { Pending } from "./pending.ts";

export type CallerLinkOptions = {
  readonly clock: Clock;
  /** Silence after which the other side is asked for a sign of life; as long again without one, and it is lost. */
  readonly pingMs: Millis;
  /** So many times as long again; 1 when absent. */
  readonly patience?: number | undefined;
  /** While nothing is under way, only every so manieth silence is asked about; each when absent. */
  readonly idleBeats?: number | undefined;
  /** How long it need not be asked at all while nothing is under way; like any other when absent or undefined. */
  restMs?(): Millis | undefined;
  /** Silences in a row after which it is told to be `suspected`; never when absent. */
  readonly suspectAfter?: number | undefined;
  /** The other side owes answers and gives no sign of life. It may yet. */
  suspected?(link: CallerLink): void;
  readonly maxReplyBytes: number;
  readonly maxUnsentBytes: number;
  welcomed(link: CallerLink, welcome: WelcomeFrame): void;
  replied(pending: Pending, reply: Reply): void;
  failed(pending: Pending, error: SheafError): void;
  session(token: string): void;
  /** The lowest number of an operation that still waits for its answer. */
  unsettled(): number;
  /** There may be room for more calls. */
  roomy(): void;
  /** The other side wants no more calls here, or never wanted this connection. */
  goaway(link: CallerLink, goaway: GoawayFrame): void;
  /** Exactly once, last. `sent` were under way, `unsent` had not left yet; both in the order they were made. */
  lost(link: CallerLink, sent: Pending[], unsent: Pending[], why: string): void;
};

type Stage =
  | { readonly kind: "greeting" }
  | { readonly kind: "open"; readonly welcome: WelcomeFrame; readonly since: Tick }
  | { readonly kind: "closed" };

export class CallerLink implements PipeEnd {
  readonly #pipe: Pipe;
  readonly #options: CallerLinkOptions;
  readonly #clock: Clock;
  readonly #writer = new MessageWriter();
  readonly #inFlight = new Map<number, Pending>();
  #stage: Stage = { kind: "greeting" };
  #lastId = 0;
  /** Calls up to this id have left. */
  #leftId = 0;
  #toldSettled = 0;
  #flushing = false;
  #heard = false;
  /** Beats in a row without a sign of life. */
  #unanswered = 0;
  /** Of them those while nothing was under way. */
  #idle = 0;
  #beat: Timer;
  /** The next beat is far: nothing is under way, and nobody asked for more. */
  #resting = false;
  readonly #flushTurn = (): void => {
    this.#flushing = false;
    this.#flush();
  };

  constructor(pipe: Pipe, hello: HelloFrame, options: CallerLinkOptions) {
    this.#pipe = pipe;
    this.#options = options;
    this.#clock = options.clock;
    this.#beat = this.#nextBeat();
    this.#packed(packHello(hello));
    this.#flush();
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** Whether one more call may go out now. */
  get roomy(): boolean {
    const stage = this.#stage;
    return (
      stage.kind === "open" &&
      this.#inFlight.size < stage.welcome.maxInFlight &&
      this.#pipe.unsentBytes() <= this.#options.maxUnsentBytes
    );
  }

  /** Whether it is not asked for signs of life at the moment. */
  get resting(): boolean {
    return this.#resting;
  }

  /** Asks for a sign of life now, and at every beat from now on unless it may rest. */
  wake(): void {
    if (!this.#resting) return;
    this.#beat.cancel();
    this.#heard = false;
    this.#beat = this.#nextBeat(false);
    this.#packed(packNumber(frameKind.ping, 0));
  }

  pendings(): Iterable<Pending> {
    return this.#inFlight.values();
  }

  /** Sends a call. Only while `roomy`. Returns false, sending nothing, when it is larger than the other side reads. */
  send(pending: Pending, now: Tick): boolean {
    const stage = this.#stage;
    if (stage.kind !== "open") return false;
    const bytes = callBound(pending.fields);
    if (bytes > stage.welcome.maxMessageBytes) return false;
    if (this.#writer.frames > 0 && this.#writer.length + bytes > messageBytes) this.#flush();
    if (this.#writer.frames === 0) this.#tellSettled();
    // Cluster time: theirs at WELCOME, and what has passed here since. Set once: a repeat is the same operation.
    if (typeof pending.fields.op === "number")
      pending.fields.issuedAt ??= Math.floor(stage.welcome.time + (now - stage.since));
    pending.id = ++this.#lastId;
    pending.sends++;
    this.#inFlight.set(pending.id, pending);
    if (this.#resting) this.wake();
    this.#writer.call(pending.id, Math.max(1, Math.ceil(pending.deadline - now)), pending.fields);
    this.#soon();
    return true;
  }

  /** Hands back those of the calls under way that fit, and forgets them: an answer that still comes is for nobody. */
  release(fits: (pending: Pending) => boolean): Pending[] {
    const released = [...this.#inFlight.values()].filter((pending) => pending.id <= this.#leftId && fits(pending));
    for (const { id } of released) this.#inFlight.delete(id);
    return released;
  }

  /** Forgets a call, telling the other side that nobody waits for it. */
  cancel(pending: Pending): void {
    if (this.#inFlight.get(pending.id) !== pending) return;
    this.#inFlight.delete(pending.id);
    this.#packed(packNumber(frameKind.cancel, pending.id));
  }

  message(bytes: Uint8Array): void {
    if (this.#stage.kind === "closed") return;
    this.#heard = true;
    try {
      const maxBytes = this.#options.maxReplyBytes;
      for (const frame of readMessage(bytes, { maxBytes, maxItems: maxBytes, maxDepth: 256 })) this.#frame(frame);
    } catch (error) {
      this.#break(asSheafError(error).message);
    }
    this.#options.roomy();
  }

  drained(): void {
    this.#options.roomy();
  }

  closed(why: string): void {
    if (this.#stage.kind === "closed") return;
    this.#stage = { kind: "closed" };
    this.#beat.cancel();
    const sent: Pending[] = [];
    const unsent: Pending[] = [];
    for (const pending of this.#inFlight.values()) {
      if (pending.id <= this.#leftId) sent.push(pending);
      else {
        pending.sends--;
        unsent.push(pending);
      }
    }
    this.#inFlight.clear();
    this.#options.lost(this, sent, unsent, why);
  }

  /** Asks nothing more. */
  close(why: string): void {
    if (this.#stage.kind === "closed") return;
    this.#flush();
    this.closed(why);
    if (this.#pipe.leave) this.#pipe.leave(why);
    else this.#pipe.close(why);
  }

  /** The connection is of no use, to nobody. */
  #break(why: string): void {
    if (this.#stage.kind === "closed") return;
    this.closed(why);
    this.#pipe.close(why);
  }

  #frame(frame: readonly unknown[]): void {
    const stage = this.#stage;
    switch (stage.kind) {
      case "greeting":
        return this.#greeted(frame);
      case "open":
        return this.#open(frame);
      case "closed":
        return;
      default:
        never(stage);
    }
  }

  #greeted(frame: readonly unknown[]): void {
    if (frame[0] === frameKind.goaway) return this.#options.goaway(this, readGoaway(frame));
    const welcome = readWelcome(frame);
    if (welcome.version < oldestFrameVersion)
      throw new SheafError("USAGE", "the gateway speaks an older protocol than this client");
    this.#stage = { kind: "open", welcome, since: this.#clock.tick() };
    this.#options.welcomed(this, welcome);
  }

  #open(frame: readonly unknown[]): void {
    switch (frame[0]) {
      case frameKind.reply: {
        const pending = this.#answered(frame);
        if (pending !== undefined) this.#options.replied(pending, replyOf(frame));
        return;
      }
      case frameKind.fail: {
        const pending = this.#answered(frame);
        if (pending !== undefined) this.#options.failed(pending, readFail(frame));
        return;
      }
      case frameKind.session:
        return this.#options.session(readText(frame, 1));
      case frameKind.ping:
        return this.#packed(packNumber(frameKind.pong, readId(frame)));
      case frameKind.pong:
        return;
      case frameKind.goaway:
        return this.#options.goaway(this, readGoaway(frame));
      default:
        throw new SheafError("MALFORMED", `frame: a responder does not send kind ${String(frame[0])}`);
    }
  }

  /** The call that a frame answers, or undefined when it was given up before. */
  #answered(frame: readonly unknown[]): Pending | undefined {
    const id = readId(frame);
    const pending = this.#inFlight.get(id);
    if (pending !== undefined) this.#inFlight.delete(id);
    return pending;
  }

  #tellSettled(): void {
    const below = this.#options.unsettled();
    if (below <= this.#toldSettled) return;
    this.#toldSettled = below;
    this.#writer.packed(packNumber(frameKind.settled, below));
  }

  #packed(frame: Uint8Array): void {
    this.#writer.packed(frame);
    this.#soon();
  }

  #soon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    this.#clock.turn(this.#flushTurn);
  }

  #flush(): void {
    if (this.#stage.kind === "closed" || this.#writer.frames === 0) return;
    this.#leftId = this.#lastId;
    this.#pipe.send(this.#writer.take());
  }

  #nextBeat(mayRest = true): Timer {
    const { pingMs } = this.#options;
    const isIdle = mayRest && this.#stage.kind === "open" && this.#inFlight.size === 0 && this.#unanswered === 0;
    const restMs = isIdle ? this.#options.restMs?.() : undefined;
    this.#resting = restMs !== undefined;
    const span = restMs ?? pingMs;
    const due = this.#clock.tick() + span;
    return this.#clock.after(span, () => {
      // One who was stopped himself accuses nobody: what he missed is still to be read.
      const paused = this.#clock.tick() > due + pingMs;
      if (this.#heard || paused) this.#unanswered = this.#idle = 0;
      else this.#silent();
      if (this.#stage.kind === "closed") return;
      this.#heard = false;
      this.#beat = this.#nextBeat();
    });
  }

  /** A whole beat without a sign of life. */
  #silent(): void {
    const { patience = 1, idleBeats = 1, suspectAfter } = this.#options;
    if (this.#inFlight.size === 0 && this.#stage.kind === "open" && ++this.#idle % idleBeats !== 0) return;
    this.#unanswered++;
    if (this.#unanswered > patience) return this.#break("the other side is silent");
    if (this.#stage.kind !== "open") return;
    this.#packed(packNumber(frameKind.ping, 0));
    if (this.#unanswered === suspectAfter && this.#inFlight.size > 0) this.#options.suspected?.(this);
  }
}

function replyOf(frame: readonly unknown[]): Reply {
  const output = readBoxed(frame, 2);
  if (frame.length === 3) return { output };
  const reply = {
    output,
    version: optionalCount(frame, 3),
    staleMs: optionalCount(frame, 4),
    replayed: frame[5] === true,
  };
  return frame.length === 6 ? reply : { ...reply, session: optionalText(frame, 6) };
}

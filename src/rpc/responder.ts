// The answering end of one connection: reads calls, has them carried out, writes what came of them. All it knows of the
// world is a clock, a link and whoever carries out calls.
//
// R1. Nothing is carried out before HELLO was accepted.
// R2. At most `maxInFlight` calls are under way; one more is refused OVERLOADED and not carried out.
// R3. Nothing is read while more than `maxUnsentBytes` wait to leave, so a slow reader cannot make memory grow.
// R4. What cannot be read ends this connection with its reason, and touches no other.
// R5. When the connection ends, every call under way is told through its signal.
// R6. Each call is answered at most once, and not at all once cancelled.
// R7. A call that nobody answers by its deadline, and a little, is answered DEADLINE. It still counts as under way.

import { asSheafError, never, overloaded, SheafError, type Limits, type Millis, type Tick } from "../base/index.ts";
import type { Clock, Timer } from "../host/index.ts";
import {
  type CallFrame,
  frameKind,
  frameVersion,
  type HelloFrame,
  MessageWriter,
  messageBytes,
  oldestFrameVersion,
  pack,
  packFail,
  packGoaway,
  packNumber,
  packSession,
  packWelcome,
  readCall,
  readHello,
  readId,
  readMessage,
} from "../wire/index.ts";
import {
  type Call,
  type Calls,
  mostReplyBytes,
  type Operation,
  type Principal,
  type Reply,
  type Target,
} from "./call.ts";
import { Cancel } from "./cancel.ts";
import { Deadlines } from "./deadlines.ts";
import type { Pipe, PipeEnd } from "./pipe.ts";
import { readRelay, type Relay, relayedOperation } from "./relay.ts";

export type ResponderOptions = {
  readonly clock: Clock;
  readonly calls: Calls;
  readonly cluster: string;
  readonly limits: Pick<Limits, "maxRequestBytes" | "maxItems" | "maxDepth" | "maxDeadlineMs" | "maxUnsentBytes"> & {
    /** Calls under way on this connection. */
    readonly maxInFlight: number;
    /** What the caller reads of one answer at most; what a client does when absent. An answer over it would end the
     *  connection, and all that is under way on it. */
    readonly maxReplyBytes?: number | undefined;
  };
  /** Who calls. Rejects with SheafError to refuse the connection. Asked again every `recheckMs`, so that a key that was
   *  revoked does not outlive its connections for long. */
  accept(hello: HelloFrame): Promise<Principal> | Principal;
  readonly recheckMs: number;
  /** A caller that has not said HELLO by then is cut off. */
  readonly helloMs: number;
  /** Throws SheafError where there is no such target, or the principal may not reach it. `op` is what the user chose. */
  permit(principal: Principal, target: Target, op: string | undefined): void;
  /** Told how long each call took that somebody waited for, from its frame to its answer. */
  took?: ((ms: Millis) => void) | undefined;
  /** The connection is over, whoever ended it. */
  ended?: ((responder: Responder) => void) | undefined;
  /** The error as a caller may see it. */
  expose(error: SheafError): SheafError;
  /** Id of the node here, when the other end is a node of the cluster too: what it says of calls that it passes on is
   *  believed, and each reply has its own session. */
  readonly between?: string | undefined;
  /** One session token that covers all of these. Later ones cover earlier ones when absent. */
  readonly joinSessions?: ((tokens: readonly string[]) => string) | undefined;
};

export interface Responder extends PipeEnd {
  readonly inFlight: number;
  /** Tells the caller to go elsewhere (GOAWAY); calls under way, and those sent before it heard, are still answered. It
   *  goes by itself once it is owed nothing. */
  drain(): void;
  /** Ends the connection, telling the caller why. Calls under way are abandoned. */
  end(error: SheafError): void;
}

type Running = {
  readonly kind: CallFrame["kind"];
  readonly began: Tick;
  readonly deadline: Tick;
  /** Aborted when nobody waits for the answer any more. */
  readonly cancel: Cancel;
};

/** How long past its deadline a call may still bring the better answer, which says whether it took effect. */
const GRACE: Millis = 50;

type Stage =
  | { readonly kind: "new"; readonly timer: Timer }
  | { readonly kind: "accepting"; readonly timer: Timer }
  | { readonly kind: "open"; readonly hello: HelloFrame; principal: Principal; timer: Timer }
  | { readonly kind: "closed" };

/** Begins the answering end of a connection that has just opened. */
export const respond = (pipe: Pipe, options: ResponderOptions): Responder => new Session(pipe, options);

class Session implements Responder {
  readonly #pipe: Pipe;
  readonly #options: ResponderOptions;
  readonly #clock: Clock;
  readonly #writer = new MessageWriter();
  readonly #running = new Map<number, Running>();
  readonly #deadlines: Deadlines;
  #stage: Stage;
  #paused = false;
  #flushing = false;
  #draining = false;
  /** The caller needs no more answers to operations that it numbered below this. */
  #settledBelow = 0;
  #session: string | undefined;
  #newSessions: string[] = [];
  readonly #flushTurn = (): void => {
    this.#flushing = false;
    this.#flush();
  };

  constructor(pipe: Pipe, options: ResponderOptions) {
    this.#pipe = pipe;
    this.#options = options;
    this.#clock = options.clock;
    this.#deadlines = new Deadlines(options.clock, (now) => this.#expire(now));
    const late = (): void =>
      this.end(new SheafError("DEADLINE", "no HELLO was accepted in time", { outcome: "not-applied" }));
    this.#stage = { kind: "new", timer: this.#clock.after(options.helloMs, late) };
  }

  get inFlight(): number {
    return this.#running.size;
  }

  message(bytes: Uint8Array): void {
    if (this.#stage.kind === "closed") return;
    try {
      const { maxItems, maxDepth } = this.#options.limits;
      for (const frame of readMessage(bytes, { maxBytes: this.#options.limits.maxRequestBytes, maxItems, maxDepth }))
        this.#frame(frame);
    } catch (error) {
      this.end(asSheafError(error)); // R4
    }
  }

  drained(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#pipe.resume();
  }

  closed(): void {
    const stage = this.#stage;
    if (stage.kind === "closed") return;
    stage.timer.cancel();
    this.#deadlines.stop();
    this.#stage = { kind: "closed" };
    for (const running of this.#running.values()) abandon(running, "the connection ended"); // R5
    this.#running.clear();
    this.#options.ended?.(this);
  }

  drain(): void {
    const { kind } = this.#stage;
    // Nothing was called yet: whoever is just coming may as well go elsewhere at once.
    if (kind === "new" || kind === "accepting") return this.end(new SheafError("STOPPING"));
    if (kind === "closed" || this.#draining) return;
    this.#draining = true;
    this.#packed(packGoaway({ code: "STOPPING", message: "this gateway is stopping", retryAfterMs: undefined }));
  }

  #frame(frame: readonly unknown[]): void {
    const stage = this.#stage;
    switch (stage.kind) {
      case "new":
        this.#stage = { kind: "accepting", timer: stage.timer };
        void this.#hello(readHello(frame));
        return;
      case "accepting":
        throw new SheafError("MALFORMED", "frame: the caller did not wait for WELCOME"); // R1
      case "open":
        return this.#open(frame, stage.principal, stage.hello);
      case "closed":
        return;
      default:
        never(stage);
    }
  }

  async #hello(hello: HelloFrame): Promise<void> {
    try {
      if (hello.oldest > frameVersion || hello.version < oldestFrameVersion) {
        throw new SheafError(
          "USAGE",
          `this gateway speaks versions ${oldestFrameVersion} to ${frameVersion} of the connection protocol`,
        );
      }
      const principal = await this.#options.accept(hello);
      if (this.#stage.kind !== "accepting") return;
      this.#stage.timer.cancel();
      this.#session = hello.session;
      this.#stage = { kind: "open", hello, principal, timer: this.#recheck(hello) };
      const { maxInFlight, maxRequestBytes } = this.#options.limits;
      const version = Math.min(hello.version, frameVersion);
      const time = this.#clock.now();
      this.#packed(
        packWelcome({ version, cluster: this.#options.cluster, time, maxInFlight, maxMessageBytes: maxRequestBytes }),
      );
    } catch (error) {
      this.end(asSheafError(error));
    }
  }

  #recheck(hello: HelloFrame): Timer {
    return this.#clock.after(this.#options.recheckMs, () => {
      void (async () => {
        try {
          const principal = await this.#options.accept(hello);
          const stage = this.#stage;
          if (stage.kind === "open") this.#stage = { kind: "open", hello, principal, timer: this.#recheck(hello) };
        } catch (error) {
          this.end(asSheafError(error));
        }
      })();
    });
  }

  #open(frame: readonly unknown[], principal: Principal, hello: HelloFrame): void {
    switch (frame[0]) {
      case frameKind.call:
        return this.#call(readCall(frame), principal, hello);
      case frameKind.cancel: {
        const running = this.#running.get(readId(frame));
        if (running !== undefined) abandon(running, "the caller gave up");
        return;
      }
      case frameKind.settled:
        this.#settledBelow = Math.max(this.#settledBelow, readId(frame));
        return;
      case frameKind.ping:
        return this.#packed(packNumber(frameKind.pong, readId(frame)));
      case frameKind.pong:
        return;
      default:
        throw new SheafError("MALFORMED", `frame: a caller does not send kind ${String(frame[0])}`);
    }
  }

  #call(frame: CallFrame, principal: Principal, hello: HelloFrame): void {
    const { limits, permit, calls } = this.#options;
    if (this.#running.has(frame.id))
      throw new SheafError("MALFORMED", "frame: an id is used while its call is under way");
    if (this.#running.size >= limits.maxInFlight) {
      const says = "this connection has as many calls under way as it may";
      return this.#fail(frame.id, overloaded(says, 50)); // R2
    }
    const began = this.#clock.tick();
    const deadline = began + Math.min(frame.deadlineMs, limits.maxDeadlineMs);
    const running: Running = { kind: frame.kind, began, deadline, cancel: new Cancel() };
    const { between } = this.#options;
    const call =
      between === undefined || frame.relay === undefined
        ? callOf(frame, principal, this.#operation(frame, hello), running, frame.session ?? this.#session)
        : relayedCall(frame, readRelay(frame.relay, between), running);
    let reply: Promise<Reply>;
    try {
      permit(call.principal, call.target, call.op?.issuedAt === undefined ? call.op?.id : undefined);
      reply = calls.call(call);
    } catch (error) {
      return this.#fail(frame.id, asSheafError(error));
    }
    this.#running.set(frame.id, running);
    this.#deadlines.add(deadline + GRACE);
    reply.then(
      (value) => this.#settled(frame, running, value, undefined),
      (error: unknown) => this.#settled(frame, running, undefined, error),
    );
  }

  #settled(frame: CallFrame, running: Running, reply: Reply | undefined, error: unknown): void {
    if (this.#stage.kind === "closed") return;
    this.#running.delete(frame.id);
    if (running.cancel.aborted) return; // R6
    this.#options.took?.(this.#clock.tick() - running.began);
    if (reply === undefined) return this.#fail(frame.id, asSheafError(error));
    let output: Uint8Array | undefined;
    try {
      output = reply.packed ?? (reply.output === undefined ? undefined : pack(reply.output));
    } catch (cause) {
      const outcome = frame.kind === "query" ? "not-applied" : "applied";
      return this.#fail(frame.id, new SheafError("BAD_OUTPUT", "the answer cannot be sent", { outcome, cause }));
    }
    const { maxReplyBytes = mostReplyBytes - messageBytes } = this.#options.limits;
    if (output !== undefined && output.length > maxReplyBytes) {
      const outcome = frame.kind === "query" ? "not-applied" : "applied";
      const says = `the answer is ${output.length} bytes; the limit is ${maxReplyBytes}`;
      return this.#fail(frame.id, new SheafError("TOO_LARGE", says, { outcome }));
    }
    const apart = this.#apart(reply.session);
    this.#room((output?.length ?? 0) + (apart?.length ?? 0));
    this.#writer.reply(frame.id, output, reply.version, reply.staleMs, reply.replayed, apart);
    this.#soon();
  }

  #operation({ op, issuedAt }: CallFrame, hello: HelloFrame): Operation | undefined {
    if (op === undefined) return undefined;
    if (typeof op === "string") return { id: op, issuedAt: undefined };
    return { id: `${hello.issuer}.${op.toString(36)}`, issuedAt, settled: this.#settledBelow };
  }

  #expire(now: Tick): Tick {
    let next: Tick = Infinity;
    for (const [id, running] of this.#running) {
      if (running.cancel.aborted) continue;
      if (running.deadline + GRACE > now) {
        next = Math.min(next, running.deadline + GRACE);
        continue;
      }
      abandon(running, "the deadline passed");
      this.#options.took?.(now - running.began);
      this.#fail(id, new SheafError("DEADLINE", undefined, running.kind === "query" ? { outcome: "not-applied" } : {})); // R7
    }
    return next;
  }

  #fail(id: number, failure: SheafError): void {
    const error = this.#options.expose(failure);
    const session = this.#apart(failure.session);
    const owner = this.#options.between === undefined ? undefined : failure.owner;
    let frame: Uint8Array;
    try {
      frame = packFail(id, error, session, owner);
    } catch {
      const { retry, outcome } = error;
      frame = packFail(id, new SheafError(error.code, error.message, { retry, outcome }), session);
    }
    this.#packed(frame);
  }

  /** What is said in the answer itself of what was seen with it: between nodes. Others are told of all answers at once. */
  #apart(session: string | undefined): string | undefined {
    if (this.#options.between !== undefined) return session;
    if (session !== undefined) this.#newSessions.push(session);
    return undefined;
  }

  #packed(frame: Uint8Array): void {
    this.#room(frame.length);
    this.#writer.packed(frame);
    this.#soon();
  }

  /** Lets go of what is gathered when one more frame would make the message long. */
  #room(more: number): void {
    if (this.#writer.frames > 0 && this.#writer.length + more > messageBytes) this.#flush();
  }

  #soon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    this.#clock.turn(this.#flushTurn);
  }

  #flush(): void {
    if (this.#stage.kind === "closed" || this.#writer.frames === 0) return;
    if (this.#newSessions.length > 0 && !this.#tellSession()) return;
    this.#pipe.send(this.#writer.take());
    if (this.#pipe.unsentBytes() > this.#options.limits.maxUnsentBytes) this.#pause(); // R3
  }

  /** One token for all answers of the message, whose writer knows nothing of the calls beside it. False, and the connection
   *  has ended, when the caller began it with a token that is none, and each call with another. */
  #tellSession(): boolean {
    const tokens = this.#newSessions;
    this.#newSessions = [];
    if (this.#session !== undefined) tokens.unshift(this.#session);
    let token: string;
    try {
      token = this.#options.joinSessions?.(tokens) ?? tokens[tokens.length - 1]!;
    } catch (error) {
      this.end(asSheafError(error));
      return false;
    }
    if (token === this.#session) return true;
    this.#session = token;
    this.#writer.packed(packSession(token));
    return true;
  }

  #pause(): void {
    if (this.#paused || this.#stage.kind === "closed") return;
    this.#paused = true;
    this.#pipe.pause();
  }

  end(error: SheafError): void {
    if (this.#stage.kind === "closed") return;
    const { code, message, retryAfterMs } = this.#options.expose(error);
    this.#writer.packed(packGoaway({ code, message, retryAfterMs }));
    this.#flush();
    this.closed();
    this.#pipe.close(code);
  }
}

function callOf(
  frame: CallFrame,
  principal: Principal,
  op: Operation | undefined,
  running: Running,
  session: string | undefined,
): Call {
  return {
    target: targetOf(frame),
    input: frame.input,
    principal,
    deadline: running.deadline,
    signal: running.cancel,
    op,
    consistency: frame.consistency,
    session,
    ifVersion: frame.ifVersion,
    trace: frame.trace,
  };
}

/** A call that another node passes on: everything as it was there, but for the time that is left. */
function relayedCall(frame: CallFrame, relay: Relay, running: Running): Call {
  const op = relayedOperation(frame.op, frame.issuedAt, relay);
  return { ...callOf(frame, relay.principal, op, running, frame.session), chain: relay.chain };
}

function targetOf(frame: CallFrame): Target {
  const { kind, type, key, name } = frame;
  return kind === "procedure" ? { kind, service: type, name } : { kind, entity: type, key, name };
}

function abandon(running: Running, why: string): void {
  running.cancel.abort(new SheafError("CANCELLED", why));
}

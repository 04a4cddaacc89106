// Procedures of services: stateless calls, bounded in number, ended at their deadline. Nothing of them is recorded.

import {
  amended,
  asSheafError,
  catalogue,
  type ErrorKind,
  type Limits,
  messageOf,
  overloaded,
  SheafError,
  type Tick,
} from "../base/index.ts";
import type { Host } from "../host/index.ts";
import type { CompiledApp, Invoke, Operation } from "../model/index.ts";
import {
  type Call,
  CallMeters,
  type Calls,
  Deadlines,
  type Derive,
  type Draw,
  drawOf,
  HandlerContext,
  innerCall,
  Ordinals,
  type Reply,
  runHandler,
  type Sessions,
  type Surroundings,
  Thread,
} from "../rpc/index.ts";

export type ServicesOptions = {
  readonly host: Host;
  readonly limits: Limits;
  readonly calls: Calls;
  /** Present where followers may answer. */
  readonly tokens: () => Sessions | undefined;
  /** What is the same on every node, and nobody else's to know; once the cluster's secret is known. */
  readonly derive: () => Derive | undefined;
};

export class Services {
  readonly #options: ServicesOptions;
  #app: CompiledApp;
  readonly #open = new Set<Procedure>();
  /** How many are open of each service. */
  readonly #busy = new Map<string, number>();
  readonly #deadlines: Deadlines;
  readonly #meters: CallMeters;

  constructor(app: CompiledApp, options: ServicesOptions) {
    this.#app = app;
    this.#options = options;
    this.#meters = new CallMeters(options.host.meter, "procedure");
    this.#deadlines = new Deadlines(options.host.clock, (now) => this.#expire(now));
  }

  get inFlight(): number {
    return this.#open.size;
  }

  reload(app: CompiledApp): void {
    this.#app = app;
  }

  /** Answers what is still under way. */
  close(): void {
    this.#deadlines.stop();
    for (const procedure of this.#open) procedure.end(new SheafError("STOPPING", undefined, { outcome: "unknown" }));
  }

  call(call: Call): Promise<Reply> {
    const meters = this.#meters;
    return new Promise((resolved, rejected) => {
      const resolve = (reply: Reply): void => (meters.answered(), resolved(reply));
      const reject = (error: SheafError): void => (meters.refused(error.code), rejected(error));
      try {
        this.#start(call, { resolve, reject });
      } catch (error) {
        reject(asSheafError(error));
      }
    });
  }

  #start(call: Call, answer: Answer): void {
    const { target } = call;
    const service = target.kind === "procedure" ? this.#app.services.get(target.service) : undefined;
    const operation = service?.operations.get(target.name);
    if (!service || !operation) throw unknown(call, this.#app);
    const { host, limits } = this.#options;
    if (call.deadline <= host.clock.tick()) throw new SheafError("DEADLINE", undefined, { outcome: "not-applied" });
    if (call.signal?.aborted) throw new SheafError("CANCELLED", undefined, { outcome: "not-applied" });
    const { name } = service.contract;
    const busy = this.#busy.get(name) ?? 0;
    if (busy >= (service.concurrency ?? limits.maxServiceInFlight) || this.#open.size >= limits.maxInFlight)
      throw full(name, busy);
    const input = operation.input(call.input);
    this.#busy.set(name, busy + 1);
    const ended = (procedure: Procedure): void => {
      this.#open.delete(procedure);
      this.#busy.set(name, (this.#busy.get(name) ?? 1) - 1);
    };
    const procedure = new Procedure(this.#options, call, operation, answer, ended);
    this.#open.add(procedure);
    this.#deadlines.add(call.deadline);
    procedure.run(input);
  }

  #expire(now: Tick): Tick {
    let next = Infinity;
    for (const procedure of this.#open) {
      if (procedure.deadline <= now) procedure.end(new SheafError("DEADLINE"));
      else if (procedure.deadline < next) next = procedure.deadline;
    }
    return next;
  }
}

type Answer = { resolve(reply: Reply): void; reject(error: SheafError): void };

/** One procedure on its way. What it did outside cannot be known when it is given up: the outcome is unknown. */
class Procedure implements Surroundings {
  readonly deadline: Tick;
  readonly now: number;
  readonly #options: ServicesOptions;
  readonly #call: Call;
  readonly #operation: Operation;
  readonly #answer: Answer;
  readonly #ended: (procedure: Procedure) => void;
  #controller: AbortController | undefined;
  readonly #thread: Thread;
  #dice: Draw | undefined;
  readonly #ordinals = new Ordinals();
  #done = false;

  constructor(
    options: ServicesOptions,
    call: Call,
    operation: Operation,
    answer: Answer,
    ended: (procedure: Procedure) => void,
  ) {
    this.#options = options;
    this.#call = call;
    this.#operation = operation;
    this.#answer = answer;
    this.#ended = ended;
    this.deadline = call.deadline;
    this.now = options.host.clock.now();
    this.#thread = new Thread(call, options.tokens());
    call.signal?.addEventListener("abort", this, { once: true });
  }

  get host(): Host {
    return this.#options.host;
  }
  get caller(): Call["principal"] {
    return this.#call.principal;
  }
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#done) this.#controller.abort();
    return this.#controller.signal;
  }

  get dice(): Draw {
    return (this.#dice ??= drawOf(this.#call, this.#options.host, this.#options.derive()));
  }

  emit(): never {
    throw nothingLeft();
  }
  send(): never {
    throw nothingLeft();
  }
  after(): never {
    throw nothingLeft();
  }
  cancel(): never {
    throw nothingLeft();
  }
  publish(): never {
    throw nothingLeft();
  }

  get invoke(): Invoke {
    const { host, calls, limits } = this.#options;
    return async (target, input, options) => {
      const chain = [...(this.#call.chain ?? []), { op: "", type: this.#operation.label, key: "" }];
      const { session } = this.#thread;
      const outer = { call: this.#call, chain, signal: this.signal, session, ordinals: this.#ordinals };
      return this.#thread.hear(calls.call(innerCall(outer, target, input, options, host, limits.maxCallDepth)));
    };
  }

  /** Its caller has given up. */
  handleEvent(): void {
    this.end(new SheafError("CANCELLED"));
  }

  run(input: unknown): void {
    const context = new HandlerContext(this.#operation, this, input, undefined, undefined);
    const failed = (error: unknown): void => this.end(this.#refusal(context, error));
    try {
      const result = runHandler(this.#operation, context);
      if (!(result instanceof Promise)) return this.#told(result);
      void result.then((value) => this.#told(value), failed);
    } catch (error) {
      failed(error);
    }
  }

  #told(result: unknown): void {
    try {
      const output = this.#operation.output(result);
      const session = this.#thread.told;
      if (this.#finish()) this.#answer.resolve(session === undefined ? { output } : { output, session });
    } catch (error) {
      this.end(unsure(asSheafError(error)));
    }
  }

  #refusal(context: HandlerContext, error: unknown): SheafError {
    if (error instanceof SheafError) {
      const kind: ErrorKind = catalogue[error.code];
      if (error === context.refusal) return error;
      if (kind.exit === 7 || error.code === "REENTRANT") return unsure(error);
    }
    const message = messageOf(error);
    const stack = error instanceof Error ? (error.stack ?? message) : message;
    this.host.log.error("a handler threw", { operation: this.#operation.label, error: stack });
    return new SheafError("HANDLER_FAILED", `${this.#operation.label} threw: ${message}`, {
      cause: error,
      outcome: "unknown",
    });
  }

  end(error: SheafError): void {
    if (!this.#finish()) return;
    this.#controller?.abort(error);
    this.#answer.reject(this.#thread.refused(error));
  }

  #finish(): boolean {
    if (this.#done) return false;
    this.#done = true;
    this.#call.signal?.removeEventListener("abort", this);
    this.#ended(this);
    return true;
  }
}

/** The same error of a procedure that may have done something before it met it. */
const unsure = (error: SheafError): SheafError =>
  amended(error, { outcome: "unknown", retry: error.retry === "now" ? "later" : error.retry });

function unknown({ target }: Call, app: CompiledApp): SheafError {
  if (target.kind !== "procedure") return new SheafError("UNKNOWN_TARGET");
  const service = app.services.get(target.service);
  if (!service) {
    const names = [...app.services.keys()].join(", ") || "none";
    return new SheafError("UNKNOWN_TARGET", `there is no service "${target.service}"`, { hint: `services: ${names}` });
  }
  const names = [...service.operations.keys()].join(", ");
  return new SheafError("UNKNOWN_TARGET", `${target.service} has no procedure "${target.name}"`, {
    hint: `it has: ${names}`,
  });
}

const full = (service: string, busy: number): SheafError =>
  overloaded(`this node has ${busy} calls of ${service} under way, and no room for more`, 100);

const nothingLeft = (): SheafError =>
  new SheafError(
    "HANDLER_FAILED",
    "a procedure cannot emit events, send or set timers: it has no commit. It publishes by call.topic",
  );

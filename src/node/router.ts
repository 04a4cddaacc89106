// Where calls go: to the owner of a key, to a copy that may answer, or to a node that offers the service. Asks again, within
// the deadline, where asking again is safe.
//
// G1. A call is sent a second time only when the first was certainly not applied, or it is a query, or has an operation id.
// G2. Every command has an operation id: its first node assigns one (F5). So one whose shard moves while its handler has
//     already called others may run again: those calls are then repeats.
// G3. A call that another node passed on is carried out here or refused: it never travels in circles.
// G4. A call under which nodes keep dying is given up after a few: it may be what kills them.
// G5. A procedure that a node is too busy for, or does not have in its release, is asked of each other node once, the former
//     within a budget: nodes that have too much to do are not given the same work many times over.
// G6. Who refuses a call names the owner, if it knows of one. A call goes there without a pause a few times at most, and only to
//     a newer epoch each time: names that are old cost a try, and never a circle.

import { amended, asSheafError, type Millis, type Owner, SheafError, toHex } from "../base/index.ts";
import { RetryBudget } from "../cluster/index.ts";
import type { Counter, Host } from "../host/index.ts";
import { type Call, inDoubt, type Operation, type Reply } from "../rpc/index.ts";

/** Where a call may be carried out now. `nowhere`: nobody is known who would at the moment. `refused`: nor will be soon. */
export type Way =
  | { readonly kind: "here" }
  | { readonly kind: "there"; readonly node: string; call(call: Call): Promise<Reply> }
  | { readonly kind: "nowhere"; readonly why: string }
  | { readonly kind: "refused"; readonly error: SheafError };

export type RouterOptions = {
  readonly host: Host;
  /** Id of the node here. */
  readonly self: string;
  /** Where to, given the nodes that this call was just refused by or could not reach. */
  way(call: Call, tried: ReadonlySet<string>): Way;
  here(call: Call): Promise<Reply>;
  /** A node said NOT_OWNER, and may have named another. Whether that changes the way. */
  refused(call: Call, by: string, owner: Owner | undefined): boolean;
  /** Does the application here have what is called, if it is of an entity? */
  knows(call: Call): boolean;
  /** Is this node still to begin anything? */
  open(): boolean;
};

/** Answers after which another attempt, perhaps elsewhere, may succeed. */
const passing: ReadonlySet<string> = new Set([
  "NOT_OWNER",
  "NOT_READY",
  "STOPPING",
  "UNREACHABLE",
  "CALL_LOST",
  "OUTCOME_UNKNOWN",
]);

/** Operations so far behind the newest are named one by one, so many at most: else a slow one would keep all since then. */
const longestSpan = 256;
const mostOpen = 32;
/** Nodes that one call may lose. */
const mostLosses = 2;
/** Names that one call follows at once. */
const mostNames = 3;
const firstPause: Millis = 1;
const longestPause: Millis = 50;

export class Router {
  readonly #options: RouterOptions;
  readonly #issuer: string;
  #operations = 0;
  /** Numbers of operations of this node's own that are not answered yet, lowest first. */
  readonly #unsettled = new Set<number>();
  readonly #budget = new RetryBudget();
  readonly #retries: Counter;
  #inFlight = 0;

  constructor(options: RouterOptions) {
    this.#options = options;
    this.#retries = options.host.meter.counter(
      "sheaf_call_retries_total",
      "Attempts of calls beyond the first, at another node or once more.",
    );
    this.#issuer = toHex(options.host.dice.bytes(12));
  }

  /** Calls that are carried out elsewhere, or wait for somebody who will. */
  get inFlight(): number {
    return this.#inFlight;
  }

  call(call: Call): Promise<Reply> {
    const way = this.#options.way(call, none);
    if (call.target.kind === "command" && call.op === undefined) return this.#carry(call, way);
    if (way.kind === "there") return this.#passOn(call, way);
    if (way.kind !== "here") return this.#carry(call, way);
    return this.#options.here(call).catch((error: unknown) => {
      const failure = asSheafError(error);
      if (!this.#mayRepeat(call, failure)) throw failure;
      return this.#carry(call, undefined, failure);
    });
  }

  /** Nearly all calls end with their first attempt: these are spared what a second one would need. */
  #passOn(call: Call, first: Way & { kind: "there" }): Promise<Reply> {
    this.#inFlight++;
    return first.call(call).then(
      (reply) => {
        this.#inFlight--;
        this.#budget.called();
        return reply;
      },
      (error: SheafError) => {
        this.#inFlight--;
        return this.#carry(call, { ...first, call: () => Promise.reject(error) });
      },
    );
  }

  #mayRepeat(call: Call, error: SheafError): boolean {
    if (!passing.has(error.code) || !this.#options.open()) return false;
    return error.outcome === "not-applied" || call.target.kind === "query" || call.op !== undefined;
  }

  /** G5 */
  #mayAskAnother({ target }: Call, { code, outcome }: SheafError): boolean {
    if (target.kind !== "procedure" || outcome !== "not-applied" || !this.#options.open()) return false;
    return code === "UNKNOWN_TARGET" || (code === "OVERLOADED" && this.#budget.take(this.#options.host.clock.tick()));
  }

  /** What the application here has and that of a shard's owner does not yet is not unknown: it has to wait. */
  #unlessOlder(to: Way, call: Call, error: SheafError): SheafError {
    const { target } = call;
    if (error.code !== "UNKNOWN_TARGET" || to.kind !== "there" || target.kind === "procedure") return error;
    if (!this.#options.knows(call)) return error;
    const what = `${target.entity}.${target.name}`;
    return new SheafError("NOT_HOSTED", `the node that owns this key runs a release without ${what}`, {
      retryAfterMs: 1_000,
      hint: "Roll the release out to all nodes that host entities before its callers.",
      session: error.session,
      cause: error,
    });
  }

  async #carry(given: Call, first: Way | undefined, failed?: SheafError): Promise<Reply> {
    const { host, way, here, self } = this.#options;
    const issued = given.target.kind === "command" && given.op === undefined ? this.#issue() : undefined;
    let call = issued === undefined ? given : { ...given, op: this.#operation(issued) };
    if (failed?.session !== undefined) call = { ...call, session: failed.session };
    // What failed before this was tried here.
    const tried = new Set(failed ? [self] : []);
    /** They need not be asked again, ever. */
    const asked = new Set<string>();
    let failure = failed;
    let doubt = failed?.outcome === "unknown";
    let losses = 0;
    let names = 0;
    this.#inFlight++;
    this.#budget.called();
    try {
      for (let attempt = 0, next = first; ; attempt++, next = undefined) {
        if (attempt > 0 || failed) this.#retries.add();
        const to = next ?? way(call, tried);
        // Whoever might have said otherwise has been asked.
        if (to.kind === "nowhere" && failure && asked.size > 0) throw inDoubt(failure, doubt);
        try {
          const renamed = attempt > 0 && issued !== undefined && host.faults.mutant("C3");
          const sent = renamed ? { ...call, op: this.#operation(this.#issue()) } : call;
          if (to.kind === "here") return await here(sent);
          if (to.kind === "there") return await to.call(sent);
          if (to.kind === "refused") throw to.error;
          failure ??= new SheafError("NOT_READY", to.why, { retryAfterMs: 100 });
        } catch (error) {
          failure = this.#unlessOlder(to, call, asSheafError(error));
          // What the handler saw and wrote elsewhere before it was refused, the next attempt is to see, and so is the caller.
          if (failure.session !== undefined) call = { ...call, session: failure.session };
          else if (call.session !== given.session) failure = amended(failure, { session: call.session });
          if (failure.code === "CALL_LOST") losses++;
          if (to.kind === "there" && this.#mayAskAnother(call, failure)) {
            asked.add(to.node);
            tried.add(to.node);
            continue;
          }
          if (losses === mostLosses || !this.#mayRepeat(call, failure)) throw inDoubt(failure, doubt);
          doubt ||= failure.outcome === "unknown";
          if (
            to.kind === "there" &&
            failure.code === "NOT_OWNER" &&
            this.#options.refused(call, to.node, failure.owner)
          ) {
            tried.add(to.node);
            if (names++ < mostNames) continue; // G6
          }
        }
        if (to.kind === "there") tried.add(to.node);
        else if (to.kind === "here") tried.add(self);
        else again(tried, asked);
        const pause = Math.min(longestPause, firstPause * 2 ** attempt) * (0.5 + host.dice.random() / 2);
        if (!(await this.#rest(pause, call))) throw inDoubt(failure, doubt);
        if (attempt % 4 === 3) again(tried, asked);
      }
    } finally {
      this.#inFlight--;
      if (issued !== undefined) this.#unsettled.delete(issued);
    }
  }

  /** False when there is no time left, or nobody waits any more. */
  #rest(ms: Millis, call: Call): Promise<boolean> {
    const { clock } = this.#options.host;
    if (clock.tick() + ms >= call.deadline || call.signal?.aborted || !this.#options.open())
      return Promise.resolve(false);
    return new Promise((resolve) => void clock.after(ms, () => resolve(true)));
  }

  #issue(): number {
    this.#unsettled.add(++this.#operations);
    return this.#operations;
  }

  #operation(number: number): Operation {
    const open: number[] = [];
    let settled = number;
    for (settled of this.#unsettled) {
      if (number - settled <= longestSpan || open.length === mostOpen) break;
      open.push(settled);
    }
    return {
      id: `${this.#issuer}.${number.toString(36)}`,
      issuedAt: this.#options.host.clock.now(),
      settled,
      ...(open.length > 0 && { open }),
    };
  }
}

const none: ReadonlySet<string> = new Set();

/** All may be asked again, but for a few. */
function again(tried: Set<string>, but: ReadonlySet<string>): void {
  tried.clear();
  for (const node of but) tried.add(node);
}

// Which of several endpoints a call goes to: nodes that offer a service, or addresses of one outside. Knows only what was seen
// from here. A machine: time and dice are handed in.
//
// L1. Of two drawn by lot the one with less to do is taken (Mitzenmacher, "The Power of Two Choices", 2001), by peak EWMA
//     latency times calls under way.
// L2. The node here comes before its zone, and its zone before the others, unless the nearer one is clearly worse off.
// L3. An endpoint whose breaker is open gets no call but probes; one that is full rests as long as it asked for.
// L4. When fewer than a third are left by breakers, these count for nothing: rather a failing call than all the load on few,
//     and never nobody.

import { catalogue, type Millis, type SheafError, type Tick } from "../base/index.ts";
import { type Breaker, closed, ended, permits, probed } from "./balance-breaker.ts";
import { Load } from "./balance-load.ts";

export type Endpoint = { readonly id: string; readonly zone: string };

/** How a call ended, as far as it says something about who carried it out. `full`: it refused for want of room, and asked to
 *  be left alone for a while. `late`: it had not answered when the caller gave up. */
export type Verdict =
  | { readonly kind: "well" | "failed" | "late" }
  | { readonly kind: "full"; readonly restMs: Millis };

export type BalanceOptions = {
  /** Uniform in [0, 1). */
  random(): number;
  readonly self: string;
  readonly zone: string;
  /** The breaker of an endpoint has opened, or closed again. */
  changed?(service: string, id: string, broken: boolean): void;
};

type State = { readonly load: Load; breaker: Breaker; restsUntil: Tick };

/** Where latencies count for nothing, and so many calls at once are none too many: nearness matters more. */
const quickMs: Millis = 25;
const calmCalls = 8;
/** So many times worse off a nearer endpoint must be for a farther one to be taken. */
const bias = 2;
const panicShare = 1 / 3;
/** A probe that was given so long had time to answer. */
const patientMs: Millis = 1_000;
/** Endpoints remembered beyond those that are there. */
const spare = 16;

export class Balance {
  readonly #options: BalanceOptions;
  readonly #services = new Map<string, Map<string, State>>();

  constructor(options: BalanceOptions) {
    this.#options = options;
  }

  /** The id of the endpoint to call; undefined when each was tried. */
  pick(service: string, endpoints: readonly Endpoint[], tried: ReadonlySet<string>, now: Tick): string | undefined {
    const states = this.#statesOf(service, endpoints);
    const [only] = endpoints;
    // One that fails is better than none, and the most usual number is quickly chosen from.
    if (only && endpoints.length === 1) return tried.has(only.id) ? undefined : only.id;
    const stateOf = ({ id }: Endpoint): State => states.get(id) ?? fresh();
    const permitted = endpoints.filter((one) => permits(stateOf(one).breaker, now) !== "no");
    const left = (permitted.length < endpoints.length * panicShare ? endpoints : permitted).filter(
      ({ id }) => !tried.has(id),
    );
    const probe = left.find((one) => permits(stateOf(one).breaker, now) === "probe");
    if (probe) return probe.id;
    const rested = left.filter((one) => now >= stateOf(one).restsUntil);
    return this.#nearest(rested.length > 0 ? rested : left, stateOf, now)?.id;
  }

  #nearest(endpoints: readonly Endpoint[], stateOf: (one: Endpoint) => State, now: Tick): Endpoint | undefined {
    const { self, zone } = this.#options;
    const rings: readonly (readonly Endpoint[])[] = [
      endpoints.filter(({ id }) => id === self),
      endpoints.filter((one) => one.id !== self && one.zone === zone),
      endpoints.filter((one) => one.id !== self && one.zone !== zone),
    ];
    let best: Endpoint | undefined;
    for (const ring of rings) {
      const found = this.#ofTwo(ring, (one) => stateOf(one).load.cost(now));
      if (!found) continue;
      if (!best || burden(stateOf(best).load, now) > bias * burden(stateOf(found).load, now)) best = found;
    }
    return best;
  }

  #ofTwo(ring: readonly Endpoint[], costOf: (one: Endpoint) => number): Endpoint | undefined {
    const [first] = ring;
    if (ring.length < 2) return first;
    const { random } = this.#options;
    const i = Math.floor(random() * ring.length);
    const j = Math.floor(random() * (ring.length - 1));
    const [a, b] = [ring[i], ring[j < i ? j : j + 1]];
    return a && b && costOf(b) < costOf(a) ? b : a;
  }

  /** A call goes to the endpoint. Returns what is to be told once how it ended. */
  begin(service: string, id: string, now: Tick): (verdict: Verdict, now: Tick) => void {
    const states = this.#services.get(service) ?? new Map<string, State>();
    this.#services.set(service, states);
    const state = states.get(id) ?? fresh();
    states.set(id, state);
    const { load } = state;
    const isProbe = permits(state.breaker, now) === "probe";
    if (isProbe) state.breaker = probed(state.breaker, now);
    load.inFlight++;
    return (verdict, at) => {
      load.inFlight--;
      // Whoever fails fast is not quick, and whoever refuses has not worked.
      if (verdict.kind === "well") load.observe(at - now, at);
      else load.atLeast(at - now, at);
      if (verdict.kind === "full") state.restsUntil = at + verdict.restMs;
      this.#becomes(
        service,
        id,
        state,
        ended(state.breaker, saidBy(verdict, isProbe && at - now >= patientMs), isProbe ? now : undefined, at),
      );
    };
  }

  #becomes(service: string, id: string, state: State, next: Breaker): void {
    const was = state.breaker.kind;
    state.breaker = next;
    if ((was === "closed") !== (next.kind === "closed")) this.#options.changed?.(service, id, next.kind !== "closed");
  }

  /** Endpoints of a service that get no calls but probes. */
  broken(service: string): readonly string[] {
    return [...(this.#services.get(service) ?? [])]
      .filter(([, { breaker }]) => breaker.kind !== "closed")
      .map(([id]) => id);
  }

  /** What is known of the endpoints. Of those that are not there any more only a few are remembered. */
  #statesOf(service: string, endpoints: readonly Endpoint[]): ReadonlyMap<string, State> {
    const states = this.#services.get(service);
    if (!states) return none;
    if (states.size <= endpoints.length + spare) return states;
    const there = new Set(endpoints.map(({ id }) => id));
    for (const [id, { load }] of states) if (!there.has(id) && load.inFlight === 0) states.delete(id);
    return states;
  }
}

/** Lateness tells of its caller's haste as much as of the endpoint; of a probe that was given time it tells enough. */
const saidBy = ({ kind }: Verdict, patient: boolean): "well" | "failed" | "unsaid" =>
  kind === "full" ? "unsaid" : kind === "late" ? (patient ? "failed" : "unsaid") : kind;

const none: ReadonlyMap<string, State> = new Map();
const fresh = (): State => ({ load: new Load(), breaker: closed, restsUntil: 0 });

/** As endpoints of different distance are compared. */
const burden = (load: Load, now: Tick): number =>
  Math.max(quickMs, load.latency(now)) * Math.max(1, load.inFlight / calmCalls);

const failures: ReadonlySet<string> = new Set([
  "HANDLER_FAILED",
  "BAD_OUTPUT",
  "INTERNAL",
  "CALL_LOST",
  "EXTERNAL_FAILED",
]);
const refusalMs: Millis = 100;

/** What an answer says of who gave it; `error` is undefined for an output. */
export function verdictOf(error: SheafError | undefined): Verdict {
  if (error === undefined) return { kind: "well" };
  const { code, outcome, retry, retryAfterMs } = error;
  // An outside service that refuses one call for good is well; one that asks to come again later is full.
  if (code === "EXTERNAL_FAILED" && outcome === "not-applied")
    return retry === "never" ? { kind: "well" } : { kind: "full", restMs: retryAfterMs ?? refusalMs };
  if (failures.has(code)) return { kind: "failed" };
  if (code === "DEADLINE" || code === "CANCELLED") return { kind: "late" };
  // With another outcome it is what the handler met further on, and tells nothing of the endpoint.
  const refused = outcome === "not-applied" && catalogue[code].exit === 7;
  if (refused) return code === "UNREACHABLE" ? { kind: "failed" } : { kind: "full", restMs: retryAfterMs ?? refusalMs };
  return { kind: "well" };
}

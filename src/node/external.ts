// Calls of services outside of the cluster: to one of the addresses that an operator has registered, by the rules by which calls go to
// nodes. Every node calls out by itself.
//
// E1. A call is sent a second time only when the first was certainly not applied, and then to another address; each gets it once.
// E2. So many at a time as of any service, and none beyond its deadline.

import { asSheafError, type Limits, SheafError, type Tick } from "../base/index.ts";
import { Balance, type Endpoint, verdictOf } from "../cluster/index.ts";
import type { Registered } from "../control/index.ts";
import { callOut, type Post } from "../gateway/index.ts";
import type { Host } from "../host/index.ts";
import type { CompiledApp, Spoken } from "../model/index.ts";
import { type Call, CallMeters, type Derive, type Reply } from "../rpc/index.ts";

export type ExternalOptions = {
  readonly host: Host;
  readonly limits: Limits;
  /** As it is now. */
  app(): CompiledApp;
  /** Undefined where there is no network but the nodes' own, as in simulation. */
  readonly post: Post | undefined;
  /** Where a service is registered. */
  find(service: string, deadline: Tick): Promise<Registered | undefined>;
  /** As soon as the cluster's secret is known. */
  derive(): Derive | undefined;
  changed(service: string, url: string, broken: boolean): void;
};

export class External {
  readonly #options: ExternalOptions;
  readonly #balance: Balance;
  readonly #busy = new Map<string, number>();
  readonly #meters: CallMeters;

  constructor(options: ExternalOptions) {
    this.#options = options;
    const { host, changed } = options;
    this.#balance = new Balance({ random: () => host.dice.random(), self: "", zone: "", changed });
    this.#meters = new CallMeters(host.meter, "procedure");
  }

  get inFlight(): number {
    let sum = 0;
    for (const busy of this.#busy.values()) sum += busy;
    return sum;
  }

  async call(call: Call, service: string): Promise<Reply> {
    try {
      const output = await this.#bounded(call, service);
      this.#meters.answered();
      return { output };
    } catch (error) {
      const failure = asSheafError(error);
      this.#meters.refused(failure.code);
      throw failure;
    }
  }

  async #bounded(call: Call, service: string): Promise<unknown> {
    const { host, limits, app } = this.#options;
    const procedures = app().external.get(service);
    const procedure = procedures?.get(call.target.name);
    if (!procedures || !procedure) {
      throw new SheafError("UNKNOWN_TARGET", `${service} has no procedure "${call.target.name}"`, {
        hint: `it has: ${[...(procedures?.keys() ?? [])].join(", ")}`,
      });
    }
    const input = procedure.input(call.input);
    if (call.deadline <= host.clock.tick()) throw new SheafError("DEADLINE", undefined, { outcome: "not-applied" });
    const busy = this.#busy.get(service) ?? 0;
    if (busy >= limits.maxServiceInFlight)
      throw new SheafError("OVERLOADED", `this node has ${busy} calls of ${service} under way`, { retryAfterMs: 100 });
    this.#busy.set(service, busy + 1);
    try {
      return await this.#send(call, service, procedure, input);
    } finally {
      this.#busy.set(service, (this.#busy.get(service) ?? 1) - 1);
    }
  }

  async #send(call: Call, service: string, procedure: Spoken, input: unknown): Promise<unknown> {
    const { host, limits, post, find } = this.#options;
    const derive = this.#options.derive();
    if (!derive) throw new SheafError("NOT_READY", undefined, { retryAfterMs: 100 });
    const registered = await find(service, call.deadline);
    if (!post || !registered) throw unregistered(service);
    const endpoints = registered.urls.map((url): Endpoint => ({ id: url, zone: "" }));
    const tried = new Set<string>();
    for (;;) {
      const url = this.#balance.pick(service, endpoints, tried, host.clock.tick());
      if (url === undefined) throw unregistered(service);
      tried.add(url);
      const ended = this.#balance.begin(service, url, host.clock.tick());
      try {
        const asked = { call, service, procedure, input, url, private: registered.private };
        const output = await callOut({ post, host, limits, derive }, asked);
        ended(verdictOf(undefined), host.clock.tick());
        return output;
      } catch (error) {
        const failure = asSheafError(error);
        ended(verdictOf(failure), host.clock.tick());
        if (!mayGoOn(failure) || tried.size === endpoints.length) throw told(failure, service);
      }
    }
  }
}

/** E1 */
const mayGoOn = ({ code, outcome, retry }: SheafError): boolean =>
  outcome === "not-applied" && (code === "UNREACHABLE" || (code === "EXTERNAL_FAILED" && retry !== "never"));

/** What the router would take for its own trouble, and ask again, is the outside's. */
function told(error: SheafError, service: string): SheafError {
  const { code, message, outcome, retry, hint } = error;
  if (code !== "UNREACHABLE" && code !== "CALL_LOST") return error;
  return new SheafError("EXTERNAL_FAILED", `${service}: ${message}`, { outcome, retry, hint, cause: error });
}

const unregistered = (service: string): SheafError =>
  new SheafError("NOT_HOSTED", `no address of the outside service ${service} is registered`, {
    retryAfterMs: 1_000,
    hint: `Register one: sheaf endpoint add ${service} https://…`,
  });

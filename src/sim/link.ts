// The way from a caller to a machine and back: takes time, may lose a request or a reply, may deliver a request again later.

import { type Millis, SheafError } from "../base/index.ts";
import type { Call, Reply } from "../rpc/index.ts";
import type { Machine } from "./machine.ts";
import type { Random } from "./random.ts";
import type { Schedule } from "./schedule.ts";
import type { Weather } from "./weather.ts";

export type LinkOptions = {
  readonly schedule: Schedule;
  readonly random: Random;
  readonly weather: Weather;
  /** No time passes and nothing is lost. */
  readonly direct: boolean;
};

/** A call before it has a place: its deadline is a span, as it is on a wire. */
export type Request = Omit<Call, "deadline"> & { readonly deadlineMs: Millis };

/** What one attempt came to. `stray`: a copy of the request may still arrive later. */
export type Attempt =
  | { readonly kind: "answered"; readonly reply: Reply; readonly stray: boolean }
  | { readonly kind: "failed"; readonly error: SheafError; readonly stray: boolean };

const chance = { lose: 0.04, duplicate: 0.06 };

export interface Link {
  /** Resolves with what the caller learns; never rejects. */
  send(machine: Machine, request: Request): Promise<Attempt>;
}

export function createLink({ schedule, random, weather, direct }: LinkOptions): Link {
  const delay = (): Millis => (direct ? 0 : 0.05 + random.float() * random.float() * 2);
  const happens = (fault: "lost-reply" | "duplicate", probability: number): boolean => {
    if (!weather.enabled.has(fault) || !random.chance(probability)) return false;
    weather.tally.injected[fault]++;
    return true;
  };
  const failed = (code: "CALL_LOST" | "UNREACHABLE", stray: boolean): Attempt => ({
    kind: "failed",
    error: new SheafError(code),
    stray,
  });

  /** Hands the request to the node; `undefined` when there is none to hand it to. */
  const deliver = (machine: Machine, request: Request): Promise<Reply> | undefined => {
    const state = machine.state();
    if (state.kind !== "up") return undefined;
    const { node, host } = state;
    const call = (): Promise<Reply> => node.call({ ...request, deadline: host.clock.tick() + request.deadlineMs });
    if (!host.paused()) return call();
    return new Promise((resolve, reject) => host.deliver(() => void call().then(resolve, reject)));
  };

  const send = (machine: Machine, request: Request): Promise<Attempt> =>
    new Promise((resolve) => {
      let stray = false;
      const after = (ms: Millis, label: string, run: () => void): void => void schedule.after(ms, label, run);
      const cut = (): boolean => weather.cutFromCallers.has(machine.name);
      const toNode = `caller>${machine.name}`;
      const toCaller = `${machine.name}>caller`;
      if (cut() || happens("lost-reply", chance.lose))
        return after(delay() + 2, toCaller, () => resolve(failed("CALL_LOST", false)));
      if (request.op !== undefined && happens("duplicate", chance.duplicate)) {
        stray = true;
        after(
          random.between(0, random.chance(0.5) ? 3 : 150),
          toNode,
          () => void deliver(machine, request)?.catch(() => undefined),
        );
      }
      after(delay(), toNode, () => {
        const answer = deliver(machine, request);
        if (answer === undefined) return after(delay(), toCaller, () => resolve(failed("UNREACHABLE", stray)));
        const forget = machine.watch(() => after(delay(), toCaller, () => resolve(failed("CALL_LOST", stray))));
        const back = (attempt: Attempt): void => {
          forget();
          const loses = cut() || happens("lost-reply", chance.lose);
          after(delay(), toCaller, () => resolve(loses ? failed("CALL_LOST", stray) : attempt));
        };
        answer.then(
          (reply) => back({ kind: "answered", reply, stray }),
          (error: unknown) => back({ kind: "failed", error: strictly(error), stray }),
        );
      });
    });
  return { send };
}

/** Whatever carries calls out rejects with SheafError only; anything else is a defect that must show. */
function strictly(error: unknown): SheafError {
  if (error instanceof SheafError) return error;
  return new SheafError("INTERNAL", `a call rejected with something else than SheafError: ${String(error)}`, {
    cause: error,
  });
}

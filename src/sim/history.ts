// What callers asked and learnt, in order: what checkers look at.

import type { ErrorCode, Millis, Outcome } from "../base/index.ts";
import type { Target } from "../rpc/index.ts";

export type CallRecord = {
  readonly client: string;
  readonly target: Target;
  readonly input: unknown;
  /** Operation id, where the call had one. */
  readonly op: string | undefined;
  /** On the clock that orders all events of the run: unique whole numbers. */
  readonly start: number;
  readonly startedAt: Millis;
  /** Undefined while the call is under way. */
  end: number | undefined;
  endedAt: Millis | undefined;
  /** "unknown" too when a copy of the request may still arrive. */
  outcome: Outcome;
  output: unknown;
  error: ErrorCode | undefined;
  /** For DECLARED: the declared error's name. */
  declared: string | undefined;
  attempts: number;
  /** When the attempt that was answered began, and how old its answer may be, as it said. */
  askedAt: Millis;
  staleMs: Millis | undefined;
  /** A copy of the request may have arrived, or may still arrive, besides the one that was answered. */
  stray: boolean;
};

export interface History {
  readonly calls: readonly CallRecord[];
  /** The next point in the order of events. */
  next(): number;
  begin(record: Pick<CallRecord, "client" | "target" | "input" | "op" | "startedAt">): CallRecord;
}

export function createHistory(): History {
  const calls: CallRecord[] = [];
  let order = 0;
  return {
    calls,
    next: () => ++order,
    begin(given) {
      const record: CallRecord = {
        ...given,
        start: ++order,
        end: undefined,
        endedAt: undefined,
        outcome: "unknown",
        output: undefined,
        error: undefined,
        declared: undefined,
        attempts: 0,
        askedAt: given.startedAt,
        staleMs: undefined,
        stray: false,
      };
      calls.push(record);
      return record;
    },
  };
}

/** One line for a person. */
export function describeCall(call: CallRecord): string {
  const { target, client, input, startedAt, endedAt, outcome, output, error, attempts } = call;
  const where = target.kind === "procedure" ? target.service : `${target.entity}/${target.key}`;
  const time = `${startedAt.toFixed(1)}–${endedAt === undefined ? "…" : endedAt.toFixed(1)} ms`;
  const came = error === undefined ? `→ ${JSON.stringify(output)}` : `✗ ${call.declared ?? error}`;
  const again = attempts > 1 ? ` (${attempts} attempts)` : "";
  return `${time}  ${client}  ${where}/${target.name} ${JSON.stringify(input) ?? ""} ${came} ${outcome}${again}`;
}

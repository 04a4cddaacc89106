// Calls that a handler makes: what they inherit from the call that they are made in.

import { type Millis, SheafError, type Tick } from "../base/index.ts";
import type { Clock } from "../host/index.ts";
import type { Address, CommandOptions, QueryOptions } from "../model/index.ts";
import type { Call, Link, Operation } from "./call.ts";

export type Outer = {
  readonly call: Call;
  /** Operations up to and including the one that calls. */
  readonly chain: readonly Link[];
  readonly signal: AbortSignal;
  /** How many calls it made before this one: with the operation's own id it names this one, so that a repeat is a repeat. */
  readonly ordinal: number;
};

/** Throws REENTRANT when calls are nested deeper than `maxDepth`. */
export function innerCall(
  outer: Outer,
  target: Address,
  input: unknown,
  options: (CommandOptions & QueryOptions) | undefined,
  clock: Clock,
  maxDepth: number,
): Call {
  if (outer.chain.length >= maxDepth) throw new SheafError("REENTRANT", `calls are nested deeper than ${maxDepth}`);
  const { principal, session, trace } = outer.call;
  return {
    target,
    input,
    principal,
    session,
    trace,
    deadline: earlier(outer.call.deadline, clock, options?.deadlineMs),
    signal: options?.signal ? AbortSignal.any([outer.signal, options.signal]) : outer.signal,
    op: target.kind === "command" ? innerOperation(outer, options?.idempotencyKey) : undefined,
    consistency: options?.consistency,
    ifVersion: options?.ifVersion,
    chain: outer.chain,
  };
}

function innerOperation({ call: { op }, ordinal }: Outer, key: string | undefined): Operation | undefined {
  if (key !== undefined) return { id: key, issuedAt: undefined };
  return op && { ...op, id: `${op.id}/${ordinal}` };
}

const earlier = (deadline: Tick, clock: Clock, deadlineMs: Millis | undefined): Tick =>
  deadlineMs === undefined ? deadline : Math.min(deadline, clock.tick() + deadlineMs);

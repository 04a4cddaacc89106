// Calls that a handler makes: what they inherit from the call that they are made in.

import { type Millis, SheafError, type Tick, toHex, utf8 } from "../base/index.ts";
import type { Clock, Crypto, Host } from "../host/index.ts";
import type { Address, CommandOptions, QueryOptions } from "../model/index.ts";
import type { Call, Link, Operation } from "./call.ts";

export type Outer = {
  readonly call: Call;
  /** Operations up to and including the one that calls. */
  readonly chain: readonly Link[];
  readonly signal: AbortSignal;
  /** What has been seen so far. */
  readonly session: string | undefined;
  /** How many calls it made before this one: with the operation's own id it names this one, so that a repeat is a repeat. */
  readonly ordinal: number;
};

/** Throws REENTRANT when calls are nested deeper than `maxDepth`. */
export function innerCall(
  outer: Outer,
  target: Address,
  input: unknown,
  options: (CommandOptions & QueryOptions) | undefined,
  host: Pick<Host, "clock" | "crypto">,
  maxDepth: number,
): Call {
  if (outer.chain.length >= maxDepth) throw new SheafError("REENTRANT", `calls are nested deeper than ${maxDepth}`);
  const { principal, trace } = outer.call;
  const { session } = outer;
  return {
    target,
    input,
    principal,
    session,
    trace,
    deadline: earlier(outer.call.deadline, host.clock, options?.deadlineMs),
    signal: options?.signal ? AbortSignal.any([outer.signal, options.signal]) : outer.signal,
    op: target.kind === "command" ? innerOperation(outer, host.crypto, options?.idempotencyKey) : undefined,
    consistency: options?.consistency,
    ifVersion: options?.ifVersion,
    chain: outer.chain,
  };
}

/** A key that a user chose names an operation only together with its target, so the ids of calls inside stand for both:
 *  a digest, as long however deep the calls are nested. */
function innerOperation(
  { call: { op, target }, ordinal }: Outer,
  crypto: Crypto,
  key: string | undefined,
): Operation | undefined {
  if (key !== undefined) return { id: key, issuedAt: undefined };
  if (!op || op.issuedAt !== undefined) return op && { ...op, id: `${op.id}/${ordinal}` };
  const parent = crypto.sha256(utf8(JSON.stringify([target, op.id]))).subarray(0, 16);
  return { ...op, id: `${toHex(parent)}/${ordinal}` };
}

const earlier = (deadline: Tick, clock: Clock, deadlineMs: Millis | undefined): Tick =>
  deadlineMs === undefined ? deadline : Math.min(deadline, clock.tick() + deadlineMs);

// Calls that a handler makes: what they inherit from the call that they are made in.

import { type Millis, SheafError, type Tick, toHex, utf8 } from "../base/index.ts";
import type { Clock, Crypto, Host } from "../host/index.ts";
import type { Address, CommandOptions, QueryOptions } from "../model/index.ts";
import { pack } from "../wire/index.ts";
import type { Call, Link, Operation } from "./call.ts";

export type Outer = {
  readonly call: Call;
  /** Operations up to and including the one that calls. */
  readonly chain: readonly Link[];
  readonly signal: AbortSignal;
  /** What has been seen so far. */
  readonly session: string | undefined;
  /** Of the handler that calls. */
  readonly ordinals: Ordinals;
};

/** How often a handler has called each target so far: with the operation's own id that names a call, so that a repeat is a
 *  repeat. Counted by target, since a handler that runs again may take another way, or meet its answers in another order. */
export class Ordinals {
  readonly #made = new Map<string, number>();

  next(target: string): number {
    const before = this.#made.get(target) ?? 0;
    this.#made.set(target, before + 1);
    return before;
  }
}

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
    // A procedure remembers nothing, but names the commands that it sends for whom it works.
    op: target.kind === "query" ? undefined : innerOperation(outer, target, host.crypto, options?.idempotencyKey),
    consistency: options?.consistency,
    ifVersion: options?.ifVersion,
    chain: outer.chain,
  };
}

/** The id of a call inside an operation stands for that one, and for which of its calls it is: a digest, as long however
 *  deep the calls are nested. A key that a user chose names an operation only together with its target. */
function innerOperation(
  { call: { op, target: within, input }, ordinals }: Outer,
  target: Address,
  crypto: Crypto,
  key: string | undefined,
): Operation | undefined {
  if (key !== undefined) return { id: key, issuedAt: undefined };
  if (!op) return undefined;
  const issued = op.issuedAt !== undefined;
  const to = partsOf(target);
  const path = [...(issued ? [] : partsOf(within)), op.id, ...to, ordinals.next(to.join("\n"))];
  const digest = toHex(crypto.sha256(utf8(JSON.stringify(path))).subarray(0, 16));
  if (issued) return { ...op, id: `${op.id.split("/", 1)[0]}/${digest}` };
  return { ...op, id: digest, fingerprint: op.fingerprint ?? fingerprintOf(crypto, input) };
}

/** Of an input, or of that of the operation around it, by which a repeat under a chosen key is told from another use of it. */
export const fingerprintOf = (crypto: Crypto, input: unknown): Uint8Array => crypto.sha256(pack(input)).slice(0, 16);

/** Field by field: the order of an object's own depends on who made it. */
export const partsOf = (target: Address): string[] =>
  target.kind === "procedure"
    ? [target.kind, target.service, target.name]
    : [target.kind, target.entity, target.key, target.name];

const earlier = (deadline: Tick, clock: Clock, deadlineMs: Millis | undefined): Tick =>
  deadlineMs === undefined ? deadline : Math.min(deadline, clock.tick() + deadlineMs);

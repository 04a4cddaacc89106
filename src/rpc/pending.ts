// One call on its way, from when it was made until its promise settles.

import { amended, type ErrorCode, SheafError, type Tick } from "../base/index.ts";
import { type CallFields, consistencies, pack, targetKinds, unpackUntrusted } from "../wire/index.ts";
import type { Call, Reply } from "./call.ts";

export type Pending = {
  readonly fields: CallFields & { issuedAt: number | undefined; session: string | undefined };
  /** The caller's own for this call, which goes before that of all his calls. */
  readonly session: string | undefined;
  readonly deadline: Tick;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: SheafError) => void;
  /** On its connection. */
  id: number;
  /** Times it left, or may have left, this process. */
  sends: number;
  /** An earlier send was never answered, or with an unknown outcome. */
  doubt: boolean;
  /** Times it was put back after an answer that asks for a repeat. */
  retries: number;
  done: boolean;
  /** Stops listening for the caller giving up. */
  unlisten: (() => void) | undefined;
};

/** A call that has not been sent yet. */
export const pendingOf = (
  fields: Pending["fields"],
  deadline: Tick,
  resolve: Pending["resolve"],
  reject: Pending["reject"],
): Pending => ({
  fields,
  session: fields.session,
  deadline,
  resolve,
  reject,
  id: 0,
  sends: 0,
  doubt: false,
  retries: 0,
  done: false,
  unlisten: undefined,
});

const QUERY = targetKinds.indexOf("query");

/** Whether sending it twice has the effect of sending it once (F7): queries have none, operations with an id are known. */
export const repeatable = (pending: Pending): boolean =>
  pending.fields.kind === QUERY || pending.fields.op !== undefined;

/** An error with the outcome that this call can have had, whatever the code says in general. */
export function fate(pending: Pending, code: ErrorCode, message: string, cause?: unknown): SheafError {
  const outcome = pending.sends === 0 || pending.fields.kind === QUERY ? "not-applied" : "unknown";
  return new SheafError(code, message, { outcome, cause });
}

/** Said by whoever would have found the record of the operation, had it been applied before. An input is looked at
 *  earlier, perhaps by another release. */
const definite: ReadonlySet<ErrorCode> = new Set([
  "DECLARED",
  "HANDLER_FAILED",
  "BAD_OUTPUT",
  "BAD_STATE",
  "STATE_TOO_NEW",
  "PRECONDITION_FAILED",
]);

/** An error as it must be told when an earlier send of the same operation may have been applied: a repeat that was refused
 *  on its way says nothing about that one. */
export function inDoubt(error: SheafError, doubt: boolean): SheafError {
  if (!doubt || error.outcome !== "not-applied" || definite.has(error.code)) return error;
  return amended(error, { outcome: "unknown" });
}

/** The parts of a call that cross the wire. The input is packed now: the caller may change it as soon as this returns.
 *  Throws BAD_INPUT when it has no plain form, TOO_LARGE when the other side would refuse it. */
export function fieldsOf(
  call: Call,
  issue: () => number,
  limits: { maxDepth: number; maxItems: number },
): Pending["fields"] {
  const { target, op } = call;
  const procedure = target.kind === "procedure";
  const input = call.input === undefined ? undefined : packInput(call.input, limits);
  return {
    kind: targetKinds.indexOf(target.kind),
    type: procedure ? target.service : target.entity,
    key: procedure ? undefined : target.key,
    name: target.name,
    input,
    op: op === undefined ? (target.kind === "command" ? issue() : undefined) : op.id,
    issuedAt: op?.issuedAt,
    consistency: call.consistency === undefined ? undefined : consistencies.indexOf(call.consistency),
    ifVersion: call.ifVersion,
    trace: call.trace,
    session: call.session,
  };
}

function packInput(input: unknown, limits: { maxDepth: number; maxItems: number }): Uint8Array {
  let packed: Uint8Array;
  try {
    packed = pack(input);
  } catch (cause) {
    if (cause instanceof SheafError && cause.code === "TOO_LARGE") throw cause;
    throw new SheafError("BAD_INPUT", cause instanceof Error ? cause.message : "the input cannot be sent", { cause });
  }
  if (mayBeOver(packed, limits)) unpackUntrusted(packed, { ...limits, maxBytes: Infinity });
  return packed;
}

/** Whether reading it back could find it over a limit. Each item takes a byte, each level one of the bytes that open a map
 *  or an array; text may hold those too, so a yes is only a maybe. */
function mayBeOver(packed: Uint8Array, limits: { maxDepth: number; maxItems: number }): boolean {
  if (packed.length <= limits.maxDepth) return false;
  if (packed.length > limits.maxItems) return true;
  let opened = 0;
  for (let i = 0; i < packed.length; i++) {
    const byte = packed[i]!;
    if (byte >= 0x80 && (byte <= 0x9f || (byte >= 0xdc && byte <= 0xdf)) && ++opened > limits.maxDepth) return true;
  }
  return false;
}

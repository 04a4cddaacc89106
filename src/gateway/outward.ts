// Calls of procedures to a service outside of the cluster, as the gateway takes them from callers outside: POST, JSON, and errors as
// problem details. The service stands in the handler's place: it gets the input that the contract has allowed, and what it answers is
// held against the contract. It is not told who called.
//
// W1. Nothing of the caller leaves but the input, the time that is left, the trace and a digest that names the operation. It is made
//     with the cluster's secret: nobody outside can find out whose it is by making those of all likely callers.
// W2. Whatever comes back that the contract does not allow is EXTERNAL_FAILED; it says `not-applied` only where nothing was sent,
//     or where the service itself says so.

import { type Limits, type Outcome, SheafError, type Tick, toHex } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { jsonText, parseJson, traceparent } from "../http/index.ts";
import type { Spoken } from "../model/index.ts";
import type { Call, Derive } from "../rpc/index.ts";

export type PostRequest = {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** On this process's monotonic clock. */
  readonly deadline: Tick;
  readonly signal: Call["signal"];
  readonly maxReplyBytes: number;
  /** The host may be of a private network or of this machine. */
  readonly private: boolean;
};

export type PostAnswer = { readonly status: number; readonly type: string; readonly body: Uint8Array };

/** Sends one HTTP request and follows no redirect. Rejects with UNREACHABLE when nothing was sent, DEADLINE, CANCELLED, CALL_LOST,
 *  and TOO_LARGE (outcome unknown) for a longer answer. */
export type Post = (request: PostRequest) => Promise<PostAnswer>;

export type Outward = {
  readonly post: Post;
  readonly host: Pick<Host, "clock" | "dice">;
  readonly limits: Limits;
  readonly derive: Derive;
};

/** What is called, where. */
export type OutwardCall = {
  readonly call: Call;
  readonly service: string;
  readonly procedure: Spoken;
  /** As the procedure's schema has left it. */
  readonly input: unknown;
  readonly url: string;
  readonly private: boolean;
};

/** The output, valid. Rejects with DECLARED, or with what `Post` rejects with, or EXTERNAL_FAILED. */
export async function callOut(outward: Outward, asked: OutwardCall): Promise<unknown> {
  const { post, host, limits } = outward;
  const { call, service, procedure, input, url } = asked;
  const body = textOf(procedure, input);
  if (body.length > limits.maxRequestBytes)
    throw new SheafError("TOO_LARGE", `the input of ${procedure.label} is over ${limits.maxRequestBytes} bytes`);
  const left = Math.max(1, Math.floor(call.deadline - host.clock.tick()));
  // Over connections of its own a caller may have put anything there.
  const trace = traceparent(call.trace);
  const answer = await post({
    url: `${url}/services/${service}/${procedure.name}`,
    headers: {
      accept: "application/json",
      "idempotency-key": nameOf(outward, asked),
      "sheaf-deadline-ms": String(left),
      ...(body !== "" && { "content-type": "application/json" }),
      ...(trace !== undefined && { traceparent: trace }),
    },
    body,
    deadline: call.deadline,
    signal: call.signal,
    maxReplyBytes: limits.maxRequestBytes,
    private: asked.private,
  });
  if (answer.status === 200 || answer.status === 204) return outputOf(procedure, answer, limits);
  throw refusalOf(procedure, answer, limits);
}

function textOf({ label }: Spoken, input: unknown): string {
  if (input === undefined) return "";
  try {
    return jsonText(input);
  } catch (cause) {
    throw new SheafError("BAD_INPUT", `the input of ${label} has no form in JSON`, { cause });
  }
}

/** Names the operation to the outside: the same for a repeat, and telling nothing of the caller. */
function nameOf({ host: { dice }, derive }: Outward, { call: { op, principal }, procedure }: OutwardCall): string {
  if (op === undefined) return dice.id();
  return toHex(derive(`outward ${JSON.stringify([principal.id, procedure.label, op.id])}`).subarray(0, 16));
}

const failed = (says: string, outcome: Outcome = "unknown", cause?: unknown): SheafError =>
  new SheafError("EXTERNAL_FAILED", says, { outcome, cause });

function outputOf(procedure: Spoken, { status, body }: PostAnswer, limits: Limits): unknown {
  try {
    return procedure.output(status === 204 || body.length === 0 ? undefined : parseJson(body, limits));
  } catch (cause) {
    const why = cause instanceof SheafError ? cause.message : "it cannot be read";
    throw failed(`the answer of ${procedure.label} does not fit its contract: ${why}`, "unknown", cause);
  }
}

type Problem = { readonly [field: string]: unknown };

function problemIn({ type, body }: PostAnswer, limits: Limits): Problem {
  if (!/^application\/(?:problem\+)?json\b/.test(type)) return {};
  try {
    const found = parseJson(body, limits);
    return typeof found === "object" && found !== null ? (found as Problem) : {};
  } catch {
    return {};
  }
}

const mostToldLength = 200;

function refusalOf(procedure: Spoken, answer: PostAnswer, limits: Limits): SheafError {
  const { status } = answer;
  const { code, outcome, error, data, detail, retryAfterMs } = problemIn(answer, limits);
  if (status === 422 && code === "DECLARED" && typeof error === "string") {
    const declared = procedure.declared(error, data);
    return declared.code === "DECLARED" ? declared : failed(declared.message, "unknown", declared);
  }
  const isRefusal = status >= 400 && status < 500 && status !== 408;
  const said = outcome === "not-applied" || outcome === "unknown" || outcome === "applied" ? outcome : undefined;
  const told = typeof detail === "string" ? `: ${printable(detail)}` : "";
  return new SheafError("EXTERNAL_FAILED", `${procedure.label} answered HTTP ${status}${told}`, {
    outcome: said ?? (isRefusal ? "not-applied" : "unknown"),
    retry: isRefusal && status !== 429 ? "never" : "later",
    ...(typeof retryAfterMs === "number" &&
      retryAfterMs >= 0 &&
      retryAfterMs <= limits.maxDeadlineMs && { retryAfterMs }),
  });
}

/** Text from outside, for logs and terminals. */
const printable = (text: string): string => text.slice(0, mostToldLength).replaceAll(/\p{Cc}/gu, " ");

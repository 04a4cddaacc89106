// Calls over plain HTTP and JSON, where no WebSocket gets through: one request per call, at the documented addresses.
//
// A call is repeated only when that is harmless: a query, a command with the user's own idempotency key, or one that
// certainly never arrived.

import { catalogue, type ErrorCode, type Issue, type Outcome, type Retry, SheafError, toHex } from "../base/index.ts";
import { topicType } from "../model/index.ts";
import { abortSignal, type Call, type Calls, inDoubt, type Reply } from "../rpc/index.ts";
import type { ClientHost } from "./host.ts";
import { queueOutput, queueRequest } from "./queue-http.ts";

export type HttpOptions = {
  readonly host: ClientHost;
  /** Prefixes of routes; the next is tried when one does not answer. */
  readonly urls: readonly string[];
  token(): Promise<string | undefined>;
  session(): string | undefined;
  /** An answer brought this token: it covers what its call was sent with. */
  keepSession(token: string, sent: string): void;
  readonly maxRequestBytes: number;
  readonly maxPauseMs: number;
};

const FIRST_PAUSE = 25;
/** A repeat with less time than this would only trade a good reason for DEADLINE. */
const SHORTEST_TRY = 50;
/** How `fetch` of Node says that no connection was made, so nothing was sent. */
const neverSent: ReadonlySet<unknown> = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
]);

export function httpCalls(options: HttpOptions): Calls & { close(): void } {
  const { host, urls } = options;
  const closing = new AbortController();
  let at = 0;

  async function attempt(call: Call, body: string | undefined): Promise<Reply> {
    const left = call.deadline - host.clock.tick();
    const given = new AbortController();
    const timer = host.clock.after(left, () => given.abort(new SheafError("DEADLINE")));
    const signals = [given.signal, closing.signal, ...(call.signal === undefined ? [] : [abortSignal(call.signal)])];
    try {
      const bearer = await options.token();
      const seen = call.session ?? options.session() ?? "";
      const headers = headersOf(call, left, bearer, body === undefined ? undefined : contentTypeOf(call), seen);
      const request = {
        method: queueRequest(call)?.method ?? "POST",
        headers,
        signal: AbortSignal.any(signals),
        ...(body === undefined ? {} : { body }),
      };
      const response = await host.fetch(`${urls[at % urls.length]}${pathOf(call)}`, request);
      const reply = await replyOf(response, (token) => options.keepSession(token, seen));
      return { ...reply, output: queueOutput(call, reply.output) };
    } catch (error) {
      throw failureOf(error, call, given.signal, closing.signal);
    } finally {
      timer.cancel();
    }
  }

  return {
    async call(call) {
      const given = bodyOf(call, host);
      const body = given === undefined ? undefined : jsonOf(given, options.maxRequestBytes);
      let before: SheafError | undefined;
      let doubt = false;
      const outOfTime = (pause: number): boolean => host.clock.tick() + pause + SHORTEST_TRY >= call.deadline;
      for (let tries = 0; ; tries++) {
        if (before !== undefined && outOfTime(0)) throw inDoubt(before, doubt);
        if (closing.signal.aborted) throw new SheafError("UNREACHABLE", "the client was closed", { retry: "never" });
        if (call.signal?.aborted === true) throw new SheafError("CANCELLED", undefined, { outcome: "not-applied" });
        if (call.deadline <= host.clock.tick()) throw new SheafError("DEADLINE", undefined, { outcome: "not-applied" });
        try {
          return await attempt(call, body);
        } catch (error) {
          if (!(error instanceof SheafError)) throw error;
          const pause =
            host.dice.random() * Math.min(options.maxPauseMs, FIRST_PAUSE * 2 ** tries) + (error.retryAfterMs ?? 0);
          if (!mayRepeat(error, call) || outOfTime(pause)) throw inDoubt(error, doubt);
          before = error;
          doubt ||= error.outcome === "unknown";
          if (error.code === "UNREACHABLE" || error.code === "CALL_LOST" || error.code === "STOPPING") at++;
          await new Promise<void>((resolve) => void host.clock.after(pause, resolve));
        }
      }
    },
    close: () => closing.abort(),
  };
}

const passing: ReadonlySet<ErrorCode> = new Set([
  "UNREACHABLE",
  "CALL_LOST",
  "NOT_OWNER",
  "NOT_READY",
  "STOPPING",
  "OUTCOME_UNKNOWN",
]);

const mayRepeat = (error: SheafError, call: Call): boolean =>
  passing.has(error.code) &&
  error.retry !== "never" &&
  (error.outcome === "not-applied" || call.op !== undefined || call.target.kind === "query");

/** The topic that an event is published to; undefined for every other call. */
const topicOf = ({ target }: Call): string | undefined =>
  target.kind === "command" && target.entity === topicType && target.name === "publish"
    ? target.key.slice(0, target.key.indexOf("/"))
    : undefined;

/** An event that is a list would be taken for several events, if it were not in an envelope. */
const isEnveloped = (call: Call): boolean => Array.isArray(call.input) && topicOf(call) !== undefined;
const contentTypeOf = (call: Call): string => (isEnveloped(call) ? "application/cloudevents+json" : "application/json");
function bodyOf(call: Call, { dice }: ClientHost): unknown {
  if (isEnveloped(call))
    return { specversion: "1.0", id: toHex(dice.bytes(16)), source: "/", type: topicOf(call), data: call.input };
  const request = queueRequest(call);
  return request ? request.body : call.input;
}

function pathOf(call: Call): string {
  const { target } = call;
  const request = queueRequest(call);
  if (request) return request.path;
  const topic = topicOf(call);
  const parts =
    target.kind === "procedure"
      ? ["services", target.service, target.name]
      : topic !== undefined
        ? ["topics", topic]
        : ["entities", target.entity, target.key, target.name];
  return `/${parts.map(encodeURIComponent).join("/")}`;
}

function headersOf(
  call: Call,
  leftMs: number,
  token: string | undefined,
  contentType: string | undefined,
  seen: string,
): Record<string, string> {
  const headers: Record<string, string> = { "sheaf-deadline-ms": String(Math.max(1, Math.ceil(leftMs))) };
  if (contentType !== undefined) headers["content-type"] = contentType;
  if (token !== undefined) headers["authorization"] = `Bearer ${token}`;
  const key = queueRequest(call)?.id ?? call.op?.id;
  if (key !== undefined) headers["idempotency-key"] = key;
  if (call.consistency !== undefined) headers["sheaf-consistency"] = call.consistency;
  if (call.ifVersion !== undefined) headers["if-match"] = `"v${call.ifVersion}"`;
  if (call.trace !== undefined) headers["traceparent"] = call.trace;
  if (seen !== "") headers["sheaf-session"] = seen;
  return headers;
}

function jsonOf(input: unknown, maxBytes: number): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(input, (_, value: unknown) => {
      if (value instanceof Uint8Array) throw new SheafError("BAD_INPUT", "bytes cannot be sent over plain HTTP");
      return value;
    });
  } catch (cause) {
    if (cause instanceof SheafError) throw cause;
    throw new SheafError("BAD_INPUT", "the input has no form in JSON", { cause });
  }
  if (text === undefined) throw new SheafError("BAD_INPUT", "the input has no form in JSON");
  if (text.length > maxBytes) throw new SheafError("TOO_LARGE", "the call is larger than the gateway reads");
  return text;
}

async function replyOf(response: Response, keepSession: (token: string) => void): Promise<Reply> {
  const { headers } = response;
  const session = headers.get("sheaf-session") ?? undefined;
  if (session !== undefined) keepSession(session);
  const text = await response.text();
  if (!response.ok) throw problemOf(response, text);
  const version = /^"v(\d+)"$/.exec(headers.get("etag") ?? "")?.[1];
  const stale = headers.get("sheaf-stale-ms");
  return {
    output: response.status === 204 ? undefined : (JSON.parse(text) as unknown),
    version: version === undefined ? undefined : Number(version),
    session,
    staleMs: stale === null ? undefined : Number(stale),
    replayed: headers.get("idempotent-replayed") === "true",
  };
}

type Problem = {
  readonly code?: unknown;
  readonly detail?: string;
  readonly retry?: Retry;
  readonly outcome?: Outcome;
  readonly retryAfterMs?: number;
  readonly hint?: string;
  readonly errors?: readonly { readonly pointer: string; readonly detail: string }[];
  readonly error?: string;
  readonly data?: unknown;
};

/** RFC 9457. What is no problem of ours comes from something in between, which may or may not have passed the call on. */
function problemOf(response: Response, text: string): SheafError {
  let problem: Problem = {};
  try {
    if (response.headers.get("content-type")?.startsWith("application/problem+json") === true)
      problem = JSON.parse(text) as Problem;
  } catch {
    problem = {};
  }
  const { code } = problem;
  if (typeof code !== "string")
    return new SheafError("CALL_LOST", `something before the gateway answered ${response.status}`);
  const known = Object.hasOwn(catalogue, code) ? (code as ErrorCode) : "INTERNAL";
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  const retryAfterMs = problem.retryAfterMs ?? (Number.isFinite(seconds) ? seconds * 1000 : undefined);
  const { retry, outcome, hint, error: name, data } = problem;
  const issues = problem.errors?.map(({ pointer, detail }): Issue => ({
    path: pathOfPointer(pointer),
    message: detail,
  }));
  return new SheafError(known, problem.detail, { retry, outcome, hint, issues, name, data, retryAfterMs });
}

/** RFC 6901. Whether a step was a number is not written in it. */
const pathOfPointer = (pointer: string): (string | number)[] =>
  pointer
    .split("/")
    .slice(1)
    .map((step) => (/^\d+$/.test(step) ? Number(step) : step.replaceAll("~1", "/").replaceAll("~0", "~")));

function failureOf(error: unknown, call: Call, deadline: AbortSignal, closing: AbortSignal): SheafError {
  if (error instanceof SheafError && error.code !== "DEADLINE") return error;
  const outcome = call.target.kind === "query" ? "not-applied" : "unknown";
  if (deadline.aborted) return new SheafError("DEADLINE", undefined, { outcome });
  if (closing.aborted) return new SheafError("CANCELLED", "the client was closed", { outcome });
  if (call.signal?.aborted === true)
    return new SheafError("CANCELLED", "the caller gave up", { outcome, cause: call.signal.reason });
  const reason = (error as { cause?: { code?: unknown } } | undefined)?.cause?.code;
  if (neverSent.has(reason))
    return new SheafError("UNREACHABLE", `no connection could be made (${String(reason)})`, { cause: error });
  return new SheafError("CALL_LOST", undefined, { outcome, cause: error });
}

// Between HTTP and calls: what a request's headers and body ask for, and what a reply looks like on its way back.

import { SheafError, utf8, type Limits, type Tick } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import {
  consistency,
  deadlineMs,
  etagOf,
  idempotencyKey,
  ifMatch,
  jsonText,
  parseJson,
  queryParameter,
  readJson,
  traceparent,
  type Answer,
  type Ask,
  type Incoming,
} from "../http/index.ts";
import { type Call, type Calls, type Cancellation, maxSessionLength, type Reply, type Target } from "../rpc/index.ts";
import type { Principal } from "../security/index.ts";
import type { Within } from "./within.ts";

export type Outlet = { readonly host: Host; readonly calls: Calls; readonly limits: Limits; readonly within: Within };

/** The input of a GET: the JSON of `?input=`; undefined when absent. */
function inputOfUrl(url: string, limits: Limits): unknown {
  const text = queryParameter(url, "input");
  return text === undefined || text === "" ? undefined : parseJson(utf8(text), limits);
}

/** Every HTTP caller keeps a session; one that sends no token begins one. */
function sessionOf(header: string | undefined): string {
  if (header === undefined) return "";
  if (header.length > maxSessionLength)
    throw new SheafError("BAD_SESSION", "Sheaf-Session is longer than any session token");
  return header;
}

/** A call whose signal is made when somebody asks: most calls are answered without. A getter of the class, since one in each object
 *  costs as much as reading all headers does. */
export class HttpCall implements Call {
  readonly #request: Incoming;
  readonly target: Target;
  readonly principal: Principal;
  readonly deadline: Tick;
  op: Call["op"];
  readonly consistency: Call["consistency"];
  readonly session: string;
  readonly ifVersion: Call["ifVersion"];
  readonly trace: string | undefined;
  input: unknown = undefined;

  /** Judges the headers; the body is read after. */
  constructor(request: Incoming, target: Target, principal: Principal, { host, limits }: Outlet) {
    const key = idempotencyKey(request.header("idempotency-key"), limits);
    this.#request = request;
    this.target = target;
    this.principal = principal;
    this.deadline = host.clock.tick() + deadlineMs(request.header("sheaf-deadline-ms"), limits);
    this.op = key === undefined || target.kind === "query" ? undefined : { id: key, issuedAt: undefined };
    this.consistency = consistency(request.header("sheaf-consistency"));
    this.session = sessionOf(request.header("sheaf-session"));
    this.ifVersion = ifMatch(request.header("if-match"));
    this.trace = traceparent(request.header("traceparent"));
    if (target.kind !== "command" && this.ifVersion !== undefined)
      throw new SheafError("MALFORMED", "If-Match applies to commands only");
    if (target.kind !== "query" && this.consistency !== undefined)
      throw new SheafError("MALFORMED", "Sheaf-Consistency applies to queries only");
  }

  get signal(): Cancellation {
    return this.#request.signal;
  }
}

/** The answer that a reply is: 200 with the output, 204 when there is none. */
export function answerOf(reply: Reply): Answer {
  const headers: Record<string, string> = {};
  if (reply.version !== undefined) headers["etag"] = etagOf(reply.version);
  if (reply.session !== undefined) headers["sheaf-session"] = reply.session;
  if (reply.staleMs !== undefined) headers["sheaf-stale-ms"] = String(Math.ceil(reply.staleMs));
  if (reply.replayed === true) headers["idempotent-replayed"] = "true";
  if (reply.output === undefined) return { status: 204, headers };
  headers["content-type"] = "application/json";
  return { status: 200, headers, body: jsonText(reply.output) };
}

/** Carries one request out as a call. Reads the body, within the limits. */
export async function exchange(
  { request }: Ask,
  target: Target,
  principal: Principal,
  outlet: Outlet,
): Promise<Answer> {
  const { limits } = outlet;
  const call = new HttpCall(request, target, principal, outlet);
  call.input = request.method === "POST" ? await readJson(request, limits) : inputOfUrl(request.url, limits);
  return answerOf(await outlet.within(outlet.calls.call(call), call.deadline));
}

// Between HTTP and calls: what a request's headers and body ask for, and what a reply looks like on its way back.

import { SheafError, utf8, type Limits } from "../base/index.ts";
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
} from "../http/index.ts";
import type { Call, Calls, Reply, Target } from "../rpc/index.ts";
import type { Principal } from "../security/index.ts";
import type { Within } from "./within.ts";

export type Outlet = { readonly host: Host; readonly calls: Calls; readonly limits: Limits; readonly within: Within };

const maxSessionLength = 8192;

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

/** The call that a request asks for. Reads the body, within the limits. */
async function callOf(ask: Ask, target: Target, principal: Principal, { host, limits }: Outlet): Promise<Call> {
  const { request } = ask;
  const deadline = host.clock.tick() + deadlineMs(request.header("sheaf-deadline-ms"), limits);
  const level = consistency(request.header("sheaf-consistency"));
  const key = idempotencyKey(request.header("idempotency-key"), limits);
  const ifVersion = ifMatch(request.header("if-match"));
  if (target.kind !== "command" && ifVersion !== undefined)
    throw new SheafError("MALFORMED", "If-Match applies to commands only");
  if (target.kind !== "query" && level !== undefined)
    throw new SheafError("MALFORMED", "Sheaf-Consistency applies to queries only");
  const session = sessionOf(request.header("sheaf-session"));
  const input = request.method === "POST" ? await readJson(request, limits) : inputOfUrl(request.url, limits);
  return {
    target,
    input,
    principal,
    deadline,
    // Made when somebody asks: most calls are answered without.
    get signal() {
      return request.signal;
    },
    op: key === undefined || target.kind === "query" ? undefined : { id: key, issuedAt: undefined },
    consistency: level,
    session,
    ifVersion,
    trace: traceparent(request.header("traceparent")),
  };
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

/** Carries one request out as a call. */
export async function exchange(ask: Ask, target: Target, principal: Principal, outlet: Outlet): Promise<Answer> {
  const call = await callOf(ask, target, principal, outlet);
  return answerOf(await outlet.within(outlet.calls.call(call), call.deadline));
}

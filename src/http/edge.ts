// One listener's HTTP surface, from a request to its answer: routes, who may use them, and what every answer carries.
// It opens no socket, so it runs in simulation as it is.
//
// E1. A route is either declared open or returns a plan; a plan runs only after its caller was identified and the policy
//     allowed its action. There is no third kind, so a new route cannot forget.
// E2. Every failure is answered as a problem; nothing that is not a SheafError shows its message.
// E3. A page of a foreign origin reaches guarded routes only when its origin is on the allow-list.
// E4. Guarded requests under way are bounded; past the bound the answer is OVERLOADED at once.

import { asSheafError, catalogue, overloaded, SheafError, type Limits } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import type { Action, Authentication, Authenticator, Policy, Principal, Resource } from "../security/index.ts";
import { bearer, segmentsOf } from "./fields.ts";
import type { Answer, Incoming } from "./incoming.ts";
import { jsonText } from "./json.ts";
import { checkOrigin, corsHeaders, preflightHeaders, type OriginRules } from "./origin.ts";
import { problemOf, problemType, retryAfterSeconds } from "./problem.ts";
import { addRoute, allowed, notServed, served, type Method, type Route, type RouteTable } from "./routes.ts";
import { fromRequest, toResponse } from "./web.ts";

/** What a handler is asked. */
export type Ask = {
  readonly request: Incoming;
  /** Segments of the path as sent: percent-encoding kept. `/a/b` is `["a", "b"]`. */
  readonly segments: readonly string[];
  /** Names this request in logs, problems and the `X-Request-Id` header. */
  readonly id: string;
};

/** What a guarded route would do: run only when the policy allows `action` on `resource` (E1). */
export type Plan = {
  readonly action: Action;
  readonly resource: Resource;
  readonly run: (principal: Principal) => Answer | Promise<Answer>;
};

export type EdgeOptions = OriginRules & {
  readonly host: Host;
  /** Label in metrics and logs: `gateway` or `admin`. */
  readonly name: string;
  readonly limits: Pick<Limits, "maxInFlight">;
  readonly authenticator: Authenticator;
  readonly policy: Policy;
  /** Show server-side error messages to callers. */
  readonly reveal?: boolean | undefined;
};

export interface Edge {
  readonly routes: readonly Route[];
  /** Guarded requests under way. */
  readonly inFlight: number;
  open(method: Method, pattern: string, answer: (ask: Ask) => Answer | Promise<Answer>): void;
  guarded(method: Method, pattern: string, plan: (ask: Ask) => Plan): void;
  /** Never rejects: whatever goes wrong is an answer (E2). */
  readonly answer: (request: Incoming) => Promise<Answer>;
  /** The same for a web-standard request. */
  readonly fetch: (request: Request) => Promise<Response>;
}

const maxRecent = 512;
const maxRecentLength = 200;

const apiHeaders = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
} as const;

export const json = (value: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): Answer => ({
  status,
  headers: { "content-type": "application/json", ...headers },
  body: jsonText(value),
});

type Serve = (ask: Ask) => Answer | Promise<Answer>;

/** Turns what was thrown into the answer that says so (E2). */
function refuse(ask: Ask, thrown: unknown, options: EdgeOptions): Answer {
  const error = asSheafError(thrown);
  if (error.code === "INTERNAL")
    options.host.log.error("a request failed inside", { listener: options.name, request: ask.id, cause: thrown });
  const problem = problemOf(error, {
    instance: `urn:sheaf:request:${encodeURIComponent(ask.id)}`,
    reveal: options.reveal,
  });
  const headers: Record<string, string> = { "content-type": problemType };
  const after = retryAfterSeconds(error);
  if (after !== undefined) headers["retry-after"] = String(after);
  if (error.session !== undefined) headers["sheaf-session"] = error.session;
  if (error.code === "UNAUTHENTICATED") headers["www-authenticate"] = 'Bearer realm="sheaf"';
  if (error.code === "WRONG_METHOD" && Array.isArray(error.data)) headers["allow"] = error.data.join(", ");
  return { status: catalogue[error.code].http, headers, body: JSON.stringify(problem) };
}

function principalOf(found: Authentication, options: EdgeOptions): Principal {
  if (found.ok) return found.principal;
  options.host.log.debug("credentials refused", { listener: options.name, reason: found.reason });
  throw new SheafError("UNAUTHENTICATED", undefined, {
    hint: "Send Authorization: Bearer with a key that is in force; sheaf key create makes one, and sheaf takes it by --token-file.",
  });
}

/** Counts and times answers, by listener and class of status. */
function meters({ host, name }: EdgeOptions): (status: number, seconds: number) => void {
  const seconds = host.meter.histogram("sheaf_http_request_seconds", "Time from request to answer", { listener: name });
  const answers = [1, 2, 3, 4, 5].map((of) =>
    host.meter.counter("sheaf_http_requests_total", "HTTP requests answered", { listener: name, status: `${of}xx` }),
  );
  return (status, took) => {
    seconds.record(took);
    answers[Math.floor(status / 100) - 1]?.add();
  };
}

export function edge(options: EdgeOptions): Edge {
  const { clock, dice } = options.host;
  const table: RouteTable<Serve> = [];
  const routes: Route[] = [];
  const measure = meters(options);
  // This run of this listener, so that a request's id is unique without rolling dice for each.
  const run = dice.id();
  let requests = 0;
  let inFlight = 0;

  const requestId = (request: Incoming): string => {
    const given = request.header("x-request-id");
    return given !== undefined && /^[\x21-\x7e]{1,128}$/.test(given) ? given : `${run}-${(++requests).toString(36)}`;
  };

  const guard = async (ask: Ask, plan: (ask: Ask) => Plan): Promise<Answer> => {
    checkOrigin(ask.request, options);
    if (inFlight >= options.limits.maxInFlight) throw overloaded("too many requests are under way", 1000);
    inFlight++;
    try {
      // Identifies, plans, decides, runs: in that order (E1). What is no promise is not waited for: each wait has a price.
      const found = options.authenticator.authenticate({ bearer: bearer(ask.request.header("authorization")) });
      const principal = principalOf(found instanceof Promise ? await found : found, options);
      const { action, resource, run } = plan(ask);
      const decision = options.policy.decide(principal, action, resource);
      if (!decision.allow) throw new SheafError("FORBIDDEN", `not allowed: ${decision.why}`);
      return await run(principal);
    } finally {
      inFlight--;
    }
  };

  /** The segments of addresses that were asked for lately: those of procedures recur for ever. */
  const recent = new Map<string, readonly string[]>();
  const segmentsAt = (url: string): readonly string[] => {
    const known = recent.get(url);
    if (known !== undefined) return known;
    const segments = segmentsOf(url);
    if (url.length > maxRecentLength) return segments;
    if (recent.size >= maxRecent) recent.clear();
    recent.set(url, segments);
    return segments;
  };

  const add = (route: Route, serve: Serve): void => {
    routes.push(route);
    addRoute(table, route, serve);
  };

  const missing: Serve = ({ request, segments }) => {
    const methods = allowed(table, segments);
    if (request.method !== "OPTIONS" || methods.length === 0) throw notServed(methods);
    return { status: 204, headers: preflightHeaders(methods.join(", ")) };
  };

  const answer = async (request: Incoming): Promise<Answer> => {
    const started = clock.tick();
    const ask: Ask = { request, segments: segmentsAt(request.url), id: requestId(request) };
    let given: Answer;
    try {
      given = await (served(table, request.method, ask.segments) ?? missing)(ask);
    } catch (error) {
      given = refuse(ask, error, options);
    }
    measure(given.status, (clock.tick() - started) / 1000);
    const { status, body, stream } = given;
    const headers = { ...apiHeaders, ...corsHeaders(request, options), ...given.headers, "x-request-id": ask.id };
    return { status, headers, body, ...(stream !== undefined && { stream }) };
  };

  return {
    routes,
    get inFlight() {
      return inFlight;
    },
    open: (method, pattern, answer) => add({ method, pattern, access: "open" }, answer),
    guarded: (method, pattern, plan) => add({ method, pattern, access: "guarded" }, (ask) => guard(ask, plan)),
    answer,
    fetch: async (request) => toResponse(await answer(fromRequest(request)), request.method),
  };
}

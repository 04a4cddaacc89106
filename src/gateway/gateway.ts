// The gateway: HTTP in, calls out, at exactly the addresses that are documented. It knows contracts and ports, not sockets or shards.

import type { Limits } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import {
  decodeKey,
  decodeSegment,
  edge,
  probes,
  wrongMethod,
  type Answer,
  type Ask,
  type Edge,
  type OriginRules,
  type Plan,
  type Readiness,
} from "../http/index.ts";
import type { AppContractShape, TopicShape, QueueShape } from "../model/index.ts";
import type { Calls, Target } from "../rpc/index.ts";
import type { Authenticator, Policy, Principal } from "../security/index.ts";
import {
  directoryOf,
  checkProcedure,
  entityNamed,
  memberKind,
  readableTopic,
  topicNamed,
  type Directory,
} from "./directory.ts";
import { docs } from "./docs.ts";
import { exchange, type Outlet } from "./exchange.ts";
import { openApiOf } from "./openapi.ts";
import { addPlan, leasePlan, queueOf, resultPlan, takePlan } from "./queues.ts";
import { publish } from "./publish.ts";
import { Subscribers } from "./subscribe.ts";
import { createWithin } from "./within.ts";

export type GatewayOptions = OriginRules & {
  readonly host: Host;
  readonly calls: Calls;
  /** Asked at each request, so that reloaded code is described at once. */
  readonly contract: () => AppContractShape;
  readonly limits: Limits;
  readonly authenticator: Authenticator;
  readonly policy: Policy;
  readonly ready: () => Readiness;
  /** Of the cluster. */
  readonly shards: number;
  /** One session token that covers all of these; the last of them covers what it covers when absent. */
  readonly joinSessions?: ((tokens: readonly string[]) => string) | undefined;
  /** Show server-side error messages to callers: only where the caller is the developer. */
  readonly reveal?: boolean | undefined;
};

/** The last value made of something, kept while that something stays the same object. */
function remembered<K extends object, V>(make: (from: K) => V): (from: K) => V {
  let last: { readonly from: K; readonly value: V } | undefined;
  return (from) => (last = last?.from === from ? last : { from, value: make(from) }).value;
}

/** `drain`: asks those who read streams of events to go on elsewhere. */
export type Gateway = Edge & { drain(): void };

export function gateway(options: GatewayOptions): Gateway {
  const http = edge({ ...options, name: "gateway" });
  const outlet: Outlet = {
    host: options.host,
    calls: options.calls,
    limits: options.limits,
    within: createWithin(options.host.clock),
  };
  const directory = remembered(directoryOf);
  const document = remembered((contract: AppContractShape) => JSON.stringify(openApiOf(contract)));
  const now = (): Directory => directory(options.contract());

  const planOf = (ask: Ask, target: Target): Plan => ({
    action: target.kind,
    resource: target.kind === "procedure" ? { ...target, kind: "service" } : { ...target, kind: "entity" },
    run: (principal) => exchange(ask, target, principal, outlet),
  });

  const onEntity = (ask: Ask): Plan => {
    const [, type = "", segment = "", member = ""] = ask.segments;
    const entity = entityNamed(now(), decodeSegment(type));
    const name = decodeSegment(member);
    const kind = memberKind(entity, name);
    if (kind === "command" && ask.request.method !== "POST") throw wrongMethod(["POST", "OPTIONS"]);
    return planOf(ask, { kind, entity: entity.name, key: decodeKey(segment, options.limits), name });
  };

  const onService = (ask: Ask): Plan => {
    const [, segment = "", member = ""] = ask.segments;
    const service = decodeSegment(segment);
    const name = decodeSegment(member);
    checkProcedure(now(), service, name);
    return planOf(ask, { kind: "procedure", service, name });
  };

  const join = options.joinSessions ?? ((tokens) => tokens.at(-1) ?? "");
  const onTopic = (ask: Ask): Plan => {
    const topic = topicNamed(now(), decodeSegment(ask.segments[1] ?? ""));
    return {
      action: "publish",
      resource: { kind: "topic", name: topic.name },
      run: (principal) => publish(ask, topic, principal, outlet, join),
    };
  };

  const subscribers = new Subscribers(outlet, options.shards);
  const onEvents = (ask: Ask, run: (topic: TopicShape, principal: Principal) => Promise<Answer>): Plan => {
    const topic = readableTopic(now(), decodeSegment(ask.segments[1] ?? ""));
    return {
      action: "subscribe",
      resource: { kind: "topic", name: topic.name },
      run: (principal) => run(topic, principal),
    };
  };

  http.guarded("POST", "/entities/:entity/:key/:member", onEntity);
  http.guarded("GET", "/entities/:entity/:key/:member", onEntity);
  http.guarded("POST", "/services/:service/:procedure", onService);
  http.guarded("POST", "/topics/:topic", onTopic);
  http.guarded("GET", "/topics/:topic/events", (ask) =>
    onEvents(ask, (topic, principal) => subscribers.events(ask, topic, principal)),
  );
  http.guarded("POST", "/topics/:topic/groups/:group", (ask) =>
    onEvents(ask, (topic) => subscribers.done(ask, topic, decodeSegment(ask.segments[3] ?? ""))),
  );
  const onQueue =
    (make: (ask: Ask, queue: QueueShape, outlet: Outlet) => Plan) =>
    (ask: Ask): Plan =>
      make(ask, queueOf(options.contract().queues ?? [], decodeSegment(ask.segments[1] ?? "")), outlet);
  const jobIn = (ask: Ask): string => decodeSegment(ask.segments[3] ?? "");

  http.guarded("POST", "/queues/:queue", onQueue(addPlan));
  http.guarded("POST", "/queues/:queue/take", onQueue(takePlan));
  const onJob = onQueue((ask, queue, within) => resultPlan(ask, queue, jobIn(ask), within));
  http.guarded("GET", "/queues/:queue/jobs/:job", onJob);
  const onLease = (ask: Ask, queue: QueueShape, within: Outlet): Plan =>
    leasePlan(ask, queue, jobIn(ask), decodeSegment(ask.segments[4] ?? ""), within);
  http.guarded("POST", "/queues/:queue/jobs/:job/:ending", onQueue(onLease));
  http.guarded("GET", "/openapi.json", () => ({
    action: "describe",
    resource: { kind: "contract" },
    run: () => ({ status: 200, headers: { "content-type": "application/json" }, body: document(options.contract()) }),
  }));
  probes(http, options.ready);
  docs(http);
  http.open("GET", "/", () => ({ status: 302, headers: { location: "/docs" } }));
  return Object.assign(http, { drain: () => subscribers.drain() });
}

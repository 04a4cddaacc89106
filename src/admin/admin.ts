// The admin listener: what an operator may ask or do, over HTTP. The CLI, the console and agents speak only this.
// `/livez`, `/readyz`, `/metrics` and the page at `/` are open to whoever reaches the listener: they show no application data and no keys.

import type { Limits } from "../base/index.ts";
import type { Endpoints, Keys, Schedules } from "../control/index.ts";
import type { Host } from "../host/index.ts";
import { edge, loopbackHosts, probes, type Edge, type OriginRules } from "../http/index.ts";
import { tokenAuthenticator, type Policy } from "../security/index.ts";
import { adminOpenApi } from "./openapi.ts";
import type { Operator } from "./operator.ts";
import { adminRoutes } from "./routes.ts";

export type AdminOptions = OriginRules & {
  readonly host: Host;
  readonly operator: Operator;
  readonly keys: Keys;
  readonly endpoints: Endpoints;
  readonly schedules: Schedules;
  /** The secret that this process made at its start. Keys with the role `admin` do as well. */
  readonly adminToken: string;
  readonly policy: Policy;
  readonly limits: Limits;
  /** The metrics in Prometheus' text format. */
  readonly metrics: () => string;
};

const prefix = "/admin/v1";

const front = `Sheaf admin listener

/livez /readyz      probes
/metrics            Prometheus
${prefix}/          the admin API, with the admin token or an admin key; described at ${prefix}/openapi.json
`;

/** The admin surface. Answers only to this machine's own names unless `hosts` says otherwise. */
export function adminApi(options: AdminOptions): Edge {
  const { host, operator, keys, endpoints, schedules, policy, limits } = options;
  const authenticator = tokenAuthenticator(options.adminToken, { id: "admin", roles: ["admin"] }, host.crypto, keys);
  const http = edge({
    host,
    name: "admin",
    limits,
    authenticator,
    policy,
    hosts: options.hosts ?? loopbackHosts,
    origins: options.origins,
    reveal: true,
  });
  const routes = adminRoutes({ operator, keys, endpoints, schedules, limits });
  const document = JSON.stringify(adminOpenApi(prefix, routes));
  for (const route of routes) {
    http.guarded(route.method, prefix + route.pattern, (ask) => {
      const asked = { request: ask.request, segments: ask.segments.slice(2) };
      return {
        action: "operate",
        resource: route.resource?.(asked) ?? { kind: "system", name: route.name },
        run: (by) => route.run(asked, by),
      };
    });
  }
  http.guarded("GET", `${prefix}/openapi.json`, () => ({
    action: "operate",
    resource: { kind: "system", name: "openapi" },
    run: () => ({ status: 200, headers: { "content-type": "application/json" }, body: document }),
  }));
  probes(http, () => operator.ready());
  const plainText = { "content-type": "text/plain; charset=utf-8" };
  http.open("GET", "/metrics", () => ({
    status: 200,
    headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" },
    body: options.metrics(),
  }));
  http.open("GET", "/", () => ({ status: 200, headers: plainText, body: front }));
  return http;
}

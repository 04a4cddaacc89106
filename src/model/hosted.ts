// Which parts of an application one node hosts: all of them, unless it was given roles. A role is the name of a service, or of a
// queue with a worker, or of an entity that the cluster keeps apart, or one of four words: `entities` (all of them), `rest` (those
// that share their shards with others), `services` (every one) and `gateway` (nothing but taking calls).

import { type Apart, SheafError } from "../base/index.ts";
import { queueNamed } from "./job-names.ts";
import type { AppShape } from "./shape.ts";
import { workersOf } from "./worker.ts";

export type Hosted = {
  /** Names. */
  readonly services: readonly string[];
  /** Whether it hosts any. */
  readonly entities: boolean;
  /** Which: as `roleOfShard` names them; null for all. */
  readonly hosts: readonly string[] | null;
};

/** Throws USAGE for a role that the application does not have. What the cluster keeps apart may not be known yet: then any
 *  entity passes. */
export function hostedBy(
  app: AppShape,
  roles: readonly string[] | undefined,
  apart: readonly Apart[] | "unknown" = [],
): Hosted {
  const { name, contract } = app;
  const services = [...app.services, ...workersOf(app)];
  const all = services.map((service) => service.contract.name);
  const named = all.map((service) => queueNamed(service) ?? service);
  if (roles === undefined) return { services: all, entities: true, hosts: null };
  const usage = (says: string, hint: string): SheafError => new SheafError("USAGE", says, { hint });
  if (roles.length === 0) throw usage("a node has at least one role", "gateway is the role that hosts nothing");
  const known = apart === "unknown" ? [] : apart;
  const words = ["entities", "services", "gateway", ...(apart === "unknown" || known.length > 0 ? ["rest"] : [])];
  const isEntity = (role: string): boolean => contract.entities.some((entity) => entity.name === role);
  const hosts = new Set<string>();
  for (const role of roles) {
    const own = known.find(({ entities }) => entities.includes(role))?.entities[0];
    if (own !== undefined) hosts.add(own);
    if (role === "rest") hosts.add(role);
    if (own !== undefined || words.includes(role) || named.includes(role)) continue;
    if (isEntity(role) && apart === "unknown") continue;
    if (isEntity(role))
      throw usage(
        `the entity ${role} cannot be hosted apart from the others, whose shards it shares`,
        `the role entities hosts all of them; what is to be hosted apart is said when a cluster is created: --apart ${role}`,
      );
    throw usage(
      `app ${name} has no role "${role.slice(0, 80)}"`,
      `roles are ${words.join(", ")}, and its services and queues: ${named.join(", ") || "none"}`,
    );
  }
  const every = roles.includes("entities");
  return {
    services: roles.includes("services") ? all : all.filter((_, i) => roles.includes(named[i]!)),
    entities: every || hosts.size > 0,
    hosts: every ? null : [...hosts].sort(),
  };
}

// Which parts of an application one node hosts: all of them, unless it was given roles. A role is the name of a service, or of a
// queue with a worker, or one of three words: `entities` (all of them: they share their shards), `services` (every one) and `gateway` (nothing but taking calls).

import { SheafError } from "../base/index.ts";
import { queueNamed } from "./job-names.ts";
import type { AppShape } from "./shape.ts";
import { workersOf } from "./worker.ts";

export type Hosted = {
  /** Names. */
  readonly services: readonly string[];
  readonly entities: boolean;
};

/** Throws USAGE for a role that the application does not have. */
export function hostedBy(app: AppShape, roles: readonly string[] | undefined): Hosted {
  const { name, contract } = app;
  const services = [...app.services, ...workersOf(app)];
  const all = services.map((service) => service.contract.name);
  const named = all.map((service) => queueNamed(service) ?? service);
  if (roles === undefined) return { services: all, entities: true };
  const usage = (says: string, hint: string): SheafError => new SheafError("USAGE", says, { hint });
  if (roles.length === 0) throw usage("a node has at least one role", "gateway is the role that hosts nothing");
  for (const role of roles) {
    if (["entities", "services", "gateway"].includes(role) || named.includes(role)) continue;
    if (contract.entities.some((entity) => entity.name === role))
      throw usage(
        `the entity ${role} cannot be hosted apart from the others, whose shards it shares`,
        "the role entities hosts all of them",
      );
    throw usage(
      `app ${name} has no role "${role.slice(0, 80)}"`,
      `roles are entities, services, gateway, and its services and queues: ${named.join(", ") || "none"}`,
    );
  }
  return {
    services: roles.includes("services") ? all : all.filter((_, i) => roles.includes(named[i]!)),
    entities: roles.includes("entities"),
  };
}

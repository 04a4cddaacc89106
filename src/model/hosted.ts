// Which parts of an application one node hosts: all of them, unless it was given roles. A role is the name of a service, or one
// of three words: `entities` (all of them: they share their shards), `services` (every one) and `gateway` (nothing but taking calls).

import { SheafError } from "../base/index.ts";
import type { AppShape } from "./shape.ts";

export type Hosted = {
  /** Names. */
  readonly services: readonly string[];
  readonly entities: boolean;
};

/** Throws USAGE for a role that the application does not have. */
export function hostedBy({ name, contract, services }: AppShape, roles: readonly string[] | undefined): Hosted {
  const all = services.map((service) => service.contract.name);
  if (roles === undefined) return { services: all, entities: true };
  const usage = (says: string, hint: string): SheafError => new SheafError("USAGE", says, { hint });
  if (roles.length === 0) throw usage("a node has at least one role", "gateway is the role that hosts nothing");
  for (const role of roles) {
    if (["entities", "services", "gateway"].includes(role) || all.includes(role)) continue;
    if (contract.entities.some((entity) => entity.name === role))
      throw usage(
        `the entity ${role} cannot be hosted apart from the others, whose shards it shares`,
        "the role entities hosts all of them",
      );
    throw usage(
      `app ${name} has no role "${role.slice(0, 80)}"`,
      `roles are entities, services, gateway, and its services: ${all.join(", ") || "none"}`,
    );
  }
  return {
    services: roles.includes("services") ? all : all.filter((service) => roles.includes(service)),
    entities: roles.includes("entities"),
  };
}

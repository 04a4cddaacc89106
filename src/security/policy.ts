// What a principal may do. Deny by default; a decision always says why, so that a refusal can be explained.

import type { Principal } from "./principal.ts";

export type Action = "command" | "query" | "procedure" | "publish" | "subscribe" | "describe" | "operate";

export type Resource =
  | { readonly kind: "entity"; readonly entity: string; readonly key: string; readonly name: string }
  | { readonly kind: "service"; readonly service: string; readonly name: string }
  | { readonly kind: "topic"; readonly name: string }
  /** What the application offers: its names and schemas. */
  | { readonly kind: "contract" }
  /** The running system, as the admin API shows it. */
  | { readonly kind: "system"; readonly name: string };

export type Decision = { readonly allow: boolean; readonly why: string };

export interface Policy {
  decide(principal: Principal, action: Action, resource: Resource): Decision;
}

/** What each role may do. */
export type Grants = Readonly<Record<string, readonly Action[]>>;

export const defaultGrants: Grants = {
  app: ["command", "query", "procedure", "publish", "subscribe", "describe"],
  admin: ["command", "query", "procedure", "publish", "subscribe", "describe", "operate"],
};

/** Roles that API keys may carry. */
export const roles: readonly string[] = Object.keys(defaultGrants);

/** Names that begin so belong to Sheaf itself. No caller reaches them as entities or services, whatever the role. */
export const systemPrefix = "sheaf.";
/** So do the workers of queues, as services: their jobs are added, not called. */
const workerPrefix = "queue ";

/** Grants by role. Forbidding overrides permitting: system entities are refused before any role is looked at. */
export function rolePolicy(grants: Grants = defaultGrants): Policy {
  const grant = (role: string, action: Action): readonly [Action, Decision] => [
    action,
    { allow: true, why: `role ${role} grants ${action}` },
  ];
  const allowed = new Map(
    Object.entries(grants).map(([role, actions]) => [role, new Map(actions.map((action) => grant(role, action)))]),
  );
  return {
    decide(principal, action, resource) {
      const name = resource.kind === "entity" ? resource.entity : resource.kind === "service" ? resource.service : "";
      const isWorker = resource.kind === "service" && name.startsWith(workerPrefix);
      if (name.startsWith(systemPrefix) || isWorker) return { allow: false, why: `${name} belongs to Sheaf` };
      for (const role of principal.roles) {
        const granted = allowed.get(role)?.get(action);
        if (granted) return granted;
      }
      const has = principal.roles.length === 0 ? "no role" : `only ${principal.roles.join(", ")}`;
      return { allow: false, why: `${action} needs a role that grants it; the caller has ${has}` };
    },
  };
}

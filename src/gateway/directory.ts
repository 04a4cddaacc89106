// What an application offers to callers, looked up by name. Sheaf's own entities are left out, so no caller can name one; and
// what is not there is answered with what is, the nearest names first.

import { nearest, SheafError } from "../base/index.ts";
import {
  type AppContractShape,
  type EntityShape,
  entityTopic,
  type ServiceShape,
  type TopicShape,
} from "../model/index.ts";
import { systemPrefix } from "../security/index.ts";

export type Directory = {
  readonly contract: AppContractShape;
  readonly entities: ReadonlyMap<string, EntityShape>;
  readonly services: ReadonlyMap<string, ServiceShape>;
  /** Those that callers publish to. */
  readonly topics: ReadonlyMap<string, TopicShape>;
  /** Those of the events that entities emit. */
  readonly emitted: ReadonlyMap<string, TopicShape>;
};

const byName = <T extends { readonly name: string }>(shapes: readonly T[]): ReadonlyMap<string, T> =>
  new Map(shapes.filter((shape) => !shape.name.startsWith(systemPrefix)).map((shape) => [shape.name, shape]));

export const directoryOf = (contract: AppContractShape): Directory => {
  const entities = byName(contract.entities);
  const emitted = [...entities.values()].flatMap(({ name, events }) =>
    Object.entries(events).map(([event, schema]) => entityTopic(`${name}.${event}`, schema)),
  );
  return {
    contract,
    entities,
    services: byName(contract.services),
    topics: byName(contract.topics ?? []),
    emitted: byName(emitted),
  };
};

function missing(what: string, name: string, exist: readonly string[], of: string): SheafError {
  const near = nearest(name, exist);
  const hint = near.length === 0 ? `${of} has none.` : `There is ${near.join(", ")}.`;
  return new SheafError("UNKNOWN_TARGET", `${of} has no ${what} "${name.slice(0, 80)}"`, { hint });
}

/** The entity of that name. Throws UNKNOWN_TARGET with names that exist. */
export function entityNamed(directory: Directory, name: string): EntityShape {
  const found = directory.entities.get(name);
  if (found !== undefined) return found;
  throw missing("entity", name, [...directory.entities.keys()], directory.contract.name);
}

/** Whether an entity's member is a command or a query. Throws UNKNOWN_TARGET with names that exist. */
export function memberKind(entity: EntityShape, name: string): "command" | "query" {
  if (Object.hasOwn(entity.commands, name)) return "command";
  if (Object.hasOwn(entity.queries, name)) return "query";
  throw missing(
    "command or query",
    name,
    [...Object.keys(entity.commands), ...Object.keys(entity.queries)],
    entity.name,
  );
}

/** Throws UNKNOWN_TARGET with names that exist unless the service has the procedure. */
export function checkProcedure(directory: Directory, service: string, name: string): void {
  const found = directory.services.get(service);
  if (found === undefined) throw missing("service", service, [...directory.services.keys()], directory.contract.name);
  if (!Object.hasOwn(found.procedures, name)) throw missing("procedure", name, Object.keys(found.procedures), service);
}

/** The topic of that name, if callers publish to it. Throws UNKNOWN_TARGET with names that exist. */
export function topicNamed({ topics, emitted, contract }: Directory, name: string): TopicShape {
  const found = topics.get(name);
  if (found !== undefined) return found;
  if (emitted.has(name))
    throw new SheafError("UNKNOWN_TARGET", `nobody publishes to ${name.slice(0, 80)} but the entity that emits it`, {
      hint: "Run a command of the entity, or publish to a topic of the app.",
    });
  throw missing("topic", name, [...topics.keys()], contract.name);
}

/** The topic of that name, one of an entity's events too. Throws UNKNOWN_TARGET with names that exist. */
export function readableTopic({ topics, emitted, contract }: Directory, name: string): TopicShape {
  const found = topics.get(name) ?? emitted.get(name);
  if (found !== undefined) return found;
  throw missing("topic", name, [...topics.keys(), ...emitted.keys()], contract.name);
}

// entity(): the contract of a kind of entity, and what implements it.

import type { StandardSchemaV1 } from "@standard-schema/spec";
import { SheafError, type Version } from "../base/index.ts";
import type { EntityHandlers } from "./context.ts";
import { checkOperations, frozenMembers, handlersOf } from "./definition.ts";
import type { Commands, None, Only, Queries, Schemas } from "./inference.ts";
import { checkFields, checkMember, checkName, checkSystemName } from "./names.ts";
import type { CommandShape, EntityImplementation, EntityShape, QueryShape, Retention, Schema } from "./shape.ts";
import { entityTopic, type RetainOptions, retention, type TopicContract } from "./topic.ts";
import { isSchema, stateShape, type SchemaOf, type StateSchema, type VersionedState } from "./state.ts";

/** What `entity` is given. */
export type EntityDefinition<S, C, Q, E, F extends boolean = false> = {
  /** A Standard Schema of an object or array of plain data, or `versioned(…)`. */
  readonly state: S;
  /** By name: `input`, `output`, `errors`, each optional. `{}` takes nothing and returns nothing. */
  readonly commands: C & Only<C, CommandShape>;
  /** As commands, and `consistency`: the level when the caller names none, "strong" unless given. */
  readonly queries?: Q & Only<Q, QueryShape>;
  /** Schemas of what commands may emit, by name. */
  readonly events?: E;
  /** Emits the event `changed` with each commit that changes the state: what it is then, for projections and copies elsewhere. The
   *  state is journaled twice then. */
  readonly feed?: F;
  /** How much is kept of events, by name, `changed` too. */
  readonly retain?: Retains<NoInfer<E>, NoInfer<F>> | undefined;
};

type Retains<E, F> = { readonly [V in (keyof E & string) | (F extends true ? "changed" : never)]?: RetainOptions };

/** What `changed` brings, of an entity with a feed. */
export type Changed<S extends Schema> = {
  readonly version: Version;
  readonly command: string;
  /** Version of the state's schema. */
  readonly schema: number;
  readonly state: StandardSchemaV1.InferOutput<S>;
};

type WithFeed<E extends Schemas, S extends Schema, F extends boolean> = F extends true
  ? E & { readonly changed: StandardSchemaV1<Changed<S>> }
  : E;

/** The contract of a kind of entity: data that callers, handlers and tools share. Safe to import anywhere. */
export interface EntityContract<
  N extends string,
  S extends StateSchema,
  C extends Commands,
  Q extends Queries,
  E extends Schemas,
> extends EntityShape {
  readonly name: N;
  readonly state: VersionedState<S>;
  readonly commands: C;
  readonly queries: Q;
  readonly events: E;
  /**
   * The topic of an event that this kind of entity emits, named "account.withdrawn". Its key is the entity's.
   *
   * @example export const statements = subscription("statements", Account.topic("withdrawn")).into(…);
   */
  topic<const V extends keyof E & string>(event: V): TopicContract<`${N}.${V}`, E[V]>;
  /**
   * Fills the contract in: `initial`, and one handler per command and query, each given one context object. Handlers may be async.
   * Throws USAGE when one is missing or is not in the contract.
   *
   * @example
   * export const counter = Counter.implement({
   *   initial: () => ({ count: 0 }),
   *   add: ({ state, input }) => ({ count: (state.count += input.by) }),
   *   current: ({ state }) => state.count,
   * });
   */
  implement(handlers: EntityHandlers<EntityContract<N, S, C, Q, E>>): ImplementedEntity<EntityContract<N, S, C, Q, E>>;
}

/** An implementation of the entity contract `C`. */
export interface ImplementedEntity<C extends EntityShape = EntityShape> extends EntityImplementation {
  readonly contract: C;
}

/**
 * Defines a kind of entity: keyed state with commands that change it, one at a time per key, and queries that read it.
 * Entities are addressed by name and key, never created. Everything is plain data of at most 1 MiB; inputs, outputs, errors, events
 * and state are validated. Schemas of any Standard Schema library; async ones are not supported.
 *
 * Throws USAGE when a name is not 1 to 64 letters, digits, `_` and `-` beginning with a letter, is used twice, or is one that objects
 * already have (`then`, `constructor`, `initial` …).
 *
 * @example
 * export const Counter = entity("counter", {
 *   state: z.object({ count: z.number().int() }),
 *   commands: { add: { input: z.object({ by: z.number().int() }), output: z.object({ count: z.number().int() }) }, reset: {} },
 *   queries: { current: { output: z.number().int(), consistency: "causal" } },
 *   events: { reached: z.object({ count: z.number().int() }) },
 * });
 */
export function entity<
  const N extends string,
  S extends StateSchema | VersionedState<StateSchema>,
  C extends Commands,
  Q extends Queries = None,
  E extends Schemas = None,
  const F extends boolean = false,
>(
  name: N,
  definition: EntityDefinition<S, C, Q, E, F>,
): EntityContract<N, SchemaOf<S> & StateSchema, C, Q, WithFeed<E, SchemaOf<S>, F>> {
  checkName("entity", name);
  const what = `entity ${name}`;
  checkFields(what, definition, ["state", "commands", "queries", "events", "feed", "retain"]);
  type Events = WithFeed<E, SchemaOf<S>, F>;
  const { feed, events = {} as E, retain, ...rest } = definition;
  if (feed !== undefined && typeof feed !== "boolean") throw new SheafError("USAGE", `${what}: feed is true or false`);
  if (feed && Object.hasOwn(events, feedEvent))
    throw new SheafError("USAGE", `${what}: with a feed, the event "${feedEvent}" is Sheaf's own`);
  const all = (feed ? { ...events, [feedEvent]: anyChange } : events) as Events;
  return define<N, S, C, Q, Events>(name, {
    ...rest,
    events: all,
    retain,
  });
}

/** Made by Sheaf of a state that was valid when it was committed. */
const anyChange: Schema = {
  "~standard": { version: 1, vendor: "sheaf", validate: (value) => ({ value }) },
};
/** The event that is an entity's feed. */
const feedEvent = "changed";
export const feedOf = ({ events }: EntityShape): string | undefined =>
  events[feedEvent] === anyChange ? feedEvent : undefined;

/** As `entity`, for Sheaf's own: the name begins with "sheaf.", which users' names cannot. */
export function systemEntity<
  const N extends `sheaf.${string}`,
  S extends StateSchema | VersionedState<StateSchema>,
  C extends Commands,
  Q extends Queries = None,
  E extends Schemas = None,
>(name: N, definition: EntityDefinition<S, C, Q, E>): EntityContract<N, SchemaOf<S> & StateSchema, C, Q, E> {
  checkSystemName("entity", name);
  return define(name, definition);
}

function define<
  N extends string,
  S extends StateSchema | VersionedState<StateSchema>,
  C extends Commands,
  Q extends Queries,
  E extends Schemas,
>(name: N, definition: EntityDefinition<S, C, Q, E>): EntityContract<N, SchemaOf<S> & StateSchema, C, Q, E> {
  const what = `entity ${name}`;
  checkFields(what, definition, ["state", "commands", "queries", "events", "retain"]);
  const { state, commands, queries = {} as Q, events = {} as E, retain = {} } = definition;
  checkOperations(what, "command", commands, ["input", "output", "errors"]);
  checkOperations(what, "query", queries, ["input", "output", "errors", "consistency"]);
  checkEvents(what, events);
  const retained = retentions(what, retain, Object.keys(events));
  const twice = Object.keys(commands).find((command) => Object.hasOwn(queries, command));
  if (twice !== undefined) throw new SheafError("USAGE", `${what}: "${twice}" is both a command and a query`);

  const contract: EntityContract<N, SchemaOf<S> & StateSchema, C, Q, E> = {
    kind: "entity",
    name,
    state: stateShape(what, state) as VersionedState<SchemaOf<S> & StateSchema>,
    commands: frozenMembers<C>(commands),
    queries: frozenMembers<Q>(queries),
    events: Object.freeze({ ...events }),
    ...(Object.keys(retained).length > 0 && { retain: retained }),
    topic: (event) => {
      if (!Object.hasOwn(events, event)) throw new SheafError("USAGE", `${what} has no event "${event}"`);
      return entityTopic(`${name}.${event}`, events[event]!, retained[event]);
    },
    implement: (given) => {
      const handlers = handlersOf(what, given, ["initial", ...Object.keys(commands), ...Object.keys(queries)]);
      return Object.freeze({ contract, initial: given.initial, handlers });
    },
  };
  return Object.freeze(contract);
}

function retentions(what: string, retain: object, events: readonly string[]): Readonly<Record<string, Retention>> {
  checkFields(`${what}: retain`, retain, events);
  const entries = Object.entries(retain as Readonly<Record<string, RetainOptions>>);
  return Object.freeze(
    Object.fromEntries(entries.map(([event, one]) => [event, retention(`${what}: event ${event}`, one)])),
  );
}

function checkEvents(what: string, events: Schemas): void {
  checkFields(`${what}: events`, events, Object.keys(events));
  for (const [name, schema] of Object.entries(events)) {
    checkMember(`${what}: event`, name);
    if (!isSchema(schema)) throw new SheafError("USAGE", `${what}: event ${name} needs a Standard Schema`);
  }
}

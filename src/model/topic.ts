// topic(): the contract of a stream of events. subscription(): what is to be done with each of them.

import type { StandardSchemaV1 } from "@standard-schema/spec";
import { type Instant, type Millis, SheafError } from "../base/index.ts";
import type { SentInput } from "./inference.ts";
import { checkCounts, checkFields, checkName } from "./names.ts";
import type {
  BatchShape,
  EntityShape,
  Retention,
  Schema,
  ServiceShape,
  StateShape,
  SubscriptionShape,
  TopicShape,
} from "./shape.ts";
import { type SchemaOf, stateShape, type VersionedState } from "./state.ts";

/** What `topic` is given. */
export type TopicDefinition<S> = {
  /** A Standard Schema of plain data, or `versioned(…)`: older events are brought to the current version when they are read. */
  readonly event: S;
  /** Events of one key stay in their order. Without one all of the topic's events are in one order, in one shard. 1 to 256 characters. */
  readonly key?: ((event: StandardSchemaV1.InferOutput<SchemaOf<S>>) => string) | undefined;
  readonly retain?: RetainOptions | undefined;
};

/** What is kept of events, read or not, whichever is less; those that are older, or beyond the size, are dropped. Default 7 days, 16 MB
 *  per shard. */
export type RetainOptions = { readonly days?: number | undefined; readonly megabytes?: number | undefined };

/** The contract of a topic: data that publishers, subscribers and tools share. Safe to import anywhere. */
export interface TopicContract<N extends string = string, S extends Schema = Schema> extends TopicShape {
  readonly name: N;
  readonly event: VersionedState<S>;
}

/** What a publisher hands in, and what a subscriber gets. */
export type PublishedValue<T extends TopicShape> = StandardSchemaV1.InferInput<T["event"]["schema"]>;
export type ReceivedValue<T extends TopicShape> = StandardSchemaV1.InferOutput<T["event"]["schema"]>;

/** One event as a subscriber gets it. */
export type TopicEvent<V = unknown> = {
  /** Of this event alone, and the same however often it is delivered. */
  readonly id: string;
  readonly topic: string;
  readonly key: string;
  /** When it was journaled, milliseconds since the Unix epoch. */
  readonly at: Instant;
  readonly value: V;
};

const dayMs: Millis = 24 * 60 * 60_000;

/**
 * Defines a topic: events that commands and clients publish, kept in the journal for as long as `retain` says, and carried to each
 * subscription. An event is durable once `publish` has resolved, or with the commit of the command that published it.
 * Names as for `entity`; throws USAGE when one is not allowed.
 *
 * @example
 * export const Orders = topic("orders", { event: z.object({ id: z.string(), cents: z.number() }), key: (order) => order.id });
 */
export function topic<const N extends string, S extends Schema | StateShape>(
  name: N,
  definition: TopicDefinition<S>,
): TopicContract<N, SchemaOf<S>> {
  checkName("topic", name);
  const what = `topic ${name}`;
  checkFields(what, definition, ["event", "key", "retain"]);
  const { event, key, retain = {} } = definition;
  if (key !== undefined && typeof key !== "function") throw new SheafError("USAGE", `${what}: key is a function`);
  return Object.freeze({
    kind: "topic",
    name,
    event: stateShape(what, event) as VersionedState<SchemaOf<S>>,
    ...(key && { key }),
    retain: retention(what, retain),
  });
}

export function retention(what: string, retain: RetainOptions = {}): Retention {
  checkFields(`${what}: retain`, retain, ["days", "megabytes"]);
  const { days = 7, megabytes = 16 } = retain;
  for (const [name, value] of Object.entries({ days, megabytes }))
    if (!(value > 0)) throw new SheafError("USAGE", `${what}: retain.${name} is a number above 0`);
  return Object.freeze({ ageMs: days * dayMs, bytes: Math.ceil(megabytes * 1024 * 1024) });
}

/** What is kept of topics that do not say. */
export const defaultRetention: Retention = retention("");

/** The topic of an event that an entity emits: its key is the entity's. */
export const entityTopic = <const N extends string, S extends Schema>(
  name: N,
  schema: S,
  retain: Retention = defaultRetention,
): TopicContract<N, S> =>
  Object.freeze({
    kind: "topic",
    name,
    event: stateShape(`topic ${name}`, schema) as VersionedState<S>,
    retain,
  });

/** When several events are made one command or call of. Whatever is reached first. */
export type BatchOptions = {
  /** Of so many events at most. Default 100, at most 1000. */
  readonly events?: number | undefined;
  /** What is made of them has so many kilobytes at most; one that has more goes alone. Default 256, at most 1024. */
  readonly kilobytes?: number | undefined;
  /** So long an event waits for others, where there are fewer. Default 0: of what is there. At most 60 000. */
  readonly waitMs?: Millis | undefined;
};

export type SubscriptionOptions<B extends BatchOptions | undefined = BatchOptions | undefined> = {
  /** Where a subscription that is new begins: with all that is kept (the default), with what comes from now on, or with what was
   *  published at that time or later. One that has begun goes on where it is. */
  readonly from?: "beginning" | "now" | Date | undefined;
  /** One command or call for several events: its input is an array. Without it each event has its own. */
  readonly batch?: B;
  /**
   * Keys that are done at the same time, at each shard: 1 to 1000. Events of one key stay in their order. Default: no bound but those of
   * the node. With `batch`, the keys of a shard are dealt out among so many calls of a procedure; default 1.
   */
  readonly concurrency?: number | undefined;
};

/** A subscription that does not say yet what is to be done. `B`: what it was given as `batch`. */
export interface Subscribing<V, B = undefined> {
  /**
   * Sends a command for each event, exactly once in effect: that the subscription has moved on is kept in one record with what it
   * sends. `make` says which key and input; one that gives nothing passes the event over. Commands for one key are carried out in the
   * order of their events, where these have one key. What fails is tried again, and becomes a dead letter, as with `send`.
   * `make` must be pure. When it throws, the subscription stands still at that event and says so (`sheaf group ls`).
   * With `batch`, what `make` gives for events with the same key comes as one array: all of it takes effect, or none.
   */
  into<C extends EntityShape, N extends keyof C["commands"] & string>(
    entity: C,
    command: N,
    make: (event: TopicEvent<V>) => ({ readonly key: string } & Made<C["commands"][N], B>) | undefined,
  ): SubscriptionShape;
  /**
   * Calls a procedure for each event, at least once: again when it throws, or when nobody can tell whether it ended. The event's `id` is
   * the same each time. Events of one key are called for in order, those of others at the same time. After `maxAttempts` attempts,
   * counted across crashes, it becomes a dead letter. `make` gives the input; as with `into`, nothing passes the event over.
   * With `batch`, events of several keys come as one array, and what fails in a call has all of it called again.
   */
  call<C extends ServiceShape, N extends keyof C["procedures"] & string>(
    service: C,
    procedure: N,
    make: (event: TopicEvent<V>) => Made<C["procedures"][N], B> | undefined,
  ): SubscriptionShape;
}

type Made<O, B> = B extends object ? { readonly input: Item<SentInput<O>> } : MadeAlone<O>;
/** Never, where the command or procedure takes no array. */
type Item<I> = I extends readonly (infer E)[] ? E : never;
type MadeAlone<O> = O extends { readonly input: object }
  ? undefined extends SentInput<O>
    ? { readonly input?: SentInput<O> }
    : { readonly input: SentInput<O> }
  : object;

const mostEvents = 1000;
const mostKilobytes = 1024;
const longestWait: Millis = 60_000;
const mostAtOnce = 1000;

function batchOf(what: string, given: BatchOptions): BatchShape {
  checkFields(`${what}: batch`, given, ["events", "kilobytes", "waitMs"]);
  const { events = 100, kilobytes = 256, waitMs = 0 } = given;
  checkCounts(`${what}: batch`, { events }, mostEvents);
  if (!(kilobytes > 0 && kilobytes <= mostKilobytes))
    throw new SheafError("USAGE", `${what}: batch: kilobytes is a number above 0, at most ${mostKilobytes}`);
  if (!(waitMs >= 0 && waitMs <= longestWait))
    throw new SheafError("USAGE", `${what}: batch: waitMs is a number from 0 to ${longestWait}`);
  return Object.freeze({ events, bytes: Math.ceil(kilobytes * 1024), waitMs });
}

/**
 * Declares what is done with each event of a topic, as one of `app`'s subscriptions. Its name is that of a group: it names the place up to
 * which events are done, which outlives nodes and releases. `Account.topic("withdrawn")` is the topic of what an entity emits.
 *
 * @example
 * export const ship = subscription("ship-orders", Orders).into(Shipment, "begin", ({ value }) => ({ key: value.id, input: value }));
 * export const index = subscription("index", Orders, { batch: { events: 500, waitMs: 1000 } })
 *   .call(Search, "add", ({ value }) => ({ input: value }));
 */
export function subscription<T extends TopicShape, const B extends BatchOptions | undefined = undefined>(
  name: string,
  topic: T,
  options: SubscriptionOptions<B> = {},
): Subscribing<ReceivedValue<T>, B> {
  checkName("subscription", name);
  const what = `subscription ${name}`;
  checkFields(what, options, ["from", "batch", "concurrency"]);
  if (topic?.kind !== "topic")
    throw new SheafError("USAGE", `${what} needs a topic`, {
      hint: 'For an entity\'s events: Account.topic("withdrawn").',
    });
  const { from = "beginning", batch, concurrency } = options;
  const at = from instanceof Date ? from.getTime() : from;
  if (at !== "beginning" && at !== "now" && !Number.isFinite(at))
    throw new SheafError("USAGE", `${what}: from is "beginning", "now" or a Date`);
  checkCounts(what, { concurrency }, mostAtOnce);
  const base = {
    kind: "subscription",
    name,
    topic,
    from: at,
    ...(batch && { batch: batchOf(what, batch) }),
    ...(concurrency !== undefined && { concurrency }),
  } as const;
  return {
    into: (entity, command, make) => {
      if (entity?.kind !== "entity" || !Object.hasOwn(entity.commands, command))
        throw new SheafError(
          "USAGE",
          `${what}: there is no command "${command}" in ${entity?.name ?? "what was given"}`,
          {
            hint: "An event becomes a command of an entity. For a job of each, let that command leave it: send.queue(Queue).add(…).",
          },
        );
      checkMake(what, make);
      return Object.freeze({
        ...base,
        target: { kind: "command" as const, entity, command },
        make,
      });
    },
    call: (service, procedure, make) => {
      if (service?.kind !== "service" || !Object.hasOwn(service.procedures, procedure))
        throw new SheafError(
          "USAGE",
          `${what}: there is no procedure "${procedure}" in ${service?.name ?? "what was given"}`,
        );
      checkMake(what, make);
      return Object.freeze({ ...base, target: { kind: "procedure" as const, service, procedure }, make });
    },
  };
}

function checkMake(what: string, make: unknown): void {
  if (typeof make !== "function") throw new SheafError("USAGE", `${what}: the last argument is a function`);
}

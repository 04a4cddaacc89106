// What contracts and implementations are at run time, without their types: what the runtime, the gateway and OpenAPI read.
// The typed faces that users write against are in entity.ts, service.ts and app.ts.

import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { Instant, Millis } from "../base/index.ts";

export type Schema = StandardSchemaV1;
export type Level = "strong" | "causal" | "eventual";

export type CommandShape = {
  readonly input?: Schema | undefined;
  readonly output?: Schema | undefined;
  /** Errors the command declares, by name. */
  readonly errors?: Readonly<Record<string, Schema>> | undefined;
};
export type QueryShape = CommandShape & { readonly consistency?: Level | undefined };
export type ProcedureShape = CommandShape;

/** State schemas have versions; `upgrades[n]` turns a state of version n into one of version n + 1. */
export type StateShape = {
  readonly version: number;
  readonly schema: Schema;
  readonly upgrades: Readonly<Record<number, (old: never) => unknown>>;
};

export type EntityShape = {
  readonly kind: "entity";
  readonly name: string;
  readonly state: StateShape;
  readonly commands: Readonly<Record<string, CommandShape>>;
  readonly queries: Readonly<Record<string, QueryShape>>;
  readonly events: Readonly<Record<string, Schema>>;
  /** Of events that say so: how much of them is kept. */
  readonly retain?: Readonly<Record<string, Retention>> | undefined;
};

export type ServiceShape = {
  readonly kind: "service";
  readonly name: string;
  readonly procedures: Readonly<Record<string, ProcedureShape>>;
};

/** The context is one object; see context.ts for what is on it. */
export type Handler = (context: never) => unknown;

export type EntityImplementation = {
  readonly contract: EntityShape;
  readonly initial: (key: string) => unknown;
  /** One per command and query. */
  readonly handlers: Readonly<Record<string, Handler>>;
};

export type ServiceImplementation = {
  readonly contract: ServiceShape;
  readonly handlers: Readonly<Record<string, Handler>>;
  /** Calls that one node carries out at the same time, where they are fewer than of any service. */
  readonly concurrency?: number | undefined;
};

/** When something is due: by a cron pattern in a time zone, or every so often. */
export type Timing =
  | { readonly cron: string; readonly zone: string; readonly everyMs: null }
  | { readonly cron: null; readonly zone: null; readonly everyMs: Millis };

export type Missed = "skip" | "one" | "all";

/** One run of a schedule. */
export type ScheduledRun = {
  /** When it was due, milliseconds since the Unix epoch; when it was asked for, of one that an operator asked for. */
  readonly at: Instant;
  /** Counted from 1. No two runs of a schedule have the same. */
  readonly number: number;
  /** An operator asked for it: `sheaf schedule run`. */
  readonly asked: boolean;
};

export type ScheduleShape = {
  readonly kind: "schedule";
  readonly name: string;
  readonly timing: Timing;
  readonly missed: Missed;
  /** What a run is. */
  readonly target:
    | { readonly kind: "command"; readonly entity: EntityShape; readonly command: string }
    | { readonly kind: "procedure"; readonly service: ServiceShape; readonly procedure: string };
  /** The key is an entity's. */
  readonly map: (run: ScheduledRun) => { readonly key?: string; readonly input?: unknown };
};

/** How much of a topic is kept at each shard: no older, and no more. */
export type Retention = { readonly ageMs: Millis; readonly bytes: number };

export type TopicShape = {
  readonly kind: "topic";
  readonly name: string;
  readonly event: StateShape;
  readonly key?: ((event: never) => string) | undefined;
  readonly retain: Retention;
};

/** How many events, and of what size together, one command or call is made of at most; and how long the first of them waits for others. */
export type BatchShape = { readonly events: number; readonly bytes: number; readonly waitMs: Millis };

export type SubscriptionShape = {
  readonly kind: "subscription";
  readonly name: string;
  readonly topic: TopicShape;
  readonly from: "beginning" | "now" | Instant;
  /** The input is an array of what is made of each event. */
  readonly batch?: BatchShape | undefined;
  /** Keys whose commands or calls are under way at the same time, at each shard. */
  readonly concurrency?: number | undefined;
  readonly target:
    | { readonly kind: "command"; readonly entity: EntityShape; readonly command: string }
    | { readonly kind: "procedure"; readonly service: ServiceShape; readonly procedure: string };
  /** The key is an entity's. */
  readonly make: (event: never) => { readonly key?: string; readonly input?: unknown } | undefined;
};

/** Pauses between attempts. */
export type RetryShape = { readonly firstMs?: Millis | undefined; readonly longestMs?: Millis | undefined };

export type QueueShape = {
  readonly kind: "queue";
  readonly name: string;
  readonly input: Schema;
  readonly output?: Schema | undefined;
  /** What jobs are in line by. */
  readonly key?: ((input: never) => string) | undefined;
  readonly attempts?: number | undefined;
  readonly visibilityMs?: Millis | undefined;
  readonly retry?: RetryShape | undefined;
  readonly rate?: { readonly jobs: number; readonly perMs: Millis } | undefined;
};

export type QueueImplementation = {
  readonly contract: QueueShape;
  readonly handler: Handler;
  /** Jobs that one node does at the same time. */
  readonly concurrency: number;
};

export type AppShape = {
  readonly kind: "app";
  readonly name: string;
  readonly entities: readonly EntityImplementation[];
  readonly services: readonly ServiceImplementation[];
  /** Contracts of services that run outside of the cluster, at addresses that an operator registers. */
  readonly external?: readonly ServiceShape[] | undefined;
  readonly schedules?: readonly ScheduleShape[] | undefined;
  readonly subscriptions?: readonly SubscriptionShape[] | undefined;
  /** With their workers, or without: then only consumers that ask take their jobs. */
  readonly queues?: readonly (QueueImplementation | QueueShape)[] | undefined;
  readonly contract: AppContractShape;
};

export type AppContractShape = {
  readonly kind: "contract";
  readonly name: string;
  readonly entities: readonly EntityShape[];
  readonly services: readonly ServiceShape[];
  readonly topics?: readonly TopicShape[] | undefined;
  readonly queues?: readonly QueueShape[] | undefined;
};

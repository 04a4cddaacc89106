// What handlers are given: one object, meant to be destructured. Its types follow from the contract alone.

import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { Instant, Millis } from "../base/index.ts";
import type { Log } from "../host/index.ts";
import type { Client, Sender } from "./client.ts";
import type {
  Commands,
  ErrorsOf,
  Frozen,
  HandlerInput,
  HandlerOutput,
  Optional,
  Schemas,
  SentInput,
  ValueOf,
} from "./inference.ts";
import type { Principal } from "../security/index.ts";
import type { EntityShape, Schema, TopicShape } from "./shape.ts";
import type { PublishedValue } from "./topic.ts";

/** What every handler has. */
export interface Context<Operation> {
  /** The validated input; undefined when the contract declares none. */
  readonly input: HandlerInput<Operation>;
  /** Cluster time when the handler started, milliseconds since the Unix epoch. It does not move while the handler runs. */
  readonly now: Instant;
  /** Uniform in [0, 1). Use this and `id`, not Math.random: a simulated run can then be repeated, and a handler that runs again,
   *  since its shard moved say, draws the same again, unless its caller chose the idempotency key. */
  readonly random: () => number;
  /**
   * Refuses with an error that the contract declares, by throwing: nothing the handler did is kept, and the caller gets a SheafError
   * with code DECLARED, `error` = name and `data`. Write `return fail(…)` where TypeScript should know that the code after it is not reached.
   * Data that does not fit the declared schema is BAD_OUTPUT.
   *
   * @example if (state.cents < input.cents) fail("INSUFFICIENT", { short: input.cents - state.cents });
   */
  readonly fail: <N extends keyof ErrorsOf<Operation> & string>(
    name: N,
    ...data: Optional<ValueOf<ErrorsOf<Operation>[N]>>
  ) => never;
  /**
   * Calls other entities and services; the same faces as `connect()` gives. A call is not part of this handler's commit: it stands
   * when the handler throws later. Calling back into a key that waits for this handler rejects with REENTRANT.
   *
   * @example await call.entity(Account, input.to).deposit({ cents: input.cents });
   */
  readonly call: Client;
  /** Who calls, as authentication found it. */
  readonly caller: Principal;
  /** Aborts when the caller gives up, its deadline passes, or this node stops. */
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** What a command's handler has. Everything it does to `state` and emits is kept in one atomic commit, or not at all. */
export interface CommandContext<
  State,
  Operation,
  Events extends Schemas,
  Own extends Commands = Commands,
> extends Context<Operation> {
  readonly key: string;
  /** A draft of the entity's state: change it in place. When the handler throws, nothing happened. */
  readonly state: State;
  /** A new UUIDv7 (RFC 9562). The same ones again where `random` gives the same numbers. */
  readonly id: () => string;
  /** Adds an event to the commit, in order. A value that does not fit the contract is BAD_OUTPUT. */
  readonly emit: <N extends keyof Events & string>(name: N, ...value: Optional<ValueOf<Events[N]>>) => void;
  /**
   * Leaves a command for another entity, or this one: part of the commit, carried out exactly once in effect after it, however nodes
   * die, and in the order sent for each key. Nobody waits for it and no answer comes back. A handler that throws is tried again
   * with pauses, `maxAttempts` times; then, and when it refuses with a declared error, the command becomes a dead letter
   * (`sheaf dlq`). An input that does not fit is BAD_INPUT here; OVERLOADED when too much waits at this shard already.
   *
   * @example send.entity(Account, input.to).deposit({ cents: input.cents });
   */
  readonly send: Sender;
  /**
   * Publishes an event: part of the commit, in the topic exactly once after it, however nodes die, and in the order published for each
   * key. One that does not fit is BAD_INPUT here.
   *
   * @example publish(Orders, { id: key, cents: input.cents });
   */
  readonly publish: <T extends TopicShape>(topic: T, event: PublishedValue<T>) => void;
  /**
   * Runs a command of this entity later: after so many milliseconds, or at a time. Part of the commit; fires exactly once in effect, never
   * early by more than clocks differ, whoever owns the shard by then. Returns its id, the one given or a new one. Setting an id
   * again replaces that timer. A failing handler is treated as one of `send`.
   *
   * @example after(5 * 60_000, "expire", { seats: input.seats }, { id: "hold" });
   */
  readonly after: <N extends keyof Own & string>(
    when: Millis | Date,
    command: N,
    ...rest: TimerArguments<Own[N]>
  ) => string;
  /** Takes back the timer of this entity with that id; nothing happens when there is none. Part of the commit. */
  readonly cancel: (id: string) => void;
}

/** `(input, options?)` behind the command's name; `(options?)` for one that has no input. */
type TimerArguments<Operation> = Operation extends { readonly input: object }
  ? undefined extends SentInput<Operation>
    ? [input?: SentInput<Operation>, options?: TimerOptions]
    : [input: SentInput<Operation>, options?: TimerOptions]
  : [options?: TimerOptions];

export type TimerOptions = {
  /** 1 to 256 characters; names the timer within its entity. */
  readonly id?: string | undefined;
};

/** What a query's handler has: the last committed state that the call's consistency level allows, not to be changed. */
export interface QueryContext<State, Operation> extends Context<Operation> {
  readonly key: string;
  readonly state: Frozen<State>;
}

/** What a procedure's handler has. Services keep no state. */
export interface ProcedureContext<Operation> extends Context<Operation> {
  /** A new UUIDv7 (RFC 9562). */
  readonly id: () => string;
}

type Returned<Operation> = HandlerOutput<Operation> | Promise<HandlerOutput<Operation>>;
type StateOf<C extends EntityShape> = C["state"]["schema"] extends infer S extends Schema
  ? StandardSchemaV1.InferOutput<S>
  : never;

/** The handlers that implement an entity contract, exactly one per command and query, and `initial`. */
export type EntityHandlers<C extends EntityShape> = {
  /** The state of an entity that no command has changed yet. Called again until one has, so it must be pure. */
  readonly initial: (key: string) => StandardSchemaV1.InferInput<C["state"]["schema"]>;
} & {
  readonly [N in keyof C["commands"]]: (
    context: CommandContext<StateOf<C>, C["commands"][N], C["events"], C["commands"]>,
  ) => Returned<C["commands"][N]>;
} & {
  readonly [N in keyof C["queries"]]: (context: QueryContext<StateOf<C>, C["queries"][N]>) => Returned<C["queries"][N]>;
};

/** The handlers that implement a service contract, exactly one per procedure. */
export type ServiceHandlers<P> = {
  readonly [N in keyof P]: (context: ProcedureContext<P[N]>) => Returned<P[N]>;
};

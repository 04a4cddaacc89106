// The faces that callers use: `bank.entity(Account, "acc-7").withdraw({ cents: 500 })`. connect(), a handler's `call` and tests all
// hand out the same ones; they differ only in the function that carries a call out.

import { SheafError } from "../base/index.ts";
import type { ReceivedOutput, SentInput } from "./inference.ts";
import type { Address, CallOptions, CommandOptions, Invoke, QueryOptions } from "./invoke.ts";
import { bindQueue, bindQueueInbox, type QueueClient, type QueueInbox } from "./queue-client.ts";
import type { AppContractShape, EntityShape, QueueShape, ServiceShape, TopicShape } from "./shape.ts";
import type { PublishedValue } from "./topic.ts";

/** `(input, options?)`; `(options?)` when the contract has no input; the input may be left out when its schema takes undefined. */
type Face<Operation, Options> = Operation extends { readonly input: object }
  ? undefined extends SentInput<Operation>
    ? (input?: SentInput<Operation>, options?: Options) => Promise<ReceivedOutput<Operation>>
    : (input: SentInput<Operation>, options?: Options) => Promise<ReceivedOutput<Operation>>
  : (options?: Options) => Promise<ReceivedOutput<Operation>>;

/** One entity as its callers see it: a function per command and query. They reject with SheafError. */
export type EntityClient<C extends EntityShape> = {
  readonly [N in keyof C["commands"]]: Face<C["commands"][N], CommandOptions>;
} & {
  readonly [N in keyof C["queries"]]: Face<C["queries"][N], QueryOptions>;
};

/** One service as its callers see it: a function per procedure. They reject with SheafError. */
export type ServiceClient<C extends ServiceShape> = {
  readonly [N in keyof C["procedures"]]: Face<C["procedures"][N], CallOptions>;
};

/** The way to every entity and service of an application; of any application when `A` is not given. */
export interface Client<A extends AppContractShape = AppContractShape> {
  /** The entity with this key, 1 to 512 bytes of UTF-8. Nothing is sent before one of its functions is called; it need not exist. */
  entity<C extends A["entities"][number]>(contract: C, key: string): EntityClient<C>;
  service<C extends A["services"][number]>(contract: C): ServiceClient<C>;
  topic<C extends TopicShape>(contract: C): TopicClient<C>;
  queue<C extends QueueShape>(contract: C): QueueClient<C>;
}

/** A topic as its publishers see it. */
export type TopicClient<C extends TopicShape> = {
  /** Resolves once the event is durable. Rejects with SheafError. In a command, where it is to be part of the commit, use the
   *  context's `publish`. */
  readonly publish: (value: PublishedValue<C>, options?: PublishOptions) => Promise<void>;
};

export type PublishOptions = CallOptions & {
  /** Events published again with the same key and value are published once. 1 to 256 characters. */
  readonly idempotencyKey?: string | undefined;
};

/** What events are published to, as if it were an entity: with a key of topic and key, so that they go to the shard that keeps them. */
export const topicType = "sheaf.topic";
export const topicKey = (topic: string, key: string): string => `${topic}/${key}`;

/** Where an event is published. The key is made of what was given, so that it may be no event at all: whoever keeps it checks. */
function topicAddress({ name, key }: TopicShape, value: unknown): Address {
  let found: unknown = "";
  try {
    found = key?.(value as never) ?? "";
  } catch {} // It is no event, then.
  return { kind: "command", entity: topicType, key: topicKey(name, String(found)), name: "publish" };
}

/** `(input)` of a command that nobody waits for. */
type OneWay<Operation> = Operation extends { readonly input: object }
  ? undefined extends SentInput<Operation>
    ? (input?: SentInput<Operation>) => void
    : (input: SentInput<Operation>) => void
  : () => void;

/** One entity as those see it who leave commands for it. */
export type EntityInbox<C extends EntityShape> = { readonly [N in keyof C["commands"]]: OneWay<C["commands"][N]> };

/** Leaves commands for other entities, and jobs in queues. */
export interface Sender {
  entity<C extends EntityShape>(contract: C, key: string): EntityInbox<C>;
  queue<C extends QueueShape>(contract: C): QueueInbox<C>;
}

/** What Sheaf's own entities can leave besides: calls of procedures, carried out at least once. */
export interface SystemSender extends Sender {
  service(contract: ServiceShape): Readonly<Record<string, (input: unknown) => void>>;
}

/** A sender whose commands `leave` keeps. It may throw. */
export const bindSender = (leave: (address: Address, input: unknown) => void): SystemSender => ({
  service: (contract) => bound(contract, "", leave as unknown as Invoke) as ReturnType<SystemSender["service"]>,
  entity: <C extends EntityShape>(contract: C, key: string) =>
    bindEntity(contract, key, leave as unknown as Invoke) as unknown as EntityInbox<C>,
  queue: (contract) => bindQueueInbox(contract, leave),
});

/** A client whose calls `invoke` carries out. */
export const bindClient = <A extends AppContractShape = AppContractShape>(invoke: Invoke): Client<A> => ({
  entity: (contract, key) => bindEntity(contract, key, invoke),
  service: (contract) => bindService(contract, invoke),
  queue: (contract) => bindQueue(contract, invoke),
  topic: (contract) => ({
    publish: (value, options) => invoke(topicAddress(contract, value), value, options) as Promise<void>,
  }),
});

/** The face of one entity. Throws USAGE when the key is not a non-empty string. */
export function bindEntity<C extends EntityShape>(contract: C, key: string, invoke: Invoke): EntityClient<C> {
  if (typeof key !== "string" || key === "")
    throw new SheafError("USAGE", `an entity's key is a non-empty string; ${contract.name} got ${JSON.stringify(key)}`);
  return bound(contract, key, invoke) as EntityClient<C>;
}

/** The face of a service. */
export const bindService = <C extends ServiceShape>(contract: C, invoke: Invoke): ServiceClient<C> =>
  bound(contract, "", invoke) as ServiceClient<C>;

const keyOf = Symbol("key");
const invokeOf = Symbol("invoke");
type Bound = { readonly [keyOf]: string; readonly [invokeOf]: Invoke };

/** One prototype per contract, so that binding an entity allocates one small object however many operations it has. */
const prototypes = new WeakMap<EntityShape | ServiceShape, object>();

function bound(contract: EntityShape | ServiceShape, key: string, invoke: Invoke): object {
  let prototype = prototypes.get(contract);
  if (prototype === undefined) prototypes.set(contract, (prototype = prototypeOf(contract)));
  const face = Object.create(prototype) as { [keyOf]: string; [invokeOf]: Invoke };
  face[keyOf] = key; // assigned, not given to Object.create: descriptors cost fifty times as much, on every call
  face[invokeOf] = invoke;
  return face;
}

/** Getters, not methods: `const { withdraw } = bank.entity(Account, "acc-7")` works. No `then`, so a face can be awaited by mistake. */
function prototypeOf(contract: EntityShape | ServiceShape): object {
  const prototype = Object.create(null) as object;
  const add = (name: string, takesInput: boolean, addressOf: (key: string) => Address): void => {
    Object.defineProperty(prototype, name, {
      enumerable: true,
      get(this: Bound) {
        const invoke = this[invokeOf];
        const address = addressOf(this[keyOf]);
        return takesInput
          ? (input: unknown, options?: CommandOptions) => invoke(address, input, options)
          : (options?: CommandOptions) => invoke(address, undefined, options);
      },
    });
  };
  if (contract.kind === "service") {
    const service = contract.name;
    for (const [name, shape] of Object.entries(contract.procedures)) {
      add(name, shape.input !== undefined, () => ({ kind: "procedure", service, name }));
    }
    return Object.freeze(prototype);
  }
  const entity = contract.name;
  for (const kind of ["command", "query"] as const) {
    for (const [name, shape] of Object.entries(kind === "command" ? contract.commands : contract.queries)) {
      add(name, shape.input !== undefined, (key) => ({ kind, entity, key, name }));
    }
  }
  return Object.freeze(prototype);
}

// Contracts and implementations made ready to run: every check is built once, so that a call looks up one map and runs closures.

import { SheafError } from "../base/index.ts";
import { feedOf } from "./entity.ts";
import { plain } from "./plain.ts";
import type {
  AppShape,
  CommandShape,
  EntityImplementation,
  EntityShape,
  Handler,
  Level,
  QueryShape,
  Schema,
  ServiceImplementation,
  ServiceShape,
  SubscriptionShape,
  TopicShape,
} from "./shape.ts";
import { upgrade } from "./state.ts";
import type { TopicEvent } from "./topic.ts";
import { checker, type Check } from "./validate.ts";
import { compileQueue, type CompiledQueue, queueContract } from "./worker.ts";

/** One command, query or procedure as its contract has it, ready to be checked against. */
export type Spoken = {
  readonly kind: "command" | "query" | "procedure";
  readonly name: string;
  /** `account.withdraw`: how messages, logs and metrics name it. */
  readonly label: string;
  /** For queries: the level when the caller names none. */
  readonly consistency: Level;
  readonly takesInput: boolean;
  /** The input as the handler gets it. Throws BAD_INPUT. */
  readonly input: Check;
  /** The handler's result as the caller gets it: valid, plain data. Throws BAD_OUTPUT. */
  readonly output: Check;
  /** The error to throw for `fail(name, data)`: DECLARED, or BAD_OUTPUT when the contract does not declare it so. */
  readonly declared: (name: string, data: unknown) => SheafError;
};

/** One command, query or procedure, ready to run. */
export type Operation = Spoken & { readonly handler: Handler };

/** An entity, ready to run. */
export type CompiledEntity = {
  readonly contract: EntityShape;
  /** Commands and queries by name. */
  readonly operations: ReadonlyMap<string, Operation>;
  /** The valid first state of a key. Throws BAD_STATE, or HANDLER_FAILED when `initial` throws. */
  readonly initial: (key: string) => object;
  /** A state as it may be kept: valid, plain data. Throws BAD_STATE. */
  readonly state: (value: unknown) => object;
  /** A stored state brought to the current version and validated. `value` is the caller's own copy. Throws STATE_TOO_NEW, BAD_STATE. */
  readonly restore: (version: number, value: unknown) => object;
  /** An event's value as it may be kept. Throws BAD_OUTPUT, also for a name that the contract does not have. */
  readonly event: (name: string, value: unknown) => unknown;
  /** The event that is its feed, where it has one. */
  readonly feed: string | undefined;
};

/** A service, ready to run. */
export type CompiledService = {
  readonly contract: ServiceShape;
  readonly operations: ReadonlyMap<string, Operation>;
  /** Calls that one node carries out at the same time, where they are fewer than of any service. */
  readonly concurrency?: number | undefined;
};

/** A topic, ready to be published to and read. */
export type CompiledTopic = {
  readonly contract: TopicShape;
  /** An event as it may be kept. Throws BAD_INPUT. */
  readonly event: Check;
  /** Of an event that may be kept. Throws HANDLER_FAILED, BAD_INPUT for what is no key. */
  readonly key: (event: unknown) => string;
  /** A stored event brought to the current version. `value` is the caller's own copy. Throws STATE_TOO_NEW, BAD_STATE. */
  readonly restore: (version: number, value: unknown) => unknown;
};

/** A subscription, ready to run. */
export type CompiledSubscription = {
  readonly contract: SubscriptionShape;
  readonly topic: CompiledTopic;
  /** What is sent for an event, with a valid input: an item of one, with a batch. Throws BAD_INPUT, HANDLER_FAILED. */
  readonly make: (event: TopicEvent) => { readonly key?: string; readonly input?: unknown } | undefined;
  /** Throws BAD_INPUT unless what was made of the events of a batch is a valid input. */
  readonly whole: (inputs: readonly unknown[]) => void;
};

/** An application, ready to run: entities and services by name. */
export type CompiledApp = {
  readonly entities: ReadonlyMap<string, CompiledEntity>;
  readonly services: ReadonlyMap<string, CompiledService>;
  /** Procedures of services that run elsewhere, by service and name. */
  readonly external: ReadonlyMap<string, ReadonlyMap<string, Spoken>>;
  readonly topics: ReadonlyMap<string, CompiledTopic>;
  readonly subscriptions: readonly CompiledSubscription[];
  readonly queues: ReadonlyMap<string, CompiledQueue>;
};

export function compileApp(app: AppShape): CompiledApp {
  return {
    entities: new Map(app.entities.map((entity) => [entity.contract.name, entityOnce(entity)])),
    services: new Map(app.services.map((service) => [service.contract.name, serviceOnce(service)])),
    external: new Map((app.external ?? []).map((contract) => [contract.name, compileExternal(contract)])),
    topics: new Map((app.contract.topics ?? []).map((topic) => [topic.name, topicOnce(topic)])),
    subscriptions: (app.subscriptions ?? []).map(subscriptionOnce),
    queues: new Map((app.queues ?? []).map((queue) => [queueContract(queue).name, queueOnce(queue)])),
  };
}

/** Nodes of one process share what is ready, and a reload makes only what is new. */
function once<From extends object, To>(make: (from: From) => To): (from: From) => To {
  const made = new WeakMap<From, To>();
  return (from) => {
    let ready = made.get(from);
    if (ready === undefined) made.set(from, (ready = make(from)));
    return ready;
  };
}

const entityOnce = once(compileEntity);
const serviceOnce = once(compileService);
export const topicOnce = once(compileTopic);
const subscriptionOnce = once(compileSubscription);
const queueOnce = once(compileQueue);

const compileExternal = ({ name: service, procedures }: ServiceShape): ReadonlyMap<string, Spoken> =>
  new Map(
    Object.entries(procedures).map(([name, shape]) => [name, spoken("procedure", `${service}.${name}`, name, shape)]),
  );

export function compileService({ contract, handlers, concurrency }: ServiceImplementation): CompiledService {
  const operations = new Map(operationsOf("procedure", contract.name, contract.procedures, handlers));
  return { contract, operations, concurrency };
}

export function compileEntity({ contract, handlers, initial }: EntityImplementation): CompiledEntity {
  const what = `the state of ${contract.name}`;
  const valid = checker(contract.state.schema, what, "BAD_STATE");
  const state = (value: unknown): object => {
    const kept = plain(valid(value), what, "BAD_STATE");
    if (typeof kept === "object" && kept !== null && !(kept instanceof Uint8Array)) return kept;
    throw new SheafError("BAD_STATE", `${what} must be an object or an array`);
  };
  const feed = feedOf(contract);
  const events = keepers(contract.events, (name) => `the event ${name} of ${contract.name}`);
  return {
    contract,
    operations: new Map([
      ...operationsOf("command", contract.name, contract.commands, handlers),
      ...operationsOf("query", contract.name, contract.queries, handlers),
    ]),
    initial: (key) => state(firstState(initial, key, what)),
    state,
    restore: (version, value) => state(upgrade(contract.state, version, value, what)),
    feed,
    event: (name, value) => {
      const keep = events.get(name);
      if (keep === undefined) throw new SheafError("BAD_OUTPUT", `${contract.name} declares no event "${name}"`);
      return keep(value);
    },
  };
}

function compileTopic(contract: TopicShape): CompiledTopic {
  const { name, event, key } = contract;
  const what = `an event of ${name}`;
  const valid = checker(event.schema, what, "BAD_INPUT");
  const restored = checker(event.schema, what, "BAD_STATE");
  return {
    contract,
    event: (value) => plain(valid(value), what, "BAD_INPUT"),
    key: (value) => (key ? keyOf(name, key as (value: unknown) => unknown, value) : ""),
    restore: (version, value) => (version === event.version ? value : restored(upgrade(event, version, value, what))),
  };
}

/** Characters. */
const maxTopicKey = 256;

function keyOf(topic: string, key: (event: unknown) => unknown, event: unknown): string {
  const found = userCode(`the key of topic ${topic}`, () => key(event));
  if (typeof found === "string" && found !== "" && found.length <= maxTopicKey && found.isWellFormed()) return found;
  throw new SheafError("BAD_INPUT", `the key of topic ${topic} is not a string of 1 to ${maxTopicKey} characters`);
}

/** Runs what users wrote. Throws HANDLER_FAILED when it throws. */
function userCode<T>(what: string, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw new SheafError("HANDLER_FAILED", `${what} threw: ${String(cause)}`, { cause });
  }
}

function compileSubscription(contract: SubscriptionShape): CompiledSubscription {
  const { name, topic, target } = contract;
  const [label, schema] =
    target.kind === "command"
      ? [`${target.entity.name}.${target.command}`, target.entity.commands[target.command]?.input]
      : [`${target.service.name}.${target.procedure}`, target.service.procedures[target.procedure]?.input];
  const input = checker(schema, `the input of ${label}`, "BAD_INPUT");
  return {
    contract,
    topic: topicOnce(topic),
    make: (event) => {
      const made = userCode(`subscription ${name}`, () => contract.make(event as never));
      if (made === undefined) return undefined;
      const { key } = made;
      if (target.kind === "command" && (typeof key !== "string" || key === "" || !key.isWellFormed()))
        throw new SheafError("BAD_INPUT", `subscription ${name} made no key for its command`);
      input(contract.batch ? [made.input] : made.input);
      return made;
    },
    whole: input,
  };
}

function firstState(initial: (key: string) => unknown, key: string, what: string): unknown {
  return userCode(`initial, which makes ${what},`, () => initial(key));
}

function operationsOf(
  kind: Operation["kind"],
  owner: string,
  shapes: Readonly<Record<string, CommandShape & QueryShape>>,
  handlers: Readonly<Record<string, Handler>>,
): [string, Operation][] {
  return Object.entries(shapes).map(([name, shape]) => {
    const handler = handlers[name];
    if (handler === undefined) throw new SheafError("USAGE", `${owner} has no handler for ${kind} ${name}`);
    return [name, { ...spoken(kind, `${owner}.${name}`, name, shape), handler }];
  });
}

function spoken(kind: Operation["kind"], label: string, name: string, shape: CommandShape & QueryShape): Spoken {
  const errors = keepers(shape.errors ?? {}, (error) => `the error ${error} of ${label}`);
  return {
    kind,
    name,
    label,
    consistency: shape.consistency ?? "strong",
    takesInput: shape.input !== undefined,
    input: checker(shape.input, `the input of ${label}`, "BAD_INPUT"),
    output: keeper(shape.output, `the output of ${label}`),
    declared: (error, data) => {
      const keep = errors.get(error);
      if (keep === undefined)
        return new SheafError("BAD_OUTPUT", `${label} failed with "${error}", which its contract does not declare`);
      try {
        return new SheafError("DECLARED", `${label} refused: ${error}`, { name: error, data: keep(data) });
      } catch (unfit) {
        if (unfit instanceof SheafError) return unfit;
        throw unfit;
      }
    },
  };
}

/** Validates, and makes plain, what leaves a handler. */
function keeper(schema: Schema | undefined, what: string): Check {
  const valid = checker(schema, what, "BAD_OUTPUT");
  return (value) => plain(valid(value), what, "BAD_OUTPUT");
}

const keepers = (
  schemas: Readonly<Record<string, Schema>>,
  what: (name: string) => string,
): ReadonlyMap<string, Check> =>
  new Map(Object.entries(schemas).map(([name, schema]) => [name, keeper(schema, what(name))]));

// app() and contract(): what belongs together, with and without the code that runs it.

import { SheafError } from "../base/index.ts";
import { checkFields, checkName } from "./names.ts";
import { checkSchedules } from "./schedule.ts";
import { queueContract } from "./worker.ts";
import type {
  AppContractShape,
  AppShape,
  EntityImplementation,
  EntityShape,
  QueueImplementation,
  QueueShape,
  ScheduleShape,
  ServiceImplementation,
  ServiceShape,
  SubscriptionShape,
  TopicShape,
} from "./shape.ts";

/** The contracts of an application, without any of its code: what `connect()` needs. */
export interface AppContract<
  N extends string,
  E extends readonly EntityShape[],
  S extends readonly ServiceShape[],
> extends AppContractShape {
  readonly name: N;
  readonly entities: E;
  readonly services: S;
  readonly topics: readonly TopicShape[];
}

/** An application: the implementations that a node runs, and their contracts. */
export interface App<
  N extends string,
  E extends readonly EntityImplementation[],
  S extends readonly ServiceImplementation[],
  X extends readonly ServiceShape[] = readonly [],
> extends AppShape {
  readonly name: N;
  readonly entities: E;
  readonly services: S;
  readonly external: X;
  readonly schedules: readonly ScheduleShape[];
  readonly subscriptions: readonly SubscriptionShape[];
  readonly contract: AppContract<N, ContractsOf<E>, readonly [...ContractsOf<S>, ...X]>;
}

type ContractsOf<T extends readonly { readonly contract: unknown }[]> = { readonly [I in keyof T]: T[I]["contract"] };

/**
 * Names the contracts that make up an application. Imports no implementation, so a browser can load it.
 * Throws USAGE when a name is not allowed, or belongs to two of them.
 *
 * @example export const bank = contract("bank", { entities: [Account], services: [Rates] });
 */
export function contract<
  const N extends string,
  const E extends readonly EntityShape[] = readonly [],
  const S extends readonly ServiceShape[] = readonly [],
>(
  name: N,
  parts: {
    readonly entities?: E;
    readonly services?: S;
    readonly topics?: readonly TopicShape[];
    readonly queues?: readonly QueueShape[];
  },
): AppContract<N, E, S> {
  checkName("app", name);
  checkFields(`app ${name}`, parts, ["entities", "services", "topics", "queues"]);
  const { entities = [] as unknown as E, services = [] as unknown as S, topics = [], queues = [] } = parts;
  const seen = new Set<string>();
  for (const [part, kind] of [
    ...entities.map((e) => [e, "entity"] as const),
    ...services.map((s) => [s, "service"] as const),
    ...topics.map((t) => [t, "topic"] as const),
    ...queues.map((q) => [q, "queue"] as const),
  ]) {
    if (part?.kind !== kind)
      throw new SheafError("USAGE", `app ${name}: something among its ${kind} contracts is not one`);
    if (seen.has(part.name))
      throw new SheafError(
        "USAGE",
        `app ${name}: two of its entities, services, topics and queues are named "${part.name}"`,
      );
    seen.add(part.name);
  }
  return Object.freeze({
    kind: "contract",
    name,
    entities: frozenList(entities),
    services: frozenList(services),
    topics: frozenList(topics),
    queues: frozenList(queues),
  });
}

/**
 * Puts implementations together into an application, the default export of an app file. Its `contract` is what callers connect with.
 * In place of a name it takes a contract made apart (for browsers); then exactly that contract's entities and services are to be given.
 * `external` are services that run outside of the cluster, given as contracts: they are called as any other, at the addresses that an
 * operator registers with `sheaf endpoint add`. `schedules` are begun by whichever node serves them.
 * `topics` take events, and `subscriptions` say what is done with each; a subscription's topic need not be listed again.
 * `queues` keep jobs, which their workers do where one is given.
 * Throws USAGE when a name is not allowed or belongs to two, and when an implementation is missing.
 *
 * @example export default app("bank", { entities: [account], services: [rates] });
 */
export function app<
  const N extends string,
  const E extends readonly EntityImplementation[] = readonly [],
  const S extends readonly ServiceImplementation[] = readonly [],
  const X extends readonly ServiceShape[] = readonly [],
>(
  name: N | (AppContractShape & { readonly name: N }),
  parts: {
    readonly entities?: E;
    readonly services?: S;
    readonly external?: X;
    readonly schedules?: readonly ScheduleShape[];
    readonly topics?: readonly TopicShape[];
    readonly subscriptions?: readonly SubscriptionShape[];
    readonly queues?: readonly (QueueImplementation | QueueShape)[];
  },
): App<N, E, S, X> {
  const named = typeof name === "string" ? name : name.name;
  checkFields(`app ${named}`, parts, [
    "entities",
    "services",
    "external",
    "schedules",
    "topics",
    "subscriptions",
    "queues",
  ]);
  const { entities = [] as unknown as E, services = [] as unknown as S, external = [] as unknown as X } = parts;
  for (const part of [...entities, ...services]) {
    if (typeof part?.handlers === "object") continue;
    throw new SheafError("USAGE", `app ${named} is made of implementations`, {
      hint: "Give it Account.implement({ … }), not Account.",
    });
  }
  const { schedules = [], subscriptions = [], topics = [], queues = [] } = parts;
  const own = contract(named, {
    entities: contractsOf(entities),
    services: [...contractsOf(services), ...external],
    topics: allTopics(topics, subscriptions),
    queues: queues.map(queueContract),
  });
  if (typeof name !== "string") checkSame(name, own);
  checkSchedules(named, schedules, own);
  checkSubscriptions(named, subscriptions, own);
  return Object.freeze({
    kind: "app",
    name: named,
    entities: frozenList(entities),
    services: frozenList(services),
    external: frozenList(external),
    schedules: frozenList(schedules),
    subscriptions: frozenList(subscriptions),
    queues: frozenList(queues),
    contract: own as unknown as App<N, E, S, X>["contract"],
  });
}

const frozenList = <T extends readonly unknown[]>(list: T): T => Object.freeze([...list]) as readonly unknown[] as T;

const contractsOf = <C>(list: readonly { readonly contract: C }[]): readonly C[] => list.map((part) => part.contract);

/** Those that are listed, and those of subscriptions that are no entity's. */
const allTopics = (
  topics: readonly TopicShape[],
  subscriptions: readonly SubscriptionShape[],
): readonly TopicShape[] => [
  ...new Set([...topics, ...subscriptions.map(({ topic }) => topic).filter(({ name }) => !name.includes("."))]),
];

/** Throws USAGE when two have one name, or one is for an entity or of events that are not the app's. */
function checkSubscriptions(
  app: string,
  subscriptions: readonly SubscriptionShape[],
  { entities, services }: AppContractShape,
): void {
  const seen = new Set<string>();
  for (const { kind, name, topic, target } of subscriptions) {
    const usage = (says: string): SheafError => new SheafError("USAGE", `app ${app}: ${says}`);
    if (kind !== "subscription") throw usage("something among its subscriptions is not one");
    if (seen.has(name)) throw usage(`two of its subscriptions are named "${name}"`);
    seen.add(name);
    const part = target.kind === "command" ? target.entity : target.service;
    if (!(part.kind === "entity" ? entities.includes(part) : services.includes(part)))
      throw usage(`the subscription ${name} is for the ${part.kind} ${part.name}, which it does not have`);
    const [entity] = topic.name.split(".");
    if (topic.name.includes(".") && !entities.some((each) => each.name === entity))
      throw usage(`the subscription ${name} is of events of the entity ${entity}, which it does not have`);
  }
}

const partsOf = ({
  entities,
  services,
  topics = [],
  queues = [],
}: AppContractShape): readonly { readonly name: string }[] => [...entities, ...services, ...topics, ...queues];

function checkSame(wanted: AppContractShape, given: AppContractShape): void {
  const has = new Set<unknown>(partsOf(given));
  const wants = new Set<unknown>(partsOf(wanted));
  const missing = partsOf(wanted).filter((part) => !has.has(part));
  const extra = partsOf(given).filter((part) => !wants.has(part));
  const list = (parts: readonly { readonly name: string }[]): string => parts.map((part) => part.name).join(", ");
  if (missing.length > 0)
    throw new SheafError("USAGE", `app ${wanted.name}: no implementation of ${list(missing)} is given`);
  if (extra.length > 0) throw new SheafError("USAGE", `app ${wanted.name}: its contract does not have ${list(extra)}`);
}

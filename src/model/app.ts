// app() and contract(): what belongs together, with and without the code that runs it.

import { SheafError } from "../base/index.ts";
import { checkFields, checkName } from "./names.ts";
import { checkSchedules } from "./schedule.ts";
import type {
  AppContractShape,
  AppShape,
  EntityImplementation,
  EntityShape,
  ScheduleShape,
  ServiceImplementation,
  ServiceShape,
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
>(name: N, parts: { readonly entities?: E; readonly services?: S }): AppContract<N, E, S> {
  checkName("app", name);
  checkFields(`app ${name}`, parts, ["entities", "services"]);
  const { entities = [] as unknown as E, services = [] as unknown as S } = parts;
  const seen = new Set<string>();
  for (const [part, kind] of [
    ...entities.map((e) => [e, "entity"] as const),
    ...services.map((s) => [s, "service"] as const),
  ]) {
    if (part?.kind !== kind)
      throw new SheafError("USAGE", `app ${name}: something among its ${kind} contracts is not one`);
    if (seen.has(part.name))
      throw new SheafError("USAGE", `app ${name}: two of its entities and services are named "${part.name}"`);
    seen.add(part.name);
  }
  return Object.freeze({ kind: "contract", name, entities: frozenList(entities), services: frozenList(services) });
}

/**
 * Puts implementations together into an application, the default export of an app file. Its `contract` is what callers connect with.
 * In place of a name it takes a contract made apart (for browsers); then exactly that contract's entities and services are to be given.
 * `external` are services that run outside of the cluster, given as contracts: they are called as any other, at the addresses that an
 * operator registers with `sheaf endpoint add`. `schedules` are begun by whichever node serves them.
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
  },
): App<N, E, S, X> {
  const named = typeof name === "string" ? name : name.name;
  checkFields(`app ${named}`, parts, ["entities", "services", "external", "schedules"]);
  const { entities = [] as unknown as E, services = [] as unknown as S, external = [] as unknown as X } = parts;
  for (const part of [...entities, ...services]) {
    if (typeof part?.handlers === "object") continue;
    throw new SheafError("USAGE", `app ${named} is made of implementations`, {
      hint: "Give it Account.implement({ … }), not Account.",
    });
  }
  const own = contract(named, { entities: contractsOf(entities), services: [...contractsOf(services), ...external] });
  if (typeof name !== "string") checkSame(name, own);
  const { schedules = [] } = parts;
  checkSchedules(named, schedules, own.entities);
  return Object.freeze({
    kind: "app",
    name: named,
    entities: frozenList(entities),
    services: frozenList(services),
    external: frozenList(external),
    schedules: frozenList(schedules),
    contract: own as unknown as App<N, E, S, X>["contract"],
  });
}

const frozenList = <T extends readonly unknown[]>(list: T): T => Object.freeze([...list]) as readonly unknown[] as T;

const contractsOf = <C>(list: readonly { readonly contract: C }[]): readonly C[] => list.map((part) => part.contract);

function checkSame(wanted: AppContractShape, given: AppContractShape): void {
  const has = new Set<unknown>([...given.entities, ...given.services]);
  const wants = new Set<unknown>([...wanted.entities, ...wanted.services]);
  const missing = [...wanted.entities, ...wanted.services].filter((part) => !has.has(part));
  const extra = [...given.entities, ...given.services].filter((part) => !wants.has(part));
  const list = (parts: readonly { readonly name: string }[]): string => parts.map((part) => part.name).join(", ");
  if (missing.length > 0)
    throw new SheafError("USAGE", `app ${wanted.name}: no implementation of ${list(missing)} is given`);
  if (extra.length > 0) throw new SheafError("USAGE", `app ${wanted.name}: its contract does not have ${list(extra)}`);
}

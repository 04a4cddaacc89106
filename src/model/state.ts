// Versions of a state's schema. A record keeps the version it was written with; older states are upgraded when they are read.

import type { StandardSchemaV1 } from "@standard-schema/spec";
import { SheafError } from "../base/index.ts";
import type { Schema, StateShape } from "./shape.ts";

/** A state is a document that handlers change in place: its schema's output is an object or an array. */
export type StateSchema = StandardSchemaV1<unknown, object>;

/** A state's schema with its version and the way there from older versions. */
export type VersionedState<S extends Schema = Schema> = StateShape & { readonly schema: S };

/** The schema of a definition's `state`, plain or versioned. */
export type SchemaOf<T> = T extends Schema ? T : T extends { readonly schema: infer S extends Schema } ? S : never;

/** 1 | 2 | … | N − 1. */
type Before<N extends number, Count extends unknown[] = [unknown], Below = never> = number extends N
  ? number
  : Count["length"] extends N
    ? Below
    : Before<N, [...Count, unknown], Below | Count["length"]>;

/** Whether V + 1 = N. */
type IsLast<V, N extends number, Count extends unknown[] = []> = Count["length"] extends V
  ? [...Count, unknown]["length"] extends N
    ? true
    : false
  : IsLast<V, N, [...Count, unknown]>;

/** One step for every version before N; the last one's result is what the schema takes. */
export type Upgrades<N extends number, S extends Schema> = {
  readonly [V in Before<N>]: (old: never) => IsLast<V, N> extends true ? StandardSchemaV1.InferInput<S> : unknown;
};

/**
 * A state schema at version `version` (1, 2, …) with one upgrade for every version before it. `upgrades[n]` takes a state that was
 * valid under version n, written out as its parameter's type, and returns one for version n + 1. The last result is validated.
 * Upgrades must be pure; they run again whenever an old state is read into memory, until a command writes the entity.
 *
 * Throws USAGE when a step is missing or one too many is given. Versions only ever rise: a node that meets a state of a version
 * it does not know refuses it with STATE_TOO_NEW and leaves it as it is.
 *
 * @example
 * state: versioned(2, z.object({ cents: z.number().int() }), {
 *   1: (old: { euros: number }) => ({ cents: old.euros * 100 }),
 * })
 */
export function versioned<const N extends number, S extends StateSchema>(
  version: N,
  schema: S,
  upgrades: Upgrades<N, S>,
): VersionedState<S> {
  if (!Number.isSafeInteger(version) || version < 1)
    throw new SheafError("USAGE", `state version ${version}: versions are 1, 2, 3 …`);
  const steps: StateShape["upgrades"] = upgrades;
  const given = Object.keys(steps);
  for (let v = 1; v < version; v++) {
    if (typeof steps[v] !== "function") {
      throw new SheafError("USAGE", `state version ${version}: the upgrade from version ${v} to ${v + 1} is missing`);
    }
  }
  const extra = given.find((key) => !/^[1-9]\d*$/.test(key) || Number(key) >= version);
  if (extra !== undefined)
    throw new SheafError("USAGE", `state version ${version} has no use for an upgrade from "${extra}"`);
  return Object.freeze({ version, schema, upgrades: Object.freeze({ ...upgrades }) });
}

/** A definition's `state` as the runtime reads it: a schema alone is version 1. */
export function stateShape(what: string, state: Schema | StateShape): StateShape {
  if (isSchema(state)) return Object.freeze({ version: 1, schema: state, upgrades: Object.freeze({}) });
  if (typeof state === "object" && state !== null && isSchema(state.schema)) return state;
  throw new SheafError("USAGE", `${what}: state must be a Standard Schema or versioned(…)`);
}

/** Whether a value is a schema of a Standard Schema library (some are functions). */
export function isSchema(value: unknown): value is Schema {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false;
  const standard: unknown = (value as Partial<Schema>)["~standard"];
  return (
    typeof standard === "object" &&
    standard !== null &&
    typeof (standard as Schema["~standard"]).validate === "function"
  );
}

/**
 * A stored state brought to the current version, not validated yet. `value` is the stored plain data of version `stored`; it is the
 * caller's own copy, since an upgrade may change it in place.
 * Throws STATE_TOO_NEW for a version above the current one, BAD_STATE when an upgrade throws.
 *
 * @param what begins messages, for example "the state of account".
 */
export function upgrade(state: StateShape, stored: number, value: unknown, what = "the state"): unknown {
  if (stored > state.version) {
    throw new SheafError(
      "STATE_TOO_NEW",
      `${what} was written at version ${stored}; this node knows versions up to ${state.version}`,
    );
  }
  let current = value;
  for (let version = stored; version < state.version; version++) {
    const step = state.upgrades[version] as ((old: unknown) => unknown) | undefined;
    if (step === undefined)
      throw new SheafError("BAD_STATE", `${what} is stored at version ${version}, which has no upgrade`);
    try {
      current = step(current);
    } catch (cause) {
      const message = `${what}: the upgrade from version ${version} to ${version + 1} threw: ${String(cause)}`;
      throw new SheafError("BAD_STATE", message, { cause });
    }
  }
  return current;
}

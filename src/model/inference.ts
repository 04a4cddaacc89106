// What types follow from a contract. A schema has two: what is handed in, and what comes out (defaults filled in, transformed).
// Callers write an input's first type and handlers read its second; handlers write an output's first and callers read its second.

import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { CommandShape, EntityShape, ProcedureShape, QueryShape, Schema, ServiceShape } from "./shape.ts";

export type Commands = Readonly<Record<string, CommandShape>>;
export type Queries = Readonly<Record<string, QueryShape>>;
export type Procedures = Readonly<Record<string, ProcedureShape>>;
export type Schemas = Readonly<Record<string, Schema>>;
/** No members: what a contract that leaves out queries or events has. */
export type None = Readonly<Record<never, never>>;

/** What the caller passes; undefined when the operation takes no input. */
export type SentInput<O> = O extends { readonly input: infer S extends Schema }
  ? StandardSchemaV1.InferInput<S>
  : undefined;
/** What the handler gets; undefined when the operation takes no input. */
export type HandlerInput<O> = O extends { readonly input: infer S extends Schema }
  ? StandardSchemaV1.InferOutput<S>
  : undefined;
/** What the handler returns, or promises; nothing when the operation has no output. */
export type HandlerOutput<O> = O extends { readonly output: infer S extends Schema }
  ? StandardSchemaV1.InferInput<S>
  : void;
/** What the caller receives; nothing when the operation has no output. */
export type ReceivedOutput<O> = O extends { readonly output: infer S extends Schema }
  ? StandardSchemaV1.InferOutput<S>
  : void;
/** An operation's declared errors, schemas by name. */
export type ErrorsOf<O> = O extends { readonly errors: infer E extends Schemas } ? E : None;

/** Every operation of a contract by name: commands and queries of an entity, procedures of a service. */
export type OperationsOf<C extends EntityShape | ServiceShape> = C extends EntityShape
  ? C["commands"] & C["queries"]
  : C extends ServiceShape
    ? C["procedures"]
    : never;

/** The input types of a contract's events or errors. */
export type ValueOf<S> = S extends Schema ? StandardSchemaV1.InferInput<S> : never;

/** A trailing argument that may be left out when its type allows undefined. */
export type Optional<T> = undefined extends T ? [data?: T] : [data: T];

/** Refuses properties that `Allowed` does not have, at any member of a definition. */
export type Only<Members, Allowed> = {
  readonly [M in keyof Members]: { readonly [F in keyof Members[M]]: F extends keyof Allowed ? unknown : never };
};

type Leaf =
  | string
  | number
  | boolean
  | bigint
  | symbol
  | null
  | undefined
  | Uint8Array
  | Date
  | ((...args: never) => unknown);

/** The type with every property and item read-only, at every depth. */
export type Frozen<T> = T extends Leaf ? T : { readonly [K in keyof T]: Frozen<T[K]> };

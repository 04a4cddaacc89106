// Errors that a contract declares, at the caller: typed again.

import type { StandardSchemaV1 } from "@standard-schema/spec";
import { SheafError } from "../base/index.ts";
import type { ErrorsOf, OperationsOf } from "./inference.ts";
import type { CommandShape, EntityShape, Schema, ServiceShape } from "./shape.ts";

type ErrorNames<C extends EntityShape | ServiceShape, O extends keyof OperationsOf<C>> = keyof ErrorsOf<
  OperationsOf<C>[O]
> &
  string;
type ErrorValue<C extends EntityShape | ServiceShape, O extends keyof OperationsOf<C>, N> =
  N extends ErrorNames<C, O>
    ? ErrorsOf<OperationsOf<C>[O]>[N] extends infer S extends Schema
      ? StandardSchemaV1.InferOutput<S>
      : never
    : never;

/** A SheafError whose `error` and `data` are known. */
export type DeclaredError<Name extends string, Value> = SheafError & {
  readonly code: "DECLARED";
  readonly error: Name;
  readonly data: Value;
};

/**
 * Whether a caught error is the one that `contract` declares as `name` for `operation`. If so, `error.data` has its declared type.
 * It goes by the error's name: keep one call in the `try`, or give errors of different contracts different names.
 *
 * @example
 * try {
 *   await bank.entity(Account, "acc-7").withdraw({ cents: 500 });
 * } catch (error) {
 *   if (isDeclared(error, Account, "withdraw", "INSUFFICIENT")) return `short by ${error.data.short}`;
 *   throw error;
 * }
 */
export function isDeclared<
  C extends EntityShape | ServiceShape,
  O extends keyof OperationsOf<C> & string,
  N extends ErrorNames<C, O>,
>(error: unknown, contract: C, operation: O, name: N): error is DeclaredError<N, ErrorValue<C, O, N>> {
  if (!(error instanceof SheafError) || error.code !== "DECLARED" || error.error !== name) return false;
  const operations: Readonly<Record<string, CommandShape>> =
    contract.kind === "service" ? contract.procedures : { ...contract.commands, ...contract.queries };
  return Object.hasOwn(operations[operation]?.errors ?? {}, name);
}

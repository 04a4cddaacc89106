// Checks values against schemas of any Standard Schema library, and turns what is wrong into one SheafError with paths.
//
// Validation is synchronous: it runs between reading a command and running it, where a pause would let another one in. A schema that
// answers with a promise is refused with USAGE the first time it does; look things up in the handler instead. zod also answers with a
// promise when code in a schema (a refine, a transform) throws; that cannot be told apart in time, so the message names both.

import { SheafError, type ErrorCode, type Issue } from "../base/index.ts";
import type { Schema } from "./shape.ts";

/** A validation step: returns what the schema makes of the value (defaults filled in, transformed), or throws SheafError. */
export type Check = (value: unknown) => unknown;

/** More problems than this are left out: a refusal must not be larger than what it refuses. */
const maxIssues = 100;

/**
 * A check of values against `schema`; without a schema the only value is `undefined`.
 * The check throws `code` with `issues` when the value does not fit, USAGE when the schema answers with a promise,
 * HANDLER_FAILED when it throws.
 *
 * @param what begins messages, for example "the input of account.withdraw".
 */
export function checker(schema: Schema | undefined, what: string, code: ErrorCode): Check {
  if (schema === undefined) {
    return (value) => {
      if (value === undefined) return undefined;
      throw refusal(code, what, [{ path: [], message: "the contract declares none" }]);
    };
  }
  const standard = schema["~standard"];
  return (value) => {
    let result;
    try {
      result = standard.validate(value);
    } catch (cause) {
      throw new SheafError("HANDLER_FAILED", `the schema of ${what} threw: ${String(cause)}`, { cause });
    }
    if ("then" in result) throw asyncRefused(result, what);
    if (result.issues === undefined) return result.value;
    throw refusal(code, what, issuesOf(result.issues));
  };
}

/** Validates once; see `checker`. For paths that are not hot. */
export const validate = (schema: Schema | undefined, value: unknown, what: string, code: ErrorCode): unknown =>
  checker(schema, what, code)(value);

/** The error for a value with problems. Its message names the first three with their paths. */
export function refusal(code: ErrorCode, what: string, issues: readonly Issue[]): SheafError {
  const shown = issues
    .slice(0, 3)
    .map((issue) => (issue.path.length === 0 ? issue.message : `${pointer(issue.path)}: ${issue.message}`));
  const more = issues.length > 3 ? `; and ${issues.length - 3} more` : "";
  return new SheafError(code, `${what} does not fit: ${shown.join("; ")}${more}`, {
    issues: issues.slice(0, maxIssues),
  });
}

/** A path as a JSON Pointer (RFC 6901): `["items", 0, "a/b"]` is `/items/0/a~1b`, the root is the empty string. */
export const pointer = (path: readonly (string | number)[]): string =>
  path.map((step) => `/${String(step).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");

type Found = Extract<
  Awaited<ReturnType<Schema["~standard"]["validate"]>>,
  { readonly issues: readonly unknown[] }
>["issues"];

const issuesOf = (found: Found): Issue[] =>
  found.map(({ path = [], message }) => ({
    path: path.map((step) => {
      const key = typeof step === "object" ? step.key : step;
      return typeof key === "symbol" ? String(key) : key;
    }),
    message,
  }));

function asyncRefused(result: PromiseLike<unknown>, what: string): SheafError {
  result.then(undefined, () => undefined); // its failure has nowhere to go and must not count as an unhandled rejection
  return new SheafError(
    "USAGE",
    `the schema of ${what} answered with a promise: it is asynchronous, which is not supported, or its own code threw`,
    {
      hint: "Check in the schema what the value alone can tell, without throwing, and look up the rest in the handler.",
    },
  );
}

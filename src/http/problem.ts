// Errors as RFC 9457 problem details. What a caller may act on crosses: code, retry, outcome, what was wrong and where.
// What happened inside does not: for every server-side failure the catalogue's sentence stands in for the message.

import { catalogue, type ErrorKind, type SheafError } from "../base/index.ts";
import { pointer } from "../model/index.ts";

export type Problem = {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly instance: string;
  readonly code: string;
  readonly retry: string;
  readonly outcome: string;
  readonly hint?: string;
  /** Declared errors: the name and value that the contract gives. */
  readonly error?: string;
  readonly data?: unknown;
  /** Bad input: each problem, with an RFC 6901 pointer into the input. */
  readonly errors?: readonly { readonly pointer: string; readonly detail: string }[];
  readonly retryAfterMs?: number;
};

export const problemType = "application/problem+json";

export type ProblemOptions = {
  /** Identifies this occurrence. */
  readonly instance: string;
  /** Show server-side messages too: only where the caller is the developer. */
  readonly reveal?: boolean | undefined;
};

export function problemOf(error: SheafError, options: ProblemOptions): Problem {
  const kind: ErrorKind = catalogue[error.code];
  const shown = options.reveal === true || kind.http < 500;
  return {
    type: `urn:sheaf:error:${error.code}`,
    title: kind.says,
    status: kind.http,
    detail: shown ? error.message : kind.says,
    instance: options.instance,
    code: error.code,
    retry: error.retry,
    outcome: error.outcome,
    ...(shown && error.hint !== undefined && { hint: error.hint }),
    ...(error.code === "DECLARED" && { error: error.error ?? "", data: error.data ?? null }),
    ...(shown &&
      error.issues !== undefined && {
        errors: error.issues.map((issue) => ({ pointer: pointer(issue.path), detail: issue.message })),
      }),
    ...(error.retryAfterMs !== undefined && { retryAfterMs: error.retryAfterMs }),
  };
}

/** Seconds for Retry-After, or undefined when the error does not ask to come back later. Overload always names a time. */
export function retryAfterSeconds(error: SheafError): number | undefined {
  const status: number = catalogue[error.code].http;
  if (error.retryAfterMs !== undefined) return Math.max(1, Math.ceil(error.retryAfterMs / 1000));
  return (status === 429 || status === 503) && error.retry !== "never" ? 1 : undefined;
}

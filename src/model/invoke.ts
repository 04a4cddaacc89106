// What a call is to whoever carries it out, before anything is known of how.

import type { Millis, Version } from "../base/index.ts";
import type { Level } from "./shape.ts";

/** What a caller may say about one call, besides its input. */
export type CallOptions = {
  /** Gives up after this long (DEADLINE). Default 10 s; at most 10 minutes, and never longer than the caller's own deadline. */
  readonly deadlineMs?: Millis | undefined;
  /** Gives up when it aborts (CANCELLED). */
  readonly signal?: AbortSignal | undefined;
};

export type CommandOptions = CallOptions & {
  /** Repeats with the same key run once and get the first answer; with another input they are IDEMPOTENCY_MISMATCH. 1 to 256 characters. */
  readonly idempotencyKey?: string | undefined;
  /** Runs only if the entity is at this version, else PRECONDITION_FAILED. */
  readonly ifVersion?: Version | undefined;
};

export type QueryOptions = CallOptions & {
  /** Instead of the level that the contract gives the query. */
  readonly consistency?: Level | undefined;
};

/** One call as a face hands it on: rpc's Target, structurally. */
export type Address =
  | { readonly kind: "command" | "query"; readonly entity: string; readonly key: string; readonly name: string }
  | { readonly kind: "procedure"; readonly service: string; readonly name: string };

/** Carries out one call. Resolves with the output; rejects with SheafError only. */
export type Invoke = (
  address: Address,
  input: unknown,
  options: (CommandOptions & QueryOptions) | undefined,
) => Promise<unknown>;

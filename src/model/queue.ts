// queue(): the contract of a queue of jobs, and the worker that does them.

import type { StandardSchemaV1 } from "@standard-schema/spec";
import { type Millis, SheafError } from "../base/index.ts";
import type { Client } from "./client.ts";
import type { ProcedureContext } from "./context.ts";
import { checkCounts, checkFields, checkName } from "./names.ts";
import type { QueueImplementation, QueueShape, RetryShape, Schema } from "./shape.ts";
import { isSchema } from "./state.ts";

/** What `queue` is given. */
export type QueueDefinition<I extends Schema, O extends Schema | undefined> = {
  /** What a job is given. Plain data. */
  readonly input: I;
  /** What comes of a job; nothing when absent. At most 64 KiB. */
  readonly output?: O;
  /** Jobs with the same key run one at a time, in the order in which they were added. Without it each job is for itself. */
  readonly key?: ((input: StandardSchemaV1.InferInput<I>) => string) | undefined;
  /** How often a job is begun before it becomes a dead letter. Default: the limit `maxAttempts`. */
  readonly attempts?: number | undefined;
  /** How long one attempt may take before the job may be begun again. Default 30 s, at most 10 minutes. */
  readonly visibilityMs?: Millis | undefined;
  /** Pauses between attempts: the first, each later one four times as long, up to the longest. */
  readonly retry?: RetryShape | undefined;
  /**
   * So many jobs are begun in any span of `perMs`, at most, by all workers and consumers of the cluster together; tries again count, too. They
   * are begun evenly, not at once. Default: as fast as can be.
   */
  readonly rate?: { readonly jobs: number; readonly perMs: Millis } | undefined;
};

/** The contract of a queue: data that those share who add jobs and those who do them. Safe to import anywhere. */
export interface QueueContract<
  N extends string = string,
  I extends Schema = Schema,
  O extends Schema | undefined = Schema | undefined,
> extends QueueShape {
  readonly name: N;
  readonly input: I;
  readonly output: O;
  /**
   * The worker: is given one job at a time by each of `concurrency` hands per node. When it throws the job is tried again after a pause.
   * A job may be begun again though it was done (its node died before that was kept): what it does should bear a repeat.
   */
  work(
    handler: (context: JobContext<I, O>) => JobReturn<O> | Promise<JobReturn<O>>,
    options?: WorkerOptions,
  ): WorkedQueue<QueueContract<N, I, O>>;
}

/** A queue with its worker. */
export interface WorkedQueue<C extends QueueShape = QueueShape> extends QueueImplementation {
  readonly contract: C;
}

export type WorkerOptions = {
  /** Jobs that one node does at the same time. Default 16. */
  readonly concurrency?: number | undefined;
};

type JobReturn<O> = O extends Schema ? StandardSchemaV1.InferInput<O> : void;

/** What a worker has of a job. */
export interface JobContext<I extends Schema, O extends Schema | undefined> extends Pick<
  ProcedureContext<{ readonly input: I; readonly output: O }>,
  "input" | "now" | "random" | "id" | "caller" | "signal" | "log"
> {
  /** The job's id: the same in each attempt. */
  readonly job: string;
  /** Counted from 1. */
  readonly attempt: number;
  /** Calls entities and services. A call that an earlier attempt made, too, is a repeat: it takes effect once. */
  readonly call: Client;
  /** Says how far the job is: plain data, for whoever asks. Kept in memory only, at the owner of the job. */
  readonly progress: (value: unknown) => Promise<void>;
}

/**
 * Defines a queue. Names as for `entity`; throws USAGE when one is not allowed.
 *
 * @example
 * export const Emails = queue("emails", { input: z.object({ to: z.string(), text: z.string() }), key: ({ to }) => to });
 * export const emails = Emails.work(async ({ input, job }) => post(input, job), { concurrency: 8 });
 */
export function queue<const N extends string, I extends Schema, O extends Schema | undefined = undefined>(
  name: N,
  definition: QueueDefinition<I, O>,
): QueueContract<N, I, O> {
  const what = `queue ${name}`;
  checkName("queue", name);
  checkFields(what, definition, ["input", "output", "key", "attempts", "visibilityMs", "retry", "rate"]);
  const { input, output, key, attempts, visibilityMs, retry, rate } = definition;
  for (const [side, schema] of Object.entries({ input, output }))
    if ((side === "input" || schema !== undefined) && !isSchema(schema))
      throw new SheafError("USAGE", `${what}: ${side} must be a Standard Schema`);
  if (key !== undefined && typeof key !== "function") throw new SheafError("USAGE", `${what}: key is a function`);
  if (retry !== undefined) checkFields(`${what}: retry`, retry, ["firstMs", "longestMs"]);
  checkCounts(what, { attempts, visibilityMs, firstMs: retry?.firstMs, longestMs: retry?.longestMs });
  if (rate !== undefined) checkRate(`${what}: rate`, rate);
  if (visibilityMs !== undefined && visibilityMs > longestVisibilityMs)
    throw new SheafError("USAGE", `${what}: visibilityMs is at most ${longestVisibilityMs}`);
  const contract: QueueContract<N, I, O> = {
    kind: "queue",
    name,
    input,
    output: output as O,
    key,
    attempts,
    visibilityMs,
    retry: retry && Object.freeze({ ...retry }),
    rate: rate && Object.freeze({ ...rate }),
    work(handler, options = {}) {
      if (typeof handler !== "function") throw new SheafError("USAGE", `${what}: the worker is a function`);
      checkFields(`${what}: the worker's options`, options, ["concurrency"]);
      checkCounts(what, { concurrency: options.concurrency });
      return Object.freeze({ contract, handler, concurrency: options.concurrency ?? usualHands });
    },
  };
  return Object.freeze(contract);
}

const usualHands = 16;
export const usualVisibilityMs: Millis = 30_000;
export const longestVisibilityMs: Millis = 10 * 60_000;

/** Faster than that it is no limit. */
const mostPerMs = 100;
const longestSpanMs: Millis = 24 * 60 * 60_000;

function checkRate(what: string, rate: NonNullable<QueueShape["rate"]>): void {
  checkFields(what, rate, ["jobs", "perMs"]);
  const { jobs, perMs } = rate;
  checkCounts(what, { jobs: jobs ?? 0, perMs: perMs ?? 0 });
  if (perMs > longestSpanMs) throw new SheafError("USAGE", `${what}: perMs is at most ${longestSpanMs}, a day`);
  if (jobs > mostPerMs * perMs) throw new SheafError("USAGE", `${what}: at most ${mostPerMs} jobs in a millisecond`);
}

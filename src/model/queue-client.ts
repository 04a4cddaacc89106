// The faces of queues: how jobs are added, waited for, and done by consumers that ask for them.

import type { StandardSchemaV1 } from "@standard-schema/spec";
import { type Instant, type Millis, SheafError } from "../base/index.ts";
import type { Address, CallOptions, Invoke } from "./invoke.ts";
import { checkJobName, keyOfJob, lineOfJob, queueType } from "./job-names.ts";
import type { QueueShape, Schema } from "./shape.ts";

export type AddOptions = {
  /** Not before so long from now. */
  readonly delayMs?: Millis | undefined;
  /** Of jobs that are due, those with the higher number first; -100 to 100, 0 unless given. Not within a key. */
  readonly priority?: number | undefined;
  /** Of the deduplication: one job is added however often this id is given (with the same key, within the window of repeats). 1 to 256 visible
   *  ASCII characters without a slash. */
  readonly id?: string | undefined;
};

/** Where a job is. */
export type JobState<Output = unknown> =
  | { readonly state: "waiting"; readonly attempts: number; readonly due: Instant; readonly cause: string }
  | { readonly state: "running"; readonly attempts: number; readonly due: Instant; readonly progress: unknown }
  | { readonly state: "done"; readonly output: Output }
  | { readonly state: "dead"; readonly attempts: number; readonly cause: string };

/** A job that its taker has until `due`: by then it is to be acknowledged, rejected or extended. */
export type LeasedJob<Input = unknown> = {
  readonly id: string;
  /** Counted from 1; with the id it names this lease. */
  readonly attempt: number;
  readonly due: Instant;
  readonly input: Input;
};
export type Lease = Pick<LeasedJob, "id" | "attempt">;

type Sent<C extends QueueShape> = StandardSchemaV1.InferInput<C["input"]>;
type Told<C extends QueueShape> = C["output"] extends infer S extends Schema
  ? StandardSchemaV1.InferOutput<S>
  : undefined;
type Given<C extends QueueShape> = C["output"] extends infer S extends Schema
  ? [output: StandardSchemaV1.InferInput<S>]
  : [];

/** One queue as its callers see it. All reject with SheafError. */
export interface QueueClient<C extends QueueShape> {
  /** Resolves with the job's id once it is durable. OVERLOADED when its shard has as much to do as it may. */
  add(input: Sent<C>, options?: AddOptions & CallOptions): Promise<string>;
  /** Where a job is; with `waitMs`, once it is done or dead, or after so long. NOT_FOUND for one that is not, or no longer, known. */
  result(id: string, options?: { readonly waitMs?: Millis | undefined } & CallOptions): Promise<JobState<Told<C>>>;
  /** Takes up to `max` jobs that are due (1 unless given), waiting up to `waitMs` for the first. */
  take(
    options?: { readonly max?: number | undefined; readonly waitMs?: Millis | undefined } & CallOptions,
  ): Promise<readonly LeasedJob<StandardSchemaV1.InferInput<C["input"]>>[]>;
  /** The job is done. PRECONDITION_FAILED when its lease is over and the job has been taken again, or given up, since. */
  ack(job: Lease, ...output: Given<C>): Promise<void>;
  /** The attempt failed: the job is due again after `delayMs`, or as its contract says; `final`: it is a dead letter now. */
  reject(
    job: Lease,
    cause: string,
    options?: { readonly delayMs?: Millis | undefined; readonly final?: boolean | undefined } & CallOptions,
  ): Promise<void>;
  /** The lease lasts for so long from now. */
  extend(job: Lease, ms: Millis): Promise<void>;
  /** How far the job is: plain data. */
  progress(job: Lease, value: unknown): Promise<void>;
}

/** A queue as those see it who leave jobs in a commit. */
export interface QueueInbox<C extends QueueShape> {
  add(input: Sent<C>, options?: AddOptions): void;
}

/** What `add` is sent as. */
export type Addition = {
  readonly input: unknown;
  readonly id?: string | undefined;
  readonly delayMs?: Millis | undefined;
  readonly priority?: number | undefined;
};

export const mostPriority = 100;

/** Throws BAD_INPUT for additions that make no sense. */
export function checkAddition({ id, delayMs = 0, priority = 0 }: Addition): void {
  if (id !== undefined) checkJobName(id);
  if (!(Number.isSafeInteger(delayMs) && delayMs >= 0))
    throw new SheafError("BAD_INPUT", "delayMs is a whole number of milliseconds, 0 or more");
  if (!(Number.isSafeInteger(priority) && Math.abs(priority) <= mostPriority))
    throw new SheafError("BAD_INPUT", `priority is a whole number from -${mostPriority} to ${mostPriority}`);
}

/** Where an addition goes. An empty key: whoever is asked first gives the job its name. */
function addressOf(contract: QueueShape, input: unknown, id: string | undefined): Address {
  const key = keyOfJob(contract, input) ?? id ?? "";
  return { kind: "command", entity: queueType(contract.name), key, name: "add" };
}

const additionOf = (input: unknown, { delayMs, priority, id }: AddOptions): Addition => ({
  input,
  ...(id !== undefined && { id }),
  ...(delayMs !== undefined && { delayMs }),
  ...(priority !== undefined && { priority }),
});

/** The face of a queue. */
export function bindQueue<C extends QueueShape>(contract: C, invoke: Invoke): QueueClient<C> {
  const type = queueType(contract.name);
  const of = (id: string, name: string): Address => ({ kind: "command", entity: type, key: lineOfJob(id), name });
  const about = async ({ id, attempt }: Lease, name: string, rest: object, options?: CallOptions): Promise<void> => {
    await invoke(of(id, name), { id, attempt, ...rest }, options);
  };
  return {
    async add(input, options = {}) {
      const { delayMs, priority, id, ...call } = options;
      const addition = additionOf(input, { delayMs, priority, id });
      checkAddition(addition);
      return (await invoke(addressOf(contract, input, id), addition, call)) as string;
    },
    async result(id, { waitMs = 0, ...call } = {}) {
      const address: Address = { kind: "query", entity: type, key: lineOfJob(id), name: "result" };
      return (await invoke(address, { id, waitMs }, waiting(waitMs, call))) as JobState<Told<C>>;
    },
    async take({ max = 1, waitMs = 0, ...call } = {}) {
      const address: Address = { kind: "command", entity: type, key: "", name: "take" };
      return (await invoke(address, { max, waitMs }, waiting(waitMs, call))) as readonly LeasedJob<never>[];
    },
    ack: (job, ...output) => about(job, "ack", output.length > 0 ? { output: output[0] } : {}),
    reject: (job, cause, { delayMs, final, ...call } = {}) =>
      about(job, "reject", { cause, ...(delayMs !== undefined && { delayMs }), ...(final && { final }) }, call),
    extend: (job, ms) => about(job, "extend", { ms }),
    progress: (job, value) => about(job, "progress", { value }),
  };
}

/** Who waits for something has time for that and for the call itself. */
const waiting = (waitMs: Millis, { deadlineMs, ...call }: CallOptions): CallOptions =>
  deadlineMs === undefined && waitMs === 0 ? call : { ...call, deadlineMs: deadlineMs ?? waitMs + 10_000 };

/** The face of a queue whose additions `leave` keeps. It may throw. */
export const bindQueueInbox = <C extends QueueShape>(
  contract: C,
  leave: (address: Address, input: unknown) => void,
): QueueInbox<C> => ({
  add(input, options = {}) {
    const addition = additionOf(input, options);
    checkAddition(addition);
    leave(addressOf(contract, input, options.id), addition);
  },
});

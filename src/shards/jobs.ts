// Jobs of a shard's agenda: in which order those of each queue are begun, how a message names one, and what is remembered of those
// that are over. Part of the fold, through the agenda.
//
// J1. A lease is a failure noted in advance: whoever takes a job first notes one attempt more, due again when the lease ends. So attempts are
//     counted whatever dies, and a job is never lost with its taker.
// J2. A job that is over is remembered as an operation is: for the window of journal time under an id that somebody chose, bounded in number
//     under any other. One that is added again meanwhile is not begun again. So is one that was purged.

import { bytesEqual, hash32, type Instant, type Limits, type Millis, toHex } from "../base/index.ts";
import type { Message, Note } from "../journal/index.ts";
import { pack, unpack } from "../wire/index.ts";
import { Heap } from "./heap.ts";
import type { SavedOp } from "./store.ts";
import { type JobFields, refOf, type Task } from "./task.ts";

export type Job = Task & { readonly kind: "job"; readonly job: JobFields };

export const isJob = (task: Task): task is Job => task.kind === "job";

/** Types of messages that become jobs when they come: those of queues; and of services, whose procedure is then called at least once, as often
 *  as it takes. `queue emails`, `service mail`: no name of an entity has a space. Both need a message made by `jobMessage`. */
const jobType = /^(?:queue|service) /;
export const isJobType = (type: string): boolean => jobType.test(type);

export type JobMessage = {
  /** `queue emails`, or `service mail`. */
  readonly type: string;
  /** Jobs of one type with the same key are in line, one after the other. */
  readonly key: string;
  /** The procedure, of a service. */
  readonly command: string;
  /** What it is called, once within its type; one that comes again under the same name is passed over. Without it the job is called by its
   *  message. */
  readonly name?: string | undefined;
  /** As for an operation: whoever chose the name may add it again until the window of repeats is over. */
  readonly chosen?: boolean | undefined;
  /** Not before so long after it came: clocks of two shards may be far apart. */
  readonly delayMs?: Millis | undefined;
  readonly priority?: number | undefined;
  /** msgpack; empty for none. */
  readonly input: Uint8Array;
  readonly by: readonly string[];
};

/** A message that becomes a job. It goes to the shard of its type and key. */
export const jobMessage = ({
  type,
  key,
  command,
  name,
  chosen,
  delayMs,
  priority,
  input,
  by,
}: JobMessage): Message => ({
  type,
  key,
  command,
  input: pack([name ?? null, chosen ?? false, delayMs ?? 0, priority ?? 0, input]),
  by,
});

type Packed = [name: string | null, chosen: boolean, delayMs: Millis, priority: number, input: Uint8Array];

/** Rows of the agenda that are jobs begin with it. */
export const jobTaskId = (type: string, name: string): string => `j${type}/${name}`;

/** The job that a message makes which came under `id` at `at`. */
export function jobOf(message: Message, id: string, at: Instant): Omit<Job, "order" | "attempts" | "cause"> {
  const [given, chosen, delayMs, priority, input] = unpack(message.input) as Packed;
  const name = given ?? id;
  return {
    ...message,
    kind: "job",
    id: jobTaskId(message.type, name),
    input,
    due: at + delayMs,
    at,
    job: { name, chosen, priority },
  };
}

/** What is noted of a dead letter that is tried again now. It has all its attempts again; of a job they are counted on, so that nobody who had
 *  a lease of it before takes one of those for his. */
export function revival(task: Task, due: Instant): Extract<Note, { kind: "failed" }> {
  const { attempts, cause } = isJob(task) ? task : { attempts: 0, cause: "" };
  return { kind: "failed", task: refOf(task), due, attempts, cause };
}

/** Somebody has it, or had it when he vanished. */
export const isLeased = ({ due, attempts, cause }: Task): boolean => due !== undefined && attempts > 0 && cause === "";

type Entry = { readonly due: Instant; readonly order: number; readonly priority: number; readonly id: string };

const isOlder = (a: Entry, b: Entry): boolean => a.due < b.due || (a.due === b.due && a.order < b.order);
const isSooner = (a: Entry, b: Entry): boolean =>
  a.priority > b.priority || (a.priority === b.priority && isOlder(a, b));

/** The jobs of one queue at one shard that are to be begun. Entries of what has changed since are passed over. */
class Line {
  readonly #later = new Heap<Entry>(isOlder);
  readonly #ready = new Heap<Entry>(isSooner);

  add(entry: Entry): void {
    this.#later.add(entry);
  }

  /** When the next one is due, as far as is known. */
  get next(): Instant {
    return this.#ready.first?.due ?? this.#later.first?.due ?? Infinity;
  }

  first(now: Instant, stands: (entry: Entry) => boolean): Entry | undefined {
    for (let next = this.#later.first; next !== undefined && next.due <= now; next = this.#later.first) {
      this.#later.shift();
      this.#ready.add(next);
    }
    for (let next = this.#ready.first; next !== undefined; next = this.#ready.first) {
      if (stands(next)) return next;
      this.#ready.shift();
    }
    return undefined;
  }

  shift(): void {
    this.#ready.shift();
  }
}

/** What order the jobs of a shard are begun in. */
export class JobOrder {
  readonly #lines = new Map<string, Line>();
  readonly #stands: (entry: { readonly id: string; readonly due: Instant }) => boolean;

  /** `stands`: is a job still to be begun as it was entered? */
  constructor(stands: (entry: { readonly id: string; readonly due: Instant }) => boolean) {
    this.#stands = stands;
  }

  get types(): Iterable<string> {
    return this.#lines.keys();
  }

  add({ type, due, order, id, job }: Job): void {
    let line = this.#lines.get(type);
    if (!line) this.#lines.set(type, (line = new Line()));
    line.add({ due: due!, order, priority: job.priority, id });
  }

  /** The id of the job of that type that is to be begun first. */
  first(type: string, now: Instant): string | undefined {
    return this.#lines.get(type)?.first(now, this.#stands)?.id;
  }

  /** Takes what `first` gave. */
  take(type: string): void {
    this.#lines.get(type)?.shift();
  }

  /** When the next job of that type is due. */
  next(type: string): Instant {
    return this.#lines.get(type)?.next ?? Infinity;
  }
}

/** A job that is over. */
export type Ended = {
  readonly id: string;
  readonly at: Instant;
  readonly order: number;
  readonly chosen: boolean;
  /** Of its input, where its name was chosen (see `printOf`); empty where none was kept. */
  readonly print: Uint8Array;
  /** msgpack; empty for none; null of a job that was purged. */
  readonly result: Uint8Array | null;
};

/** Tells one input from another, by accident rather than against somebody who tries. */
export function printOf(input: Uint8Array): Uint8Array {
  const text = toHex(input);
  return new Uint8Array(Uint32Array.of(hash32(text, 1), hash32(text, 2)).buffer);
}

/** Whether a job has that input, as far as is known of one that is over. */
export const hasInput = (job: Job | Ended, input: Uint8Array): boolean =>
  "print" in job ? job.print.length === 0 || bytesEqual(job.print, printOf(input)) : bytesEqual(job.input, input);

export const endedRow = "~r";

/** Jobs that are over, in the order of their ends. */
export class EndedJobs {
  readonly #limits: Pick<Limits, "idempotencyWindowMs" | "maxIssuedOperations">;
  readonly #chosen = new Map<string, Ended>();
  readonly #others = new Map<string, Ended>();

  constructor(limits: Pick<Limits, "idempotencyWindowMs" | "maxIssuedOperations">) {
    this.#limits = limits;
  }

  get chosen(): number {
    return this.#chosen.size;
  }

  find(id: string): Ended | undefined {
    return this.#chosen.get(id) ?? this.#others.get(id);
  }

  add(ended: Ended): void {
    (ended.chosen ? this.#chosen : this.#others).set(ended.id, ended);
  }

  delete(id: string): boolean {
    return this.#chosen.delete(id) || this.#others.delete(id);
  }

  /** Those that need no longer be remembered, forgotten. */
  *expire(now: Instant): Iterable<string> {
    const { idempotencyWindowMs, maxIssuedOperations } = this.#limits;
    for (const kept of [this.#chosen, this.#others])
      for (const { id, at } of kept.values()) {
        if (at >= now - idempotencyWindowMs && (kept === this.#chosen || kept.size <= maxIssuedOperations)) break;
        kept.delete(id);
        yield id;
      }
  }
}

export const packEnded = ({ id, order, at, chosen, print, result }: Ended): SavedOp => ({
  id: endedRow + id,
  seq: order,
  at: 0,
  issuedAt: undefined,
  fingerprint: print,
  reply: pack([at, chosen, result]),
  version: 0,
});

export function loadEnded({ id, seq: order, fingerprint: print, reply }: SavedOp): Ended {
  const [at, chosen, result] = unpack(reply) as [Instant, boolean, Uint8Array | null];
  return { id: id.slice(endedRow.length), at, order, chosen, print, result };
}

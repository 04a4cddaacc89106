// Leases of jobs at the shards that are owned here: taken, extended and ended, each by a note in the journal.
//
// W1. A job is handed out only once its lease is durable (J1).
// W2. What ends a lease names it, by the job's attempt. One that is over, since the job has been taken again or given up, is refused.
// W3. What certainly did not begin counts as no attempt.

import { type Limits, type Millis, SheafError } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import type { Note } from "../journal/index.ts";
import { type Agenda, isJob, isLeased, type Job, type Shard } from "../shards/index.ts";
import { attemptsOf, causeOf, lostCause, pauseAfter, type Terms } from "./job-terms.ts";
import type { JobMeters } from "./job-meters.ts";

export type LeasesOptions = { readonly host: Host; readonly limits: Limits; readonly meters: JobMeters };

/** What of a job's result is kept. */
const mostResultBytes = 64 * 1024;
const unbegunMs: Millis = 50;
/** Jobs in one note, so that a record takes it. */
const purgedAtOnce = 64;

export class Leases {
  readonly #options: LeasesOptions;
  /** Who waits for news of a job, by agenda. */
  readonly #waiting = new WeakMap<Agenda, Map<string, Set<() => void>>>();
  readonly #progress = new WeakMap<Agenda, Map<string, unknown>>();

  constructor(options: LeasesOptions) {
    this.#options = options;
  }

  /** The job as it is leased; undefined when it could not be. `holder`: the node that has it done; none for a consumer. */
  async take(shard: Shard, job: Job, { visibilityMs }: Terms, holder?: string): Promise<Job | undefined> {
    const { agenda } = shard.fold;
    const attempts = job.attempts + 1;
    const due = Math.ceil(shard.now() + visibilityMs);
    const isForgotten = this.#options.host.faults.mutant("Q1");
    const counted = isForgotten ? job.attempts : attempts;
    const refusal = await this.#note(shard, job, { due, attempts: counted, cause: "", holder });
    if (refusal || shard.fold.agenda !== agenda) return undefined;
    return { ...job, due, attempts, cause: "" };
  }

  /** Acts on the job that this lease is of, in the moment in which nothing that was noted of it is open: of two who end it at once, the
   *  second finds it over. Rejects PRECONDITION_FAILED when the lease is over. */
  async #standing<T>(shard: Shard, id: string, attempt: number, act: (job: Job) => Promise<T>): Promise<T> {
    for (;;) {
      shard.serving();
      const job = shard.fold.agenda.tasks.get(id);
      if (!job || !isJob(job)) throw over(id, "the job is done, or was never added");
      if (!isLeased(job) || job.attempts !== attempt) {
        if (!this.#options.host.faults.mutant("Q3"))
          throw over(id, job.due === undefined ? "the job is a dead letter" : `it was of attempt ${attempt}`);
      }
      if (!shard.settles(id)) return act(job);
      await new Promise<void>((resolve, reject) => shard.settled((error) => (error ? reject(error) : resolve())));
    }
  }

  /** The job is done: `result` is remembered. */
  async done(shard: Shard, id: string, attempt: number, result: Uint8Array): Promise<void> {
    if (result.length > mostResultBytes)
      throw new SheafError("TOO_LARGE", `the result of a job is at most ${mostResultBytes} bytes`);
    await this.#standing(shard, id, attempt, async (job) => {
      if (this.#options.host.faults.mutant("Q2")) return;
      const refusal = await this.#noted(shard, id, { kind: "done", task: id, attempts: attempt, result });
      if (refusal) throw refusal;
      this.#options.meters.done(job, shard.now());
      this.#tell(shard, id);
    });
  }

  /** The attempt failed: it is due again after a pause, or for good. */
  async failed(shard: Shard, id: string, attempt: number, terms: Terms, how: Failure): Promise<void> {
    await this.#standing(shard, id, attempt, async (job) => {
      const attempts = attemptsOf(job);
      const isDead = how.final === true || attempts >= terms.attempts;
      const pause = how.delayMs ?? pauseAfter(attempts, terms, this.#options.host.dice.random());
      const due = isDead ? undefined : Math.ceil(shard.now() + pause);
      const refusal = await this.#note(shard, job, {
        due,
        attempts: attempt,
        cause: how.cause.slice(0, 1024) || "REJECTED",
      });
      if (refusal) throw refusal;
      this.#told(shard, job, isDead, how.cause);
    });
  }

  /** The last lease has ended, and nobody has told what came of it. */
  async bury(shard: Shard, job: Job): Promise<void> {
    const refusal = await this.#note(shard, job, { due: undefined, attempts: job.attempts, cause: lostCause });
    if (!refusal) this.#told(shard, job, true, lostCause);
  }

  #told(shard: Shard, { id, type, key }: Job, isDead: boolean, cause: string): void {
    this.#options.meters.failed(isDead);
    if (!isDead) return;
    this.#options.host.log.warn("a job is a dead letter", { shard: shard.number, task: id, type, key, cause });
    this.#tell(shard, id);
  }

  /** Gives back what nobody has begun; `before` is the job as it was. */
  async giveBack(shard: Shard, before: Job, attempt: number, error: SheafError): Promise<void> {
    await this.#standing(shard, before.id, attempt, async (job) => {
      const cause = before.attempts === 0 ? "" : before.cause || causeOf(error);
      const due = Math.ceil(shard.now() + Math.max(unbegunMs, error.retryAfterMs ?? 0));
      await this.#note(shard, job, { due, attempts: before.attempts, cause });
    });
  }

  /** The lease lasts for so long from now. */
  async extend(shard: Shard, id: string, attempt: number, ms: Millis): Promise<void> {
    await this.#standing(shard, id, attempt, async (job) => {
      const { holder } = job.job;
      const due = Math.ceil(shard.now() + ms);
      const refusal = await this.#note(shard, job, { due, attempts: attempt, cause: "", holder });
      if (refusal) throw refusal;
    });
  }

  /** Notes which node has the job, whose lease ends as it would have. */
  async holds(shard: Shard, id: string, attempt: number, holder: string): Promise<void> {
    await this.#standing(shard, id, attempt, async (job) => {
      const refusal = await this.#note(shard, job, { due: job.due, attempts: attempt, cause: "", holder });
      if (refusal) throw refusal;
    });
  }

  async progress(shard: Shard, id: string, attempt: number, value: unknown): Promise<void> {
    await this.#standing(shard, id, attempt, () => Promise.resolve());
    const { agenda } = shard.fold;
    let progress = this.#progress.get(agenda);
    if (!progress) this.#progress.set(agenda, (progress = new Map<string, unknown>()));
    progress.set(id, value);
  }

  /** Has jobs of a type begun no more at a shard, or again. Rejects when that could not be noted. */
  async pause(shard: Shard, type: string, paused: boolean): Promise<void> {
    const refusal = await noted(shard, { kind: "queue", type, paused });
    if (refusal) throw refusal;
  }

  /** Gives up jobs that nobody has: whoever waits for one hears that it was purged. Rejects when not all could be noted. */
  async purge(shard: Shard, jobs: readonly Job[]): Promise<void> {
    const parts = Array.from({ length: Math.ceil(jobs.length / purgedAtOnce) }, (_, i) =>
      jobs.slice(i * purgedAtOnce, (i + 1) * purgedAtOnce),
    );
    const refusals = await Promise.all(
      parts.map(async (part) => {
        const refusal = await noted(shard, { kind: "purged", tasks: part.map(({ id }) => id) });
        if (!refusal) for (const { id } of part) this.#tell(shard, id);
        return refusal;
      }),
    );
    for (const refusal of refusals) if (refusal) throw refusal;
  }

  progressOf(shard: Shard, id: string): unknown {
    return this.#progress.get(shard.fold.agenda)?.get(id);
  }

  #note(shard: Shard, { id }: Job, rest: Outcome): Promise<SheafError | undefined> {
    const { due, ...also } = rest;
    return this.#noted(shard, id, { kind: "failed", task: id, ...(due !== undefined && { due }), ...also });
  }

  /** What could not be noted of a job is as if nobody had tried: it is looked at again soon. */
  async #noted(shard: Shard, id: string, note: Note): Promise<SheafError | undefined> {
    const { agenda } = shard.fold;
    const refusal = await noted(shard, note);
    if (refusal)
      this.#options.host.clock.after(unbegunMs, () => {
        agenda.back(id);
        if (shard.fold.agenda === agenda && shard.tenure.kind === "serving") shard.ground.worked(shard);
      });
    return refusal;
  }

  #tell(shard: Shard, id: string): void {
    const { agenda } = shard.fold;
    this.#progress.get(agenda)?.delete(id);
    for (const heard of this.#waiting.get(agenda)?.get(id) ?? []) heard();
  }

  /** Resolves when the job is over, or after so long. */
  news(shard: Shard, id: string, ms: Millis): Promise<void> {
    const { agenda } = shard.fold;
    let waiting = this.#waiting.get(agenda);
    if (!waiting) this.#waiting.set(agenda, (waiting = new Map<string, Set<() => void>>()));
    let all = waiting.get(id);
    if (!all) waiting.set(id, (all = new Set()));
    return new Promise((resolve) => {
      const heard = (): void => {
        timer.cancel();
        all.delete(heard);
        if (all.size === 0) waiting.delete(id);
        resolve();
      };
      const timer = this.#options.host.clock.after(ms, heard);
      all.add(heard);
    });
  }
}

export type Failure = {
  readonly cause: string;
  readonly delayMs?: Millis | undefined;
  readonly final?: boolean | undefined;
};
type Outcome = {
  readonly due: number | undefined;
  readonly attempts: number;
  readonly cause: string;
  readonly holder?: string | undefined;
};

/** Resolves when that is durable, with the error if it is not. */
export const noted = (shard: Shard, note: Note): Promise<SheafError | undefined> =>
  new Promise((resolve) => shard.note(note, resolve));

const over = (id: string, why: string): SheafError =>
  new SheafError("PRECONDITION_FAILED", `the lease of job ${id.slice(id.indexOf("/") + 1)} is over: ${why}`);

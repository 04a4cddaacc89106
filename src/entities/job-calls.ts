// Calls that concern jobs: they are added, asked about, and by consumers taken, acknowledged, rejected and extended. They come as calls to an
// entity that is none, `queue` and a name, with the key by which the job is in line: so they go where the job is.

import { type Limits, type Millis, SheafError, type Shard as ShardNumber, shardOf } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import {
  type Addition,
  checkAddition,
  checkJobName,
  type CompiledApp,
  type CompiledQueue,
  jobIdOf,
  type JobState,
  keyOfJob,
  type LeasedJob,
  longestVisibilityMs,
  plain,
  queueNamed,
} from "../model/index.ts";
import type { Call, Calls, Reply } from "../rpc/index.ts";
import { system } from "../security/index.ts";
import {
  type Agenda,
  hasInput,
  isJob,
  isLeased,
  type Job,
  jobMessage,
  jobTaskId,
  type Shard,
  type Shards,
} from "../shards/index.ts";
import { pack, unpack } from "../wire/index.ts";
import { type Terms, termsOf } from "./job-terms.ts";
import { type Leases, noted } from "./leases.ts";
import { Pace, type Permit } from "./pace.ts";

export type JobCallsOptions = {
  readonly host: Host;
  readonly limits: Limits;
  readonly shards: Shards;
  readonly calls: Calls;
  readonly app: () => CompiledApp;
  readonly leases: Leases;
  /** Leases up to so many jobs of a type that are due here. */
  readonly take: (type: string, max: number) => Promise<readonly Job[]>;
  /** Resolves when there may be some, or after so long. */
  readonly ask: (type: string, ms: Millis) => Promise<void>;
};

type Asked = {
  readonly call: Call;
  readonly name: string;
  readonly type: string;
  readonly queue: CompiledQueue;
  readonly shard: Shard;
  readonly input: Readonly<Record<string, unknown>>;
};

/** What one node took, and the shards that it looked at. */
type Taken = { readonly jobs: readonly LeasedJob[]; readonly shards: readonly ShardNumber[] };

const mostTaken = 256;
const mostCause = 1024;
/** Until it is looked again, so that a job that is told of elsewhere is not missed. */
const lookMs: Millis = 500;
const askEveryMs: Millis = 200;

export class JobCalls {
  readonly #options: JobCallsOptions;
  /** Being added, so that who adds the same meanwhile waits for it. */
  readonly #adding = new Map<string, Promise<unknown>>();
  /** How many at each shard. */
  readonly #coming = new Map<Shard, number>();
  readonly #keys = new Map<string, string>();
  /** Of queues that have a rate, by type, where it is this node that counts. */
  readonly #paces = new WeakMap<Agenda, Map<string, Pace>>();

  constructor(options: JobCallsOptions) {
    this.#options = options;
  }

  async call(call: Call): Promise<Reply> {
    const { target } = call;
    if (target.kind === "procedure") throw new SheafError("UNKNOWN_TARGET");
    const type = target.entity;
    const name = queueNamed(type) ?? "";
    const queue = this.#options.app().queues.get(name);
    if (!queue) throw new SheafError("UNKNOWN_TARGET", `there is no queue "${name}"`);
    const input = (typeof call.input === "object" ? (call.input ?? {}) : {}) as Asked["input"];
    if (target.key === "") return this.#first(call, type, queue, input);
    const shard = this.#options.shards.of(type, target.key);
    shard.serving(call.chain !== undefined);
    const asked: Asked = { call, name, type, queue, shard, input };
    switch (target.name) {
      case "add":
        return this.#add(asked, target.key);
      case "take":
        return { output: await this.#takeHere(type, count(input["max"], "max", 1, mostTaken)) };
      case "result":
        return { output: await this.#result(asked) };
      case "permit":
        return { output: await this.#permit(asked) };
      default:
        return this.#onLease(asked, target.name);
    }
  }

  /** Not addressed to a job: it gets a name here, or any job is wanted. */
  async #first(call: Call, type: string, queue: CompiledQueue, input: Asked["input"]): Promise<Reply> {
    const { target } = call;
    if (target.kind === "procedure") throw new SheafError("UNKNOWN_TARGET");
    if (target.name === "take") return { output: await this.#takeAnywhere(call, type, input) };
    if (target.name !== "add") throw new SheafError("BAD_INPUT", "a job's id is not empty");
    const addition = input as Addition;
    const { host, calls } = this.#options;
    // Whoever is asked for the same again gives it the same name.
    const op = call.op ?? { id: host.dice.id(), issuedAt: host.clock.now() };
    const key = keyOfJob(queue.contract, addition.input) ?? addition.id ?? ownName({ ...call, op })!;
    return calls.call({ ...call, target: { ...target, key }, op });
  }

  async #add({ call, name, type, queue, shard, input }: Asked, line: string): Promise<Reply> {
    const addition = input as Addition;
    checkAddition(addition);
    queue.input(addition.input);
    const key = keyOfJob(queue.contract, addition.input);
    const own = addition.id ?? ownName(call) ?? this.#options.host.dice.id();
    checkJobName(own);
    if ((key ?? own) !== line)
      throw new SheafError("BAD_INPUT", `the job was sent under another key than its input gives`);
    const id = jobIdOf(key, own);
    const task = jobTaskId(type, id);
    await this.#adding.get(task);
    shard.serving(call.chain !== undefined);
    const { agenda } = shard.fold;
    const packed = pack(plain(addition.input, `the input of a job in queue ${name}`, "BAD_INPUT"));
    const chosen = addition.id !== undefined || (call.op !== undefined && call.op.issuedAt === undefined);
    const known = (agenda.tasks.get(task) as Job | undefined) ?? agenda.ended(task);
    if (known) {
      await settled(shard);
      if ("result" in known && known.result === null) throw purged(own);
      // A handler that runs again may add something else, and is to be answered as before.
      if (chosen && call.chain === undefined && !hasInput(known, packed))
        throw new SheafError("IDEMPOTENCY_MISMATCH", `there is a job "${own}" with another input`);
      return { output: id, replayed: true };
    }
    this.#roomFor(shard, chosen);
    const { delayMs = 0, priority = 0 } = addition;
    const message = jobMessage({
      type,
      key: line,
      command: "add",
      name: id,
      chosen,
      delayMs,
      priority,
      input: packed,
      by: [call.principal.id, ...call.principal.roles],
    });
    this.#coming.set(shard, this.#comingTo(shard) + 1);
    const adding = noted(shard, { kind: "added", messages: [message] }).finally(() => {
      this.#coming.set(shard, this.#comingTo(shard) - 1);
      this.#adding.delete(task);
    });
    this.#adding.set(task, adding);
    const refusal = await adding;
    if (refusal) throw refusal;
    return { output: id };
  }

  #comingTo(shard: Shard): number {
    return this.#coming.get(shard) ?? 0;
  }

  #roomFor(shard: Shard, chosen: boolean): void {
    const { limits } = this.#options;
    const { agenda } = shard.fold;
    if (agenda.room(limits, false) <= this.#comingTo(shard) || shard.full)
      throw new SheafError("OVERLOADED", `shard ${shard.number} has as many jobs and other tasks waiting as it may`, {
        retryAfterMs: 1000,
        hint: "See what waits: sheaf task ls. Dead letters count, too: sheaf dlq ls.",
      });
    if (chosen && agenda.endedChosen >= limits.maxIdempotencyKeys)
      throw new SheafError("IDEMPOTENCY_FULL", undefined, { retryAfterMs: 60_000 });
  }

  /** When the jobs may begin that an owner would begin now. Only nodes ask. Says so when this node owns the shard still (F6). */
  async #permit({ call, type, shard, input }: Asked): Promise<Permit> {
    const { app, limits, host } = this.#options;
    const rate = termsOf(app(), limits, type)?.rate;
    if (call.principal.id !== system.id || !rate) throw new SheafError("UNKNOWN_TARGET");
    const { agenda } = shard.fold;
    await settled(shard);
    const now = host.clock.tick();
    let paces = this.#paces.get(agenda);
    if (!paces) this.#paces.set(agenda, (paces = new Map<string, Pace>()));
    let pace = paces.get(type);
    if (!pace) paces.set(type, (pace = new Pace(rate, now)));
    return pace.take(rate, count(input["jobs"], "jobs", 1, Number.MAX_SAFE_INTEGER), now);
  }

  async #onLease({ input, type, name, queue, shard, call }: Asked, operation: string): Promise<Reply> {
    const { leases, app, limits } = this.#options;
    const id = jobTaskId(type, text(input["id"], "id"));
    const attempt = count(input["attempt"], "attempt", 1, Number.MAX_SAFE_INTEGER);
    switch (operation) {
      case "ack": {
        const output = queue.output(input["output"]);
        await leases.done(shard, id, attempt, output === undefined ? new Uint8Array(0) : pack(output));
        return { output: undefined };
      }
      case "reject": {
        const { cause, delayMs, final } = input;
        await leases.failed(shard, id, attempt, termsOf(app(), limits, type) as Terms, {
          cause: `REJECTED: ${text(cause, "cause").slice(0, mostCause)}`,
          ...(delayMs !== undefined && { delayMs: count(delayMs, "delayMs", 0, Number.MAX_SAFE_INTEGER / 4) }),
          final: final === true,
        });
        return { output: undefined };
      }
      case "extend":
        await leases.extend(shard, id, attempt, count(input["ms"], "ms", 1, longestVisibilityMs));
        return { output: undefined };
      case "progress": {
        const value = plain(input["value"], `the progress of a job in queue ${name}`, "BAD_INPUT") ?? null;
        if (pack(value).length > mostProgress) throw new SheafError("TOO_LARGE", "progress is at most 4 KiB");
        await leases.progress(shard, id, attempt, value);
        return { output: undefined };
      }
      default:
        throw new SheafError("UNKNOWN_TARGET", `a queue has no "${call.target.name}"`);
    }
  }

  async #result({ input, type, shard }: Asked): Promise<JobState> {
    const id = jobTaskId(type, text(input["id"], "id"));
    const { host, leases, limits } = this.#options;
    const until = host.clock.tick() + count(input["waitMs"] ?? 0, "waitMs", 0, limits.maxDeadlineMs);
    for (;;) {
      shard.serving();
      const known = this.#find(shard, id);
      const left = until - host.clock.tick();
      // What is done stays so, whoever owns the shard by now.
      if (known?.state === "done") return known;
      if (!known || known.state === "dead" || left <= 0) break;
      await leases.news(shard, id, Math.min(left, lookMs));
    }
    await settled(shard);
    const state = this.#find(shard, id);
    if (!state) throw new SheafError("NOT_FOUND", "no such job is known, or no longer");
    return state;
  }

  #find(shard: Shard, id: string): JobState | undefined {
    const { agenda } = shard.fold;
    const job = agenda.tasks.get(id);
    if (!job || !isJob(job)) {
      const ended = agenda.ended(id);
      if (ended?.result === null) throw purged(id.slice(id.indexOf("/") + 1));
      return ended && { state: "done", output: ended.result.length === 0 ? undefined : unpack(ended.result) };
    }
    const { attempts, due, cause } = job;
    if (due === undefined) return { state: "dead", attempts, cause };
    if (!isLeased(job) || due <= shard.now()) return { state: "waiting", attempts, due, cause };
    return { state: "running", attempts, due, progress: this.#options.leases.progressOf(shard, id) ?? null };
  }

  async #takeHere(type: string, max: number): Promise<Taken> {
    const jobs = await this.#options.take(type, max);
    const leased = jobs.map(({ job, attempts, due, input }) => ({
      id: job.name,
      attempt: attempts,
      due: due!,
      input: input.length === 0 ? undefined : unpack(input),
    }));
    const shards = this.#options.shards.all.filter(({ held }) => held !== undefined).map(({ number }) => number);
    return { jobs: leased, shards };
  }

  /** Of one owner after the other, until there is something. */
  async #takeAnywhere(call: Call, type: string, input: Asked["input"]): Promise<readonly LeasedJob[]> {
    const { host, limits } = this.#options;
    const max = count(input["max"] ?? 1, "max", 1, mostTaken);
    const until = host.clock.tick() + count(input["waitMs"] ?? 0, "waitMs", 0, limits.maxDeadlineMs);
    for (;;) {
      const jobs = await this.#takeRound(call, type, max);
      const left = Math.min(until, call.deadline - askEveryMs) - host.clock.tick();
      if (jobs.length > 0 || left <= 0 || call.signal?.aborted) return jobs;
      await this.#options.ask(type, Math.min(left, askEveryMs));
    }
  }

  async #takeRound(call: Call, type: string, max: number): Promise<readonly LeasedJob[]> {
    const { shards, host, calls } = this.#options;
    const jobs: LeasedJob[] = [];
    const { jobs: own, shards: seen } = await this.#takeHere(type, max);
    jobs.push(...own);
    const looked = new Set(seen);
    const first = Math.floor(host.dice.random() * shards.all.length);
    for (let i = 0; i < shards.all.length && jobs.length < max; i++) {
      const shard = (first + i) % shards.all.length;
      if (looked.has(shard)) continue;
      const target = { kind: "command", entity: type, key: this.#keyOf(type, shard), name: "take" } as const;
      const { op: _, ...rest } = call;
      const asked = calls.call({ ...rest, target, input: { max: max - jobs.length }, signal: undefined });
      const taken = await asked.then(
        ({ output }) => output as Taken,
        () => ({ jobs: [], shards: [shard] }),
      );
      jobs.push(...taken.jobs);
      for (const number of taken.shards) looked.add(number);
    }
    return jobs;
  }

  /** A key that belongs to that shard. */
  #keyOf(type: string, shard: ShardNumber): string {
    const name = `${type}\n${shard}`;
    let key = this.#keys.get(name);
    for (let n = 0; key === undefined; n++)
      if (shardOf(type, `${shard}.${n}`, this.#options.shards.all.length) === shard) key = `${shard}.${n}`;
    this.#keys.set(name, key);
    return key;
  }
}

const mostProgress = 4096;

/** An operation that is sent again adds the same job. */
const ownName = ({ op }: Call): string | undefined => op?.id.replaceAll("/", ":");

const purged = (job: string): SheafError => new SheafError("PURGED", `job ${job} was purged before anybody began it`);

const settled = (shard: Shard): Promise<void> =>
  new Promise((resolve, reject) => shard.settled((error) => (error ? reject(error) : resolve())));

function count(value: unknown, name: string, from: number, to: number): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= from && value <= to) return value;
  throw new SheafError("BAD_INPUT", `${name} is a whole number from ${from} to ${to}`);
}

function text(value: unknown, name: string): string {
  if (typeof value === "string" && value !== "") return value;
  throw new SheafError("BAD_INPUT", `${name} is a text that is not empty`);
}

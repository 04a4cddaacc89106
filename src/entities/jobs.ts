// Hands out the jobs that are due at shards that are owned here: to workers, as calls of procedures, and to consumers that ask.
//
// W4. Of each type no more jobs are with workers than they have hands for, as far as this node knows: half as many once one has too much to
//     do, and slowly more again. Nothing is taken that nobody is there to do.
// W5. What one type of jobs waits for keeps no other waiting.
// W6. No lease of a queue that is paused follows the note of that in the journal, and none of a job that is purged: while either is noted,
//     nothing of the queue is handed out.
// W7. Jobs of a queue with a rate are handed out only by permit, of the one shard that counts for all (see `Pace`); where it does not answer,
//     none are.
// W8. What a node has done, or had done, that is gone is due again when that is known. It may be that another has it still: then it is begun
//     twice (J1), and only the later attempt can end it. Calls of a
//     subscription that bounds how many are under way count until their leases end.
// W9. Of jobs that were under way at two nodes that are gone an owner begins one at a time, so that few others share the blame for one that ends
//     its process.

import { asSheafError, type Epoch, type Limits, type Millis, SheafError, type Tick } from "../base/index.ts";
import type { Host, Timer } from "../host/index.ts";
import type { CompiledApp } from "../model/index.ts";
import type { Call, Calls } from "../rpc/index.ts";
import { system } from "../security/index.ts";
import { type Agenda, isJob, isLeased, type Job, type Shard, type Shards } from "../shards/index.ts";
import { pack, unpack } from "../wire/index.ts";
import { JobCalls } from "./job-calls.ts";
import { jobMeters } from "./job-meters.ts";
import {
  attemptsOf,
  causeOf,
  goneCause,
  isExhausted,
  isSuspect,
  serviceOf,
  targetOf,
  type Terms,
  termsOf,
  verdictOn,
} from "./job-terms.ts";
import { Leases } from "./leases.ts";
import type { Permit } from "./pace.ts";
import { Shares } from "./shares.ts";

export type JobsOptions = {
  readonly host: Host;
  readonly limits: Limits;
  readonly shards: Shards;
  readonly calls: Calls;
  readonly app: () => CompiledApp;
  /** How many nodes offer a service now. */
  readonly hosts: (service: string) => number;
  /** Whether a process is gone that had jobs. */
  readonly isGone: (node: string) => boolean;
};

const noneAside = (): Pick<Desk, "permits" | "isAsking" | "suspect" | "aside"> => ({
  permits: 0,
  isAsking: false,
  suspect: undefined,
  aside: [],
});

/** What is under way of one type. */
type Desk = {
  readonly type: string;
  /** Where there may be jobs that are due. */
  readonly shards: Set<Shard>;
  busy: number;
  /** Jobs that may be with workers. */
  room: number;
  restUntil: Tick;
  timer: Timer | undefined;
  /** Consumers that wait for jobs. */
  readonly asking: Set<() => void>;
  /** Of a queue with a rate: jobs that may be begun now, and whether more are asked for. */
  permits: number;
  isAsking: boolean;
  /** The job under way that may be what ends nodes, and such jobs that wait for their turn (W9). */
  suspect: string | undefined;
  aside: { readonly shard: Shard; readonly id: string }[];
};

const anyInput = new Uint8Array(16);
const noResult = new Uint8Array(0);
const longestPause: Millis = 60_000;
/** Until it is looked again whether somebody is there to do what is due. */
const lookMs: Millis = 250;
const restMs: Millis = 100;
const permitMs: Millis = 2_000;
/** Until what could not be noted is noted again. */
const againMs: Millis = 20;

export class Jobs {
  readonly calls: JobCalls;
  readonly #options: JobsOptions;
  readonly #leases: Leases;
  readonly #shares: Shares;
  readonly #desks = new Map<string, Desk>();
  /** With workers, by agenda. */
  readonly #running = new WeakMap<Agenda, Set<string>>();
  readonly #timers = new Map<Shard, Timer>();
  /** Being paused or purged, by agenda (W6). */
  readonly #resting = new WeakMap<Agenda, Set<{ readonly type: string }>>();
  /** The tenure in which jobs of nodes that are gone were looked for. */
  readonly #looked = new WeakMap<Shard, Epoch | undefined>();
  #closed = false;

  constructor(options: JobsOptions) {
    this.#options = options;
    this.#leases = new Leases({ ...options, meters: jobMeters(options.host.meter) });
    const take = (type: string, max: number): Promise<readonly Job[]> => this.take(type, max);
    const ask = (type: string, ms: Millis): Promise<void> => this.#ask(type, ms);
    this.#shares = new Shares(options.app, (shard, id) => this.#isUnderWay(shard, id));
    this.calls = new JobCalls({ ...options, leases: this.#leases, take, ask });
  }

  /** Begins what is due at a shard, and comes back when the next is. */
  wake(shard: Shard): void {
    this.#timers.get(shard)?.cancel();
    this.#timers.delete(shard);
    if (this.#closed || shard.tenure.kind !== "serving") return;
    const { agenda } = shard.fold;
    this.#shares.offer(shard);
    if (this.#looked.get(shard) !== shard.held) this.#reclaim(shard);
    this.#looked.set(shard, shard.held);
    const now = shard.now();
    let next = Infinity;
    for (const type of agenda.jobTypes) {
      if (this.#rests(agenda, type)) continue;
      if (agenda.nextJob(type) <= now) {
        const desk = this.#deskOf(type);
        desk.shards.add(shard);
        this.#begin(desk);
      }
      const due = agenda.nextJob(type);
      if (due > now && due < next) next = due;
    }
    const { clock } = this.#options.host;
    if (next === Infinity) return;
    const wait = Math.min(next - now, longestPause);
    this.#timers.set(
      shard,
      clock.after(wait, () => this.wake(shard)),
    );
  }

  /** Nodes are gone, perhaps: what they had is due again (W8). */
  look(): void {
    for (const shard of this.#options.shards.all) if (shard.tenure.kind === "serving") this.#reclaim(shard);
  }

  #reclaim(shard: Shard): void {
    const running = this.#runningAt(shard.fold.agenda);
    for (const task of shard.fold.agenda.tasks.values())
      if (isJob(task) && isLeased(task) && task.job.holder !== undefined && !running.has(task.id))
        if (this.#options.isGone(task.job.holder) && !shard.settles(task.id) && !this.#shares.bounds(task))
          void this.#gone(shard, task);
  }

  async #gone(shard: Shard, job: Job): Promise<void> {
    const { app, limits } = this.#options;
    const terms = termsOf(app(), limits, job.type);
    // Nothing speaks against the job yet.
    const how = { cause: goneCause, ...(attemptsOf(job) === 1 && { delayMs: 0 }) };
    if (terms) await this.#leases.failed(shard, job.id, job.attempts, terms, how).catch(() => {});
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
    for (const { timer, asking } of this.#desks.values()) {
      timer?.cancel();
      for (const heard of asking) heard();
    }
  }

  #deskOf(type: string): Desk {
    let desk = this.#desks.get(type);
    if (!desk) {
      const fresh = { type, shards: new Set<Shard>(), busy: 0, room: Infinity, restUntil: 0, timer: undefined };
      this.#desks.set(type, (desk = { ...fresh, asking: new Set(), ...noneAside() }));
    }
    return desk;
  }

  #begin(desk: Desk): void {
    if (this.#closed) return;
    const { app, limits, hosts, host } = this.#options;
    const terms = termsOf(app(), limits, desk.type);
    for (const heard of desk.asking) heard();
    const there = terms && terms.hands > 0 ? hosts(serviceOf(desk.type)) : 0;
    const isResting = host.clock.tick() < desk.restUntil;
    const most = terms ? terms.hands * there : 0;
    if (desk.room > most) desk.room = Math.max(1, most);
    // One of each shard in turn.
    for (const shard of Array.from(desk.shards)) {
      desk.shards.delete(shard);
      const found = this.#next(shard, desk.type, terms);
      if (!found || !terms) continue;
      desk.shards.add(shard);
      if (most === 0 || isResting || desk.busy >= desk.room) continue;
      if (isSuspect(found) && desk.suspect !== undefined) {
        desk.aside.push({ shard, id: found.id });
        shard.fold.agenda.takeJob(desk.type);
        continue;
      }
      if (terms.rate && --desk.permits < 0) continue;
      if (isSuspect(found)) desk.suspect = found.id;
      shard.fold.agenda.takeJob(desk.type);
      void this.#work(shard, found, desk, terms);
    }
    desk.permits = Math.max(0, desk.permits);
    if (desk.shards.size === 0) return;
    if (most > 0 && !isResting && desk.busy < desk.room) {
      if (terms?.rate && desk.permits === 0) return void this.#wait(desk);
      return this.#begin(desk);
    }
    // Whoever ends makes room. Where nothing is under way it is looked again.
    if (desk.busy > 0 && !isResting) return;
    desk.timer?.cancel();
    const wait = isResting ? desk.restUntil - host.clock.tick() : lookMs;
    desk.timer = host.clock.after(wait, () => this.#begin(desk));
  }

  /** Begins when that is permitted (W7). */
  async #wait(desk: Desk): Promise<void> {
    if (desk.isAsking) return;
    desk.isAsking = true;
    desk.permits = await this.#permits(desk.type, desk.room - desk.busy);
    desk.isAsking = false;
    this.#begin(desk);
    // Those that are not used now are over.
    desk.permits = 0;
  }

  /** Resolves with how many jobs may be begun now, once some may; 0 when that is not to be had soon. */
  async #permits(type: string, wanted: number): Promise<number> {
    const { calls, host } = this.#options;
    const target = { kind: "query", entity: type, key: "rate", name: "permit" } as const;
    const call = { target, input: { jobs: Math.max(1, Math.floor(wanted)) }, principal: system, session: "" };
    const asked = calls.call({ ...call, deadline: host.clock.tick() + permitMs });
    const { jobs, waitMs } = await asked.then(
      ({ output }) => output as Permit,
      () => ({ jobs: 0, waitMs: lookMs }),
    );
    if (waitMs > 0) await new Promise<void>((resolve) => void host.clock.after(Math.min(waitMs, permitMs), resolve));
    return jobs;
  }

  /** The job that is to be begun first at this shard. What nobody will ever begin again is given up on the way. */
  #next(shard: Shard, type: string, terms: Terms | undefined): Job | undefined {
    if (shard.tenure.kind !== "serving") return undefined;
    const { agenda } = shard.fold;
    if (this.#rests(agenda, type)) return undefined;
    const running = this.#runningAt(agenda);
    for (;;) {
      const job = agenda.firstJob(type, shard.now());
      if (!job) return undefined;
      // It is entered again when what is noted of it is durable.
      const isHeld = running.has(job.id) || shard.settles(job.id);
      const isDead = !isHeld && terms !== undefined && isExhausted(job, terms);
      if (!isHeld && !isDead && this.#shares.enter(shard, job)) return job;
      agenda.takeJob(type);
      if (isDead) void this.#bury(shard, job, running);
    }
  }

  #rests(agenda: Agenda, type: string): boolean {
    if (this.#options.host.faults.mutant("Q4")) return false;
    if (agenda.paused.has(type)) return true;
    for (const one of this.#resting.get(agenda) ?? []) if (one.type === type) return true;
    return false;
  }

  /** Has jobs of a type begun no more at a shard, or again; what is leased goes on. Rejects when that could not be noted. */
  pause(shard: Shard, type: string, paused: boolean): Promise<void> {
    return this.#atRest(shard, type, () => this.#leases.pause(shard, type, paused));
  }

  /** Gives up the jobs of a type that wait at a shard: neither those that somebody has, nor dead letters. Resolves with how many there
   *  are, or were. */
  purge(shard: Shard, type: string, dryRun: boolean): Promise<number> {
    return this.#atRest(shard, type, async () => {
      const jobs = this.#waitingAt(shard, type);
      if (!dryRun) await this.#leases.purge(shard, jobs);
      return jobs.length;
    });
  }

  #waitingAt(shard: Shard, type: string): Job[] {
    const { agenda } = shard.fold;
    const now = shard.now();
    const running = this.#runningAt(agenda);
    const isCareless = this.#options.host.faults.mutant("Q5");
    const waits = (job: Job): boolean =>
      job.due !== undefined &&
      (isCareless || !(isLeased(job) && job.due > now)) &&
      !running.has(job.id) &&
      !shard.settles(job.id);
    return [...agenda.tasks.values()].filter((task) => task.type === type && isJob(task) && waits(task)) as Job[];
  }

  /** Does it while no job of that type is handed out at the shard (W6). */
  async #atRest<T>(shard: Shard, type: string, act: () => Promise<T>): Promise<T> {
    const { agenda } = shard.fold;
    let resting = this.#resting.get(agenda);
    if (!resting) this.#resting.set(agenda, (resting = new Set()));
    const rest = { type };
    resting.add(rest);
    try {
      return await act();
    } finally {
      resting.delete(rest);
      this.wake(shard);
    }
  }

  /** With a worker, or with one of an owner before. */
  #isUnderWay(shard: Shard, id: string): boolean {
    const { agenda } = shard.fold;
    const job = agenda.tasks.get(id);
    return this.#runningAt(agenda).has(id) || (job !== undefined && isLeased(job) && job.due! > shard.now());
  }

  async #bury(shard: Shard, job: Job, running: Set<string>): Promise<void> {
    running.add(job.id);
    await this.#leases.bury(shard, job);
    running.delete(job.id);
    this.wake(shard);
  }

  #runningAt(agenda: Agenda): Set<string> {
    let running = this.#running.get(agenda);
    if (!running) this.#running.set(agenda, (running = new Set()));
    return running;
  }

  async #work(shard: Shard, job: Job, desk: Desk, terms: Terms): Promise<void> {
    const { agenda } = shard.fold;
    const running = this.#runningAt(agenda);
    const { clock } = this.#options.host;
    running.add(job.id);
    desk.busy++;
    const deadline = clock.tick() + terms.visibilityMs;
    const leased = await this.#leases.take(shard, job, terms, shard.ground.node);
    if (leased) {
      let worker: string | undefined;
      const asked = (node: string): void => void (worker = node);
      try {
        const { output } = await this.#options.calls.call({ ...callOf(shard, leased, deadline), asked });
        await this.#keep(shard, leased, output === undefined ? noResult : pack(output), deadline);
        if (desk.room < Infinity) desk.room += 1 / desk.room;
      } catch (error) {
        const failure = asSheafError(error);
        if (verdictOn(failure) === "open") await this.#vanished(shard, leased, worker).catch(() => {});
        else await this.#failed(shard, job, leased.attempts, terms, desk, failure).catch(() => {});
      }
    }
    desk.busy--;
    running.delete(job.id);
    if (desk.suspect === job.id) this.#nextSuspect(desk);
    if (leased) agenda.back(job.id);
    if (agenda.nextJob(desk.type) <= shard.now()) desk.shards.add(shard);
    this.#begin(desk);
    this.wake(shard);
  }

  /** Whoever has the job may have it still: once he is gone it is due again. */
  async #vanished(shard: Shard, { id, attempts }: Job, worker: string | undefined): Promise<void> {
    if (worker === undefined || worker === shard.ground.node) return;
    await this.#leases.holds(shard, id, attempts, worker);
    const job = shard.fold.agenda.tasks.get(id);
    if (job && isJob(job) && this.#options.isGone(worker)) await this.#gone(shard, job);
  }

  #nextSuspect(desk: Desk): void {
    desk.suspect = undefined;
    for (const { shard, id } of desk.aside.splice(0)) {
      shard.fold.agenda.back(id);
      desk.shards.add(shard);
    }
  }

  /** Notes that a job is done; tries again, while its time lasts, where that could not be noted. */
  async #keep(shard: Shard, { id, attempts }: Job, result: Uint8Array, deadline: Tick): Promise<void> {
    const { clock } = this.#options.host;
    for (;;) {
      try {
        return await this.#leases.done(shard, id, attempts, result);
      } catch (error) {
        const { code } = asSheafError(error);
        if (code === "TOO_LARGE") throw error;
        // Another has the shard, or the lease is over. Whoever looks at the job next finds out what was kept.
        if (code === "PRECONDITION_FAILED" || shard.tenure.kind !== "serving" || clock.tick() >= deadline) return;
        await new Promise<void>((resolve) => void clock.after(againMs, resolve));
      }
    }
  }

  async #failed(shard: Shard, job: Job, attempt: number, terms: Terms, desk: Desk, error: SheafError): Promise<void> {
    const { code, retryAfterMs } = error;
    const verdict = verdictOn(error);
    if (verdict !== "unbegun") {
      const cause = causeOf(error);
      return this.#leases.failed(shard, job.id, attempt, terms, { cause, final: verdict === "final" });
    }
    if (code === "OVERLOADED") desk.room = Math.max(1, Math.min(desk.room, desk.busy) / 2);
    desk.restUntil = this.#options.host.clock.tick() + (retryAfterMs ?? restMs);
    await this.#leases.giveBack(shard, job, attempt, error);
  }

  /** Up to so many jobs that are due at shards that are owned here, leased. */
  async take(type: string, max: number): Promise<readonly Job[]> {
    const { app, limits, shards } = this.#options;
    const terms = termsOf(app(), limits, type);
    if (!terms) throw new SheafError("UNKNOWN_TARGET", `there is no ${type}`);
    const taking: Promise<Job | undefined>[] = [];
    let most = max;
    if (terms.rate) {
      const isReady = shards.all.some((shard) => this.#next(shard, type, terms) !== undefined);
      most = isReady ? await this.#permits(type, max) : 0;
    }
    for (let round = true; round && taking.length < most;) {
      round = false;
      for (const shard of shards.all) {
        const job = taking.length < most ? this.#next(shard, type, terms) : undefined;
        if (!job) continue;
        round = true;
        shard.fold.agenda.takeJob(type);
        taking.push(this.#leaseOf(shard, job, terms));
      }
    }
    return (await Promise.all(taking)).filter((job) => job !== undefined);
  }

  async #leaseOf(shard: Shard, job: Job, terms: Terms): Promise<Job | undefined> {
    const { agenda } = shard.fold;
    const running = this.#runningAt(agenda);
    // It may be entered twice: nobody else takes it meanwhile.
    running.add(job.id);
    const leased = await this.#leases.take(shard, job, terms);
    running.delete(job.id);
    if (leased) agenda.back(job.id);
    return leased;
  }

  /** Resolves when there may be a job of that type, or after so long. */
  #ask(type: string, ms: Millis): Promise<void> {
    if (this.#closed) return Promise.reject(new SheafError("STOPPING"));
    const { asking } = this.#deskOf(type);
    return new Promise((resolve) => {
      const heard = (): void => {
        timer.cancel();
        asking.delete(heard);
        resolve();
      };
      const timer = this.#options.host.clock.after(ms, heard);
      asking.add(heard);
    });
  }
}

function callOf(shard: Shard, job: Job, deadline: Tick): Call {
  const [id = "", ...roles] = job.by;
  const given = job.input.length === 0 ? undefined : unpack(job.input);
  const target = targetOf(job);
  const isQueue = job.type === serviceOf(job.type);
  return {
    target,
    input: isQueue ? { job: job.job.name, attempt: job.attempts, input: given } : given,
    principal: { id, roles },
    deadline,
    // What it calls is a repeat when it runs again.
    op: { id: `job ${shard.number} ${job.id}`, issuedAt: undefined, fingerprint: anyInput },
    session: "",
  };
}

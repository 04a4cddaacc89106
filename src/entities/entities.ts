// Commands and queries on the entities of a node's shards.
//
// E1. One command at a time runs for a key; the next starts when its handler has returned, on top of its effects, while
//     they are on their way to the engine.
// E2. Every outcome, errors and no-ops included, is told only when what it was computed from is durable (F6).
// E3. Unchanged state and no events: no record.

import { asSheafError, bytesEqual, type Millis, overloaded, SheafError, type Tick, utf8 } from "../base/index.ts";
import type { CompiledApp, CompiledEntity, Operation } from "../model/index.ts";
import {
  type Awaited,
  type Call,
  CallMeters,
  Deadlines,
  fingerprintOf,
  type Link,
  type Reply,
  scopedId,
} from "../rpc/index.ts";
import type { Hot, Shard } from "../shards/index.ts";
import { type Answer, Attempt } from "./attempt.ts";
import { Counted } from "./counted.ts";
import { type Chains, Cycles, readLink } from "./cycles.ts";
import { emptyMailbox, type Mailbox } from "./mailbox.ts";
import type { EntitiesOptions } from "./options.ts";
import { Query } from "./query.ts";
import { Runner } from "./runner.ts";
import { reentrant, unknownEntity, unknownOperation } from "./refusals.ts";
import { Turns } from "./turns.ts";

interface Open {
  readonly deadline: Tick;
  /** Its caller hears no more of it than this code and what is known of the outcome. */
  giveUp(code: "DEADLINE" | "STOPPING"): void;
}

/** How long suspects may keep others from starting, all of a process together: slow ones are many after a crash. */
const aloneMs = 1000;
const leaveCheckMs = 2;
const noFingerprint = new Uint8Array(0);

export class Entities {
  readonly #options: EntitiesOptions;
  /** Where code is looked up for new calls. */
  #app: CompiledApp;
  readonly #runner: Runner;
  readonly #meters: { readonly command: CallMeters; readonly query: CallMeters };
  readonly #open = new Set<Open>();
  readonly #deadlines: Deadlines;
  readonly #cycles: Cycles | undefined;
  /** Commits on their way whose callers have given up: they count as much as any, so that a stalled engine gathers no more. */
  readonly #left = new Set<Attempt>();
  /** Attempts by scoped operation id, for repeats that arrive while the original is under way. */
  readonly #originals = new Map<string, Attempt>();
  #runnable: Hot[] = [];
  readonly #turns = new Turns();
  #scheduled = false;
  #alone: Attempt | undefined;
  #aloneSince: Tick = 0;
  #aloneLeft: Millis = aloneMs;
  #waitedFor: Attempt | undefined;
  #count = 0;

  constructor(app: CompiledApp, options: EntitiesOptions) {
    this.#app = app;
    this.#options = options;
    this.#runner = new Runner(options);
    const { meter } = options.host;
    this.#meters = { command: new CallMeters(meter, "command"), query: new CallMeters(meter, "query") };
    this.#deadlines = new Deadlines(options.host.clock, (now) => this.#expire(now));
    const { among, host } = options;
    if (among)
      this.#cycles = new Cycles(host.clock, among.self, among.ask, (attempt) => attempt.reject(reentrant(attempt)));
  }

  /** What is in line behind a command that runs here, which another node names that looks for a cycle. */
  chainsBehind(asked: unknown): Chains {
    const link = readLink(asked);
    return (link && this.#cycles?.chainsBehind(link, this.#boxOf(link))) ?? [];
  }

  #boxOf({ type, key }: Awaited): Mailbox | undefined {
    return this.#options.shards.of(type, key).fold.peek(type, key)?.mailbox as Mailbox | undefined;
  }

  /** Commands and queries under way. */
  get inFlight(): number {
    return this.#open.size;
  }

  /** Commands that wait for their turn. */
  get waiting(): number {
    let count = 0;
    for (const open of this.#open) if (open instanceof Attempt && open.phase === "waiting") count++;
    return count;
  }

  /** Commands that start from now on run this code. */
  reload(app: CompiledApp): void {
    this.#app = app;
  }

  /** Sends away the commands that wait for their turn at this shard, and resolves when those that have begun are done, or
   *  after `ms`. Nothing new may come meanwhile. */
  async leave(shard: Shard, ms: Millis): Promise<void> {
    const { clock } = this.#options.host;
    const until = clock.tick() + ms;
    const here = (): Attempt[] =>
      [...this.#open].filter((open) => open instanceof Attempt && open.task.shard === shard) as Attempt[];
    for (const attempt of here()) if (attempt.phase === "waiting") attempt.reject(new SheafError("NOT_OWNER"));
    while (here().some(({ phase }) => phase === "running") && clock.tick() < until)
      await new Promise<void>((resolve) => void clock.after(leaveCheckMs, resolve));
  }

  /** Answers what is still under way. */
  close(): void {
    this.#deadlines.stop();
    this.#cycles?.close();
    for (const open of this.#open) open.giveUp("STOPPING");
  }

  call(call: Call): Promise<Reply> {
    const { target } = call;
    const meters = target.kind === "query" ? this.#meters.query : this.#meters.command;
    return new Promise((resolve, reject) => {
      const answer = new Counted(meters, resolve, reject);
      try {
        this.#start(call, answer);
      } catch (error) {
        answer.reject(asSheafError(error));
      }
    });
  }

  #start(call: Call, answer: Answer): void {
    const { target } = call;
    if (target.kind === "procedure") throw new SheafError("UNKNOWN_TARGET");
    const entity = this.#app.entities.get(target.entity);
    if (!entity) throw unknownEntity(target.entity, this.#app);
    const operation = entity.operations.get(target.name);
    if (operation?.kind !== target.kind) throw unknownOperation(entity, target.kind, target.name);
    this.#checkKey(target.key);
    const shard = this.#options.shards.of(target.entity, target.key);
    const weaker = operation.kind === "query" && (call.consistency ?? operation.consistency) !== "strong";
    if (weaker) shard.readable();
    else shard.serving(call.chain !== undefined);
    if (call.deadline <= this.#options.host.clock.tick())
      throw new SheafError("DEADLINE", undefined, { outcome: "not-applied" });
    if (call.signal?.aborted) throw new SheafError("CANCELLED", undefined, { outcome: "not-applied" });
    this.#admits(call);
    const input = operation.input(call.input);
    if (operation.kind === "query") this.#query({ call, entity, operation, shard, key: target.key, input, answer });
    else this.#command(call, entity, operation, shard, target.key, input, answer);
  }

  /** Looks at nothing that takes long: who asks too much is refused at little cost. What is part of a command that has begun, and
   *  what was promised to be done, is not refused for what waits. */
  #admits({ target, task, chain }: Call): void {
    const { maxInFlight, maxBehindMs } = this.#options.limits;
    if (this.#open.size + this.#left.size >= maxInFlight)
      throw overloaded("this node has as many calls under way as it may", 100);
    if (target.kind !== "command" || task || chain || !this.#isBehind(maxBehindMs)) return;
    throw overloaded("this node has more commands waiting than it carries out in time", 500);
  }

  /** The more waits the fewer are let in, by chance: else whoever is read first takes all the room there is. */
  #isBehind(most: Millis): boolean {
    const { behindMs } = this.#turns;
    return behindMs > most / 2 && behindMs > (most / 2) * (1 + this.#options.host.dice.random());
  }

  /** Tasks that may wait for their turn here: callers get theirs beside them. */
  get room(): number {
    return this.#turns.doneIn(this.#options.limits.maxBehindMs / 4);
  }

  #checkKey(key: string): void {
    const { maxKeyBytes } = this.#options.limits;
    if (key.length === 0) throw new SheafError("BAD_INPUT", "an entity's key is not empty");
    if (key.length * 3 > maxKeyBytes && utf8(key).length > maxKeyBytes) {
      throw new SheafError("TOO_LARGE", `an entity's key is at most ${maxKeyBytes} bytes of UTF-8`);
    }
    if (!key.isWellFormed()) throw new SheafError("BAD_INPUT", "an entity's key is not well-formed Unicode");
  }

  #query(ask: Omit<ConstructorParameters<typeof Query>[0], "ended">): void {
    const query = new Query({ ...ask, ended: (done) => void this.#open.delete(done) });
    this.#admit(query);
    this.#runner.query(query);
  }

  #command(
    call: Call,
    entity: CompiledEntity,
    operation: Operation,
    shard: Shard,
    key: string,
    input: unknown,
    answer: Answer,
  ): void {
    const { op } = call;
    let opId: string | undefined;
    let fingerprint: Uint8Array = noFingerprint;
    if (op && !call.task) {
      if (op.id.length > this.#options.limits.maxOperationIdLength)
        throw new SheafError("BAD_INPUT", "the idempotency key is too long");
      opId = op.id;
      if (op.issuedAt === undefined) {
        opId = scopedId(call.principal.id, entity.contract.name, key, operation.name, op.id);
        fingerprint = op.fingerprint ?? fingerprintOf(this.#options.host.crypto, call.input);
      }
      const original = this.#originals.get(opId);
      if (original) {
        if (!bytesEqual(original.task.fingerprint, fingerprint)) throw new SheafError("IDEMPOTENCY_MISMATCH");
        return this.#join(original, call.deadline, answer);
      }
    }
    const number = ++this.#count;
    const attempt = new Attempt({
      number,
      call,
      entity,
      operation,
      shard,
      key,
      input,
      opId,
      fingerprint,
      answer,
      left: this.#leave,
      ended: this.#ended,
    });
    const { poison, limits } = this.#options;
    if (attempt.phase === "done" || (poison.wary && poison.refuses(attempt, limits.maxCrashes))) return;
    if (opId !== undefined) this.#originals.set(opId, attempt);
    this.#admit(attempt);
    this.#wake(attempt);
  }

  #wake(attempt: Attempt): void {
    const { shard, entity, key } = attempt.task;
    const hot = shard.fold.peek(entity.contract.name, key);
    if (hot) return this.#enqueue(attempt, hot);
    this.#load(attempt);
  }

  #load(attempt: Attempt): void {
    const { shard, entity, key } = attempt.task;
    const failed = (error: unknown): void => attempt.reject(error as SheafError);
    this.#options.shards
      .load(shard, entity.contract.name, key)
      .then((loaded) => this.#enqueue(attempt, loaded), failed);
  }

  /** A repeat gets the original's answer, within a deadline of its own. */
  #join(original: Attempt, deadline: Tick, answer: Answer): void {
    const leave = (): void => {
      this.#open.delete(joiner);
      original.leave(joined);
    };
    const joined: Answer = {
      resolve: (reply) => void (leave(), answer.resolve({ ...reply, replayed: true })),
      reject: (error) => void (leave(), answer.reject(error)),
    };
    const joiner: Open = {
      deadline,
      giveUp: (code) => joined.reject(new SheafError(code, undefined, { outcome: "unknown" })),
    };
    original.join(joined);
    this.#admit(joiner);
  }

  #admit(open: Open): void {
    this.#open.add(open);
    this.#deadlines.add(open.deadline);
  }

  #expire(now: Tick): Tick {
    let next = Infinity;
    for (const open of this.#open) {
      if (open.deadline <= now) open.giveUp("DEADLINE");
      else if (open.deadline < next) next = open.deadline;
    }
    return next;
  }

  readonly #leave = (attempt: Attempt): void => {
    attempt.awaitedNoMore();
    this.#open.delete(attempt);
    this.#left.add(attempt);
  };

  readonly #ended = (attempt: Attempt): void => {
    attempt.awaitedNoMore();
    this.#open.delete(attempt);
    if (this.#left.size > 0) this.#left.delete(attempt);
    if (attempt.task.opId !== undefined) this.#originals.delete(attempt.task.opId);
    const box = attempt.hot?.mailbox as Mailbox | undefined;
    if (box?.running === attempt) this.#returned(attempt);
  };

  #enqueue(attempt: Attempt, hot: Hot): void {
    if (attempt.phase === "done") return;
    if (hot.fold !== attempt.task.shard.fold) return this.#wake(attempt); // it went to rest again before this could hold it
    const box = (hot.mailbox ??= emptyMailbox()) as Mailbox;
    const { maxMailbox } = this.#options.limits;
    if (box.queue.length >= maxMailbox) this.#clear(box);
    if (box.queue.length >= maxMailbox) {
      return attempt.reject(
        overloaded(
          `${attempt.task.entity.contract.name}/${attempt.task.key} has as many commands waiting as it may`,
          100,
        ),
      );
    }
    const { chain } = attempt.task.call;
    if (chain) {
      const target: Awaited = { type: attempt.task.entity.contract.name, key: attempt.task.key };
      if (this.#leadsBack(chain, target, new Set())) return attempt.reject(reentrant(attempt));
      const by = chain.findLast((link) => link.waits)?.waits;
      if (by) attempt.waitedFor = { by: by.add(target), entry: target };
      this.#cycles?.watch(attempt);
    }
    attempt.hot = hot;
    box.queue.push(attempt);
    if (box.scheduled) this.#turns.ready++;
    else this.#schedule(hot, box);
  }

  /** Those who have given up make room. */
  #clear(box: Mailbox): void {
    const left = box.queue.filter(({ phase }) => phase === "waiting");
    if (box.scheduled) this.#turns.ready -= box.queue.length - left.length;
    box.queue = left;
  }

  /** Follows who waits for whom: is a command of this chain waiting for what is to wait for it? */
  #leadsBack(chain: readonly Link[], { type, key }: Awaited, met: Set<Mailbox>): boolean {
    if (chain.some((link) => link.type === type && link.key === key)) return true;
    const box = this.#boxOf({ type, key });
    if (!box?.running?.waits || met.has(box)) return false;
    met.add(box);
    for (const next of box.running.waits) if (this.#leadsBack(chain, next, met)) return true;
    return false;
  }

  #schedule(hot: Hot, box: Mailbox): void {
    if (box.scheduled || box.running || box.queue.length === 0) return;
    this.#line(hot, box);
    this.#soon();
  }

  /** Puts a mailbox among those that the next slice looks at. */
  #line(hot: Hot, box: Mailbox): void {
    box.scheduled = true;
    this.#turns.ready += box.queue.length;
    this.#runnable.push(hot);
  }

  #unline(box: Mailbox): void {
    if (box.scheduled) this.#turns.ready -= box.queue.length;
    box.scheduled = false;
  }

  #soon(): void {
    if (this.#scheduled || this.#runnable.length === 0) return;
    this.#scheduled = true;
    if (this.#turns.isOver()) this.#options.host.clock.turn(() => this.#slice());
    else void Promise.resolve().then(() => this.#slice());
  }

  /** Starts what is runnable: noted first, then each mailbox in turn. After a crash, suspects start one by one. While one
   *  keeps others from starting, only what running commands wait for starts. */
  #slice(): void {
    this.#scheduled = false;
    const held = this.#alone !== undefined;
    const { poison } = this.#options;
    const boxes = this.#runnable;
    this.#runnable = [];
    const turns: Attempt[][] = [];
    for (let i = 0, room = this.#turns.most; i < boxes.length; i++) {
      if (room === 0 && !held) {
        this.#runnable = boxes.slice(i).concat(this.#runnable);
        break;
      }
      const hot = boxes[i] as Hot;
      const box = hot.mailbox as Mailbox;
      this.#unline(box);
      if (poison.wary) this.#clear(box);
      const [next] = box.queue;
      if (held && next && !poison.within(next)) {
        this.#line(hot, box);
        continue;
      }
      const count = Math.min(poison.together(box.queue), held ? 1 : room);
      if (box.running) continue;
      room -= count;
      if (!next) this.#next(hot, box);
      else if (count > 0) turns.push(front(box, count));
      else {
        const starts = turns.length === 0 && this.#mayStart(next);
        if (starts) turns.push(box.queue.splice(0, 1));
        for (const other of boxes.slice(starts ? i + 1 : i)) this.#again(other);
        break;
      }
    }
    const starting = turns.length === 1 ? (turns[0] ?? []) : turns.flat();
    if (starting.length > 0) poison.starting(starting);
    const { clock } = this.#options.host;
    const now = clock.tick();
    for (const attempts of turns) this.#run(attempts, now);
    const [first] = starting;
    if (first && !held && this.#aloneLeft > 0 && poison.isolates(first)) this.#hold(first);
    const goesOn = this.#alone === undefined && this.#runnable.length > 0;
    this.#turns.worked(starting.length, now, clock.tick(), goesOn);
    if (goesOn) this.#soon();
  }

  /** A suspect waits until nothing else runs, so that the right one is blamed, but not for long, and not when something
   *  that runs waits for it. */
  #mayStart(suspect: Attempt): boolean {
    const { poison } = this.#options;
    if (!poison.busy || this.#aloneLeft <= 0 || this.#waitedFor === suspect || poison.within(suspect)) return true;
    this.#waitedFor = suspect;
    this.#hold(suspect);
    return false;
  }

  #again(hot: Hot): void {
    const box = hot.mailbox as Mailbox;
    this.#unline(box);
    this.#schedule(hot, box);
  }

  /** Others wait until a suspect is over, or long enough. */
  #hold(attempt: Attempt): void {
    this.#alone = attempt;
    const { clock } = this.#options.host;
    this.#aloneSince = clock.tick();
    clock.after(this.#aloneLeft, () => this.#release(attempt));
  }

  #release(attempt: Attempt): void {
    if (this.#alone !== attempt) return;
    this.#alone = undefined;
    this.#aloneLeft -= this.#options.host.clock.tick() - this.#aloneSince;
    this.#soon();
  }

  /** Runs commands of one mailbox in order. When a handler returns a promise, the rest go back and wait for it. */
  #run(attempts: readonly Attempt[], now: Tick): void {
    const hot = attempts[0]?.hot;
    if (!hot) return;
    const box = hot.mailbox as Mailbox;
    for (let i = 0; i < attempts.length; i++) {
      const attempt = attempts[i] as Attempt;
      if (attempt.phase === "waiting" && attempt.deadline <= now) attempt.giveUp("DEADLINE");
      if (attempt.phase === "waiting" && this.#runner.command(attempt, hot, this.#returned) === "pending") {
        box.running = attempt;
        const rest = attempts.slice(i + 1);
        for (const later of rest) this.#options.poison.over(later);
        box.queue.unshift(...rest);
        if (box.scheduled) this.#turns.ready += rest.length;
        return;
      }
      this.#options.poison.over(attempt);
    }
    this.#next(hot, box);
  }

  /** A handler that returned a promise is done with it, or was given up. */
  readonly #returned = (attempt: Attempt): void => {
    const { hot } = attempt;
    const box = hot?.mailbox as Mailbox | undefined;
    if (!hot || box?.running !== attempt) return;
    box.running = undefined;
    const { poison } = this.#options;
    poison.over(attempt);
    if (this.#alone && (this.#alone === attempt || !poison.busy)) this.#release(this.#alone);
    this.#next(hot, box);
  };

  #next(hot: Hot, box: Mailbox): void {
    if (box.queue.length > 0) this.#schedule(hot, box);
    else hot.mailbox = undefined;
  }
}

function front(box: Mailbox, count: number): Attempt[] {
  if (count < box.queue.length) return box.queue.splice(0, count);
  const all = box.queue;
  box.queue = [];
  return all;
}

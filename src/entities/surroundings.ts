// What the handlers of commands and queries reach of the runtime. Classes, so that a command pays for one small object.

import { type Instant, SheafError } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import {
  type Addition,
  type Address,
  type Invoke,
  jobIdOf,
  plain,
  queueNamed,
  queueType,
  type TimerOptions,
  topicKey,
  type TopicShape,
  topicType,
} from "../model/index.ts";
import { eventMessage, jobMessage } from "../shards/index.ts";
import { type Draw, drawOf, innerCall, Ordinals, type Principal, type Surroundings, Thread } from "../rpc/index.ts";
import { pack } from "../wire/index.ts";
import { type Attempt, outdated, type Run } from "./attempt.ts";
import type { EntitiesOptions } from "./options.ts";
import type { Query } from "./query.ts";

export class CommandSurroundings implements Surroundings {
  readonly now: Instant;
  readonly #options: EntitiesOptions;
  readonly #attempt: Attempt;
  readonly #run: Pick<Run, "events" | "messages" | "timers">;
  #dice: Draw | undefined;

  constructor(options: EntitiesOptions, attempt: Attempt, run: Pick<Run, "events" | "messages" | "timers">) {
    this.#options = options;
    this.#attempt = attempt;
    this.#run = run;
    this.now = attempt.task.shard.now();
  }

  get host(): Host {
    return this.#options.host;
  }
  get caller(): Principal {
    return this.#attempt.task.call.principal;
  }
  get signal(): AbortSignal {
    return this.#attempt.signal;
  }
  get dice(): Draw {
    return (this.#dice ??= drawOf(this.#attempt.task.call, this.#options.host, this.#options.derive()));
  }

  emit(name: string, value: unknown): void {
    const { task } = this.#running("emit");
    if (name === task.entity.feed)
      throw new SheafError(
        "BAD_OUTPUT",
        `${name} is emitted by Sheaf, with each change of ${task.entity.contract.name}`,
      );
    this.#run.events.push({ name, value: pack(task.entity.event(name, value)) });
  }

  send(target: Address, given: unknown): void {
    const { task } = this.#running("send");
    if (target.kind === "procedure") return this.#addCall(target.service, target.name, given);
    if (target.kind !== "command")
      throw new SheafError("USAGE", "only commands can be sent: nobody waits for an answer");
    const { entity, key, name } = target;
    const { shards, app } = this.#options;
    const queue = queueNamed(entity);
    if (queue !== undefined) return this.#addJob(queue, key, given as Addition);
    const operation = app().entities.get(entity)?.operations.get(name);
    operation?.input(given);
    this.#roomFor(task.shard);
    const to = shards.of(entity, key).number;
    const [type, command] = [entity, name];
    this.#run.messages.push({ to, type, key, command, input: packedInput(given), by: this.#by });
  }

  #addJob(name: string, line: string, { input, id, delayMs = 0, priority = 0 }: Addition): void {
    const { task } = this.#running("send");
    const { shards, app } = this.#options;
    const queue = app().queues.get(name);
    if (!queue)
      throw new SheafError("USAGE", `this app has no queue "${name}"`, { hint: "List it as one of app's queues." });
    queue.input(input);
    const own = id ?? this.dice.id();
    const job = {
      type: queueType(name),
      key: line || own,
      command: "add",
      name: jobIdOf(queue.contract.key && line, own),
      chosen: id !== undefined,
      delayMs,
      priority,
      input: packedInput(input),
      by: this.#by,
    };
    this.#roomFor(task.shard);
    this.#run.messages.push({ to: shards.of(job.type, job.key).number, ...jobMessage(job) });
  }

  /** It is called from here, in line with nothing else. */
  #addCall(service: string, command: string, given: unknown): void {
    const { shard } = this.#running("send").task;
    this.#roomFor(shard);
    const job = { type: `service ${service}`, key: this.dice.id(), command, input: packedInput(given), by: this.#by };
    this.#run.messages.push({ to: shard.number, ...jobMessage(job) });
  }

  publish({ name }: TopicShape, given: unknown): void {
    const { task } = this.#running("publish");
    const { shards, app } = this.#options;
    const topic = app().topics.get(name);
    if (!topic)
      throw new SheafError("USAGE", `this app has no topic "${name}"`, { hint: "List it as one of app's topics." });
    const value = topic.event(given);
    const key = topic.key(value);
    this.#roomFor(task.shard);
    const to = shards.of(topicType, topicKey(name, key)).number;
    const event = { schema: topic.contract.event.version, value: pack(value) };
    this.#run.messages.push({ to, ...eventMessage(name, key, event) });
  }

  after(when: number | Date, command: string, rest: readonly unknown[]): string {
    const { task } = this.#running("after");
    const due = typeof when === "number" ? this.now + when : when.getTime();
    if (!Number.isSafeInteger(Math.ceil(due)) || (typeof when === "number" && when < 0))
      throw new SheafError("USAGE", "a timer takes a number of milliseconds from now, 0 or more, or a Date");
    const operation = task.entity.operations.get(command);
    if (operation?.kind !== "command")
      throw new SheafError("USAGE", `${task.entity.contract.name} has no command "${command}"`);
    const [given, options] = operation.takesInput ? rest : [undefined, rest[0]];
    operation.input(given);
    this.#roomFor(task.shard);
    const id = (options as TimerOptions | undefined)?.id ?? this.dice.id();
    checkTimerName(id);
    this.#run.timers.push({ name: id, due: Math.ceil(due), command, input: packedInput(given), by: this.#by });
    return id;
  }

  cancel(name: string): void {
    this.#running("cancel");
    checkTimerName(name);
    this.#run.timers.push({ name, command: "", input: packedInput(undefined), by: [] });
  }

  get #by(): readonly string[] {
    const { id, roles } = this.caller;
    return [id, ...roles];
  }

  #running(what: string): Attempt {
    if (this.#attempt.phase === "running") return this.#attempt;
    throw new SheafError("HANDLER_FAILED", `${what} was called after the handler had ended`);
  }

  /** What carries something out may always leave one thing in its place: shards that are full and wait for each other would
   *  wait for ever. */
  #roomFor({ fold, number }: Attempt["task"]["shard"]): void {
    const { messages, timers } = this.#run;
    const left = messages.length + timers.length;
    const { task } = this.#attempt.task.call;
    if (fold.agenda.room(this.#options.limits, true, task ? spareRoom : 1) > left || (task && left === 0)) return;
    throw new SheafError("OVERLOADED", `shard ${number} has as many messages and timers waiting as it may`, {
      retryAfterMs: 1000,
      hint: "See what waits: sheaf task ls. Dead letters count, too: sheaf dlq ls.",
    });
  }

  /** Carries out a call inside the command, once all state that the handler has read is durable: the call stands even if
   *  the command then fails, so it may not rest on what could still be taken back. */
  get invoke(): Invoke {
    const attempt = this.#attempt;
    const { host, calls, limits, tokens } = this.#options;
    return async (target, input, options) => {
      const { hot, task } = attempt;
      if (attempt.phase !== "running")
        throw new SheafError("HANDLER_FAILED", "a call was made after the handler had ended");
      const thread = (attempt.thread ??= new Thread(task.call, tokens()));
      const { chain, signal } = attempt;
      const outer = {
        call: task.call,
        chain,
        signal,
        session: thread.session,
        ordinals: (attempt.calls ??= new Ordinals()),
      };
      const call = innerCall(outer, target, input, options, host, limits.maxCallDepth);
      if (hot && hot.pending > 0) await durable(attempt);
      if (task.shard.lineage !== attempt.lineage) throw outdated(task.shard);
      thread.saw(task.shard.fold.seen);
      const { session } = thread;
      return thread.hear(calls.call(session === call.session ? call : { ...call, session }));
    };
  }
}

/** Times as much as callers may leave is left by what is carried out. */
const spareRoom = 2;

/** Characters of a timer's name. */
const maxTimerName = 256;

function checkTimerName(name: unknown): void {
  if (typeof name === "string" && name !== "" && name.length <= maxTimerName && name.isWellFormed()) return;
  throw new SheafError("USAGE", `a timer's id is 1 to ${maxTimerName} characters`);
}

const packedInput = (given: unknown): Uint8Array =>
  given === undefined ? noInput : pack(plain(given, "what is sent", "BAD_INPUT"));
const noInput = new Uint8Array(0);

const durable = ({ task }: Attempt): Promise<void> =>
  new Promise((resolve, reject) => task.shard.settled((error) => (error ? reject(error) : resolve())));

export class QuerySurroundings implements Surroundings {
  readonly #options: EntitiesOptions;
  readonly #query: Query;
  readonly #now: Instant;
  /** The handler has looked at nothing but its state, key and input (K1). */
  untouched = true;

  constructor(options: EntitiesOptions, query: Query) {
    this.#options = options;
    this.#query = query;
    this.#now = query.ask.shard.now();
  }

  get now(): Instant {
    this.untouched = false;
    return this.#now;
  }
  get host(): Host {
    this.untouched = false;
    return this.#options.host;
  }
  get caller(): Principal {
    this.untouched = false;
    return this.#query.ask.call.principal;
  }
  get signal(): AbortSignal {
    this.untouched = false;
    return this.#query.signal;
  }
  get dice(): Draw {
    return this.host.dice;
  }

  emit(): never {
    throw nothingLeft();
  }
  send(): never {
    throw nothingLeft();
  }
  after(): never {
    throw nothingLeft();
  }
  cancel(): never {
    throw nothingLeft();
  }
  publish(): never {
    throw nothingLeft();
  }

  get invoke(): Invoke {
    this.untouched = false;
    const query = this.#query;
    const { host, calls, limits, tokens } = this.#options;
    return async (target, input, options) => {
      const { call, operation } = query.ask;
      const thread = (query.thread ??= new Thread(call, tokens()));
      if (query.fold) thread.saw(query.fold.seen);
      const chain = [...(call.chain ?? []), { op: "", type: operation.label, key: "" }];
      const outer = {
        call,
        chain,
        signal: query.signal,
        session: thread.session,
        ordinals: (query.calls ??= new Ordinals()),
      };
      return thread.hear(calls.call(innerCall(outer, target, input, options, host, limits.maxCallDepth)));
    };
  }
}

const nothingLeft = (): SheafError =>
  new SheafError("HANDLER_FAILED", "a query cannot emit or publish events, send or set timers");

// What the handlers of commands and queries reach of the runtime. Classes, so that a command pays for one small object.

import { type Instant, SheafError } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import type { Commit } from "../journal/index.ts";
import type { Invoke } from "../model/index.ts";
import { type Draw, drawOf, innerCall, Ordinals, type Principal, type Surroundings, Thread } from "../rpc/index.ts";
import { pack } from "../wire/index.ts";
import { type Attempt, outdated } from "./attempt.ts";
import type { EntitiesOptions } from "./options.ts";
import type { Query } from "./query.ts";

export class CommandSurroundings implements Surroundings {
  readonly now: Instant;
  readonly #options: EntitiesOptions;
  readonly #attempt: Attempt;
  readonly #events: Commit["events"][number][];
  #dice: Draw | undefined;

  constructor(options: EntitiesOptions, attempt: Attempt, events: Commit["events"][number][]) {
    this.#options = options;
    this.#attempt = attempt;
    this.#events = events;
    this.now = Math.max(options.host.clock.now(), attempt.task.shard.fold.at);
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
    const { phase, task } = this.#attempt;
    if (phase !== "running") throw new SheafError("HANDLER_FAILED", "emit was called after the handler had ended");
    this.#events.push({ name, value: pack(task.entity.event(name, value)) });
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
    this.#now = Math.max(options.host.clock.now(), query.ask.shard.fold.at);
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

  emit(): void {
    throw new SheafError("HANDLER_FAILED", "a query cannot emit events");
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

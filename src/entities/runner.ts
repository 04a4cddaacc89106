// Runs one handler and turns what comes of it into a commit, an outcome without a record, or a refusal.

import {
  asSheafError,
  bytesEqual,
  catalogue,
  type ErrorKind,
  messageOf,
  overloaded,
  type Seen,
  SheafError,
} from "../base/index.ts";
import type { Commit, Op } from "../journal/index.ts";
import type { CompiledEntity, Operation } from "../model/index.ts";
import { HandlerContext, type Reply, runHandler } from "../rpc/index.ts";
import { commitBytes, type Hot, type Settle, type Value } from "../shards/index.ts";
import { pack, unpack } from "../wire/index.ts";
import { type Attempt, outdated, type Run } from "./attempt.ts";
import type { EntitiesOptions } from "./options.ts";
import type { Query } from "./query.ts";
import { QueryCache } from "./query-cache.ts";
import { CommandSurroundings, QuerySurroundings } from "./surroundings.ts";

const noReply = new Uint8Array(0);

export class Runner {
  readonly #options: EntitiesOptions;
  readonly #answers: QueryCache;

  constructor(options: EntitiesOptions) {
    this.#options = options;
    this.#answers = new QueryCache(options.limits, options.host);
  }

  /** `pending` when the handler returned a promise: `returned` is then called once it is settled. */
  command(attempt: Attempt, hot: Hot, returned: (attempt: Attempt) => void): "returned" | "pending" {
    const { task } = attempt;
    attempt.lineage = task.shard.lineage;
    try {
      task.shard.serving(task.call.chain !== undefined);
      if (hot.fold !== task.shard.fold) throw new SheafError("NOT_OWNER"); // the shard was lost and opened again since
      if (task.call.task?.stands(hot) === false) throw new SheafError("NOT_READY");
      if (this.#answeredBefore(attempt)) return "returned";
      if (task.shard.full) {
        attempt.reject(overloaded("too much waits for the engine or the local store", 100));
        return "returned";
      }
      this.#checkParked(attempt);
      const run = this.#begin(task.entity, task.key, hot.ahead ?? hot.durable);
      checkVersion(attempt, run.base?.version ?? 0);
      attempt.phase = "running";
      return this.#handle(attempt, run, returned);
    } catch (error) {
      this.#refuse(attempt, asSheafError(error, "HANDLER_FAILED"));
      return "returned";
    }
  }

  #handle(attempt: Attempt, run: Run, returned: (attempt: Attempt) => void): "returned" | "pending" {
    const { operation, input, key } = attempt.task;
    const context = new HandlerContext(
      operation,
      new CommandSurroundings(this.#options, attempt, run),
      input,
      key,
      run.draft,
    );
    let result: unknown;
    try {
      result = runHandler(operation, context);
    } catch (error) {
      this.#refuse(attempt, this.#refusal(operation, context, error));
      return "returned";
    }
    if (!(result instanceof Promise)) {
      this.#finish(attempt, run, result);
      return "returned";
    }
    result.then(
      (value) => {
        this.#finish(attempt, run, value);
        returned(attempt);
      },
      (error) => {
        this.#refuse(attempt, this.#refusal(operation, context, error));
        returned(attempt);
      },
    );
    return "pending";
  }

  /** Answers a repeat from what is remembered (F7). */
  #answeredBefore(attempt: Attempt): boolean {
    const { opId, call, fingerprint, shard } = attempt.task;
    if (opId === undefined) return false;
    const op = shard.fold.operations.find(opId, call.op?.issuedAt, this.#options.host.clock.now());
    if (!op) return false;
    if (!bytesEqual(op.fingerprint, fingerprint)) throw new SheafError("IDEMPOTENCY_MISMATCH");
    const output = op.reply.length === 0 ? undefined : unpack(op.reply);
    attempt.resolve({ output, version: op.version, replayed: true });
    return true;
  }

  #checkParked(attempt: Attempt): void {
    const { parked } = attempt.task.shard.fold;
    if (parked.size === 0) return;
    const name = this.#options.poison.precise(attempt);
    const found = parked.get(name);
    if (found)
      throw new SheafError("POISONED", `${attempt.task.operation.label} is parked: ${found.reason}`, {
        hint: `mend the handler, then release it: sheaf parked release ${quoted(name)}`,
      });
  }

  /** A stored state is brought to this code's schema when it is met first, not each time. */
  #begin(entity: CompiledEntity, key: string, base: Value | undefined): Run {
    if (!base) {
      const draft = entity.initial(key);
      return { base, before: pack(draft), draft, events: [], messages: [], timers: [] };
    }
    if (base.known !== entity && (base.known as Restored | undefined)?.by !== entity)
      base.known = restored(entity, base);
    const before = base.known === entity ? base.state : (base.known as Restored).state;
    return { base, before, draft: unpack(before), events: [], messages: [], timers: [] };
  }

  #finish(attempt: Attempt, run: Run, result: unknown): void {
    if (attempt.phase === "done") return;
    try {
      this.#keep(attempt, run, result);
    } catch (error) {
      this.#refuse(attempt, asSheafError(error, "HANDLER_FAILED"));
    }
  }

  #keep(attempt: Attempt, run: Run, result: unknown): void {
    const { hot } = attempt;
    const { entity, operation, shard, key, call } = attempt.task;
    const output = operation.output(result);
    const kept = entity.state(run.draft);
    const state = pack(kept);
    const { maxStateBytes } = this.#options.limits;
    if (state.length > maxStateBytes) {
      throw new SheafError(
        "TOO_LARGE",
        `the state of ${entity.contract.name}/${key} would be ${state.length} bytes; the limit is ${maxStateBytes}`,
      );
    }
    const version = run.base?.version ?? 0;
    if (shard.lineage !== attempt.lineage) return attempt.reject(outdated(shard));
    const session = attempt.thread?.told;
    const { task } = call;
    if (!hot || (run.events.length + run.messages.length + run.timers.length === 0 && bytesEqual(state, run.before))) {
      const told = tell(attempt, { output, version, session });
      return task ? shard.note({ kind: "done", task: task.id }, told) : shard.settled(told);
    }
    const packed = output === undefined ? undefined : pack(output);
    if (entity.feed && !bytesEqual(state, run.before)) {
      const { version: schema } = entity.contract.state;
      const changed = { version: version + 1, command: operation.name, schema, state: kept };
      run.events.push({ name: entity.feed, value: pack(changed) });
    }
    const value: Value = { version: version + 1, schema: entity.contract.state.version, state, known: entity };
    const commit: Commit = {
      type: entity.contract.name,
      key,
      version: value.version,
      state,
      schema: value.schema,
      command: operation.name,
      principal: call.principal.id,
      events: run.events,
      op: remembered(attempt, packed),
      ...workOf(run, this.#doneOf(task?.id)),
    };
    const { maxBatchBytes } = this.#options.limits;
    if (commitBytes(commit) > maxBatchBytes) {
      throw new SheafError(
        "TOO_LARGE",
        `${operation.label}: state, events and reply together are over the limit of ${maxBatchBytes} bytes`,
      );
    }
    attempt.phase = "committing";
    const settle = tell(attempt, { output, packed, version: value.version, session });
    shard.commit(hot, value, commit, settle, this.#causes(attempt));
  }

  #doneOf(task: string | undefined): string | undefined {
    const isForgotten = this.#options.host.faults.mutant(task?.startsWith("t") ? "M12" : "D3");
    return isForgotten ? undefined : task;
  }

  /** What the command had seen (F1); undefined where it is not kept, or nothing. */
  #causes({ thread, task: { call } }: Attempt): Seen | undefined {
    if (thread) return thread.seen;
    return call.session ? this.#options.tokens()?.read(call.session) : undefined;
  }

  /** A refusal is an outcome too: it waits for what it was computed from (E2). */
  #refuse(attempt: Attempt, refusal: SheafError): void {
    if (attempt.phase === "done") return;
    const { shard } = attempt.task;
    if (shard.lineage !== attempt.lineage) return attempt.reject(outdated(shard));
    if (shard.tenure.kind !== "serving") return attempt.reject(refusal);
    shard.settled((failure) => attempt.reject(failure ?? refusal));
  }

  /** What the caller hears of what a handler threw. The runtime's own refusals of calls made inside keep their code. */
  #refusal(operation: Operation, context: HandlerContext, error: unknown): SheafError {
    if (error instanceof SheafError) {
      if (error === context.refusal) return error;
      const kind: ErrorKind = catalogue[error.code];
      if (kind.exit === 7 || error.code === "REENTRANT") {
        const { retry, retryAfterMs, message } = error;
        return new SheafError(error.code, message, { outcome: "not-applied", retry, retryAfterMs, cause: error });
      }
    }
    const message = messageOf(error);
    const stack = error instanceof Error ? (error.stack ?? message) : message;
    this.#options.host.log.error("a handler threw", { operation: operation.label, error: stack });
    return new SheafError("HANDLER_FAILED", `${operation.label} threw: ${message}`, { cause: error });
  }

  /** Runs a query on the committed state, after a barrier when it is to be strong. */
  query(query: Query): void {
    const { shard, call, operation } = query.ask;
    const level = call.consistency ?? operation.consistency;
    if (level !== "strong") return this.#look(query);
    shard.settled((error) => (error ? query.reject(error) : this.#look(query)));
  }

  #look(query: Query): void {
    const { shard, entity, key } = query.ask;
    const hot = shard.fold.peek(entity.contract.name, key);
    if (hot) return this.#answer(query, hot.durable);
    const failed = (error: unknown): void => query.reject(error as SheafError);
    this.#options.shards
      .load(shard, entity.contract.name, key)
      .then((loaded) => this.#answer(query, loaded.durable), failed);
  }

  #answer(query: Query, value: Value | undefined): void {
    if (query.done) return;
    const { entity, operation, key, input, shard } = query.ask;
    query.fold = shard.fold;
    const version = value?.version ?? 0;
    const staleMs = shard.staleMs(this.#options.host.clock.tick());
    const told = (answer: Pick<Reply, "output" | "packed">): void =>
      query.resolve({ ...answer, version, staleMs, session: query.thread?.told });
    const place = this.#answers.place(query.ask, value?.version);
    const kept = place && this.#answers.find(place);
    if (kept) return told(kept);
    try {
      const { draft } = this.#begin(entity, key, value);
      const around = new QuerySurroundings(this.#options, query);
      const context = new HandlerContext(operation, around, input, key, draft);
      const failed = (error: unknown): void => query.reject(this.#refusal(operation, context, error));
      let result: unknown;
      try {
        result = runHandler(operation, context);
      } catch (error) {
        return failed(error);
      }
      if (!(result instanceof Promise)) {
        const output = operation.output(result);
        return told({ output, packed: place && around.untouched ? this.#answers.keep(place, output) : undefined });
      }
      result
        .then((value) => told({ output: operation.output(value) }))
        .then(undefined, (error: unknown) => (isOutputError(error) ? query.reject(error) : failed(error)));
    } catch (error) {
      query.reject(asSheafError(error, "HANDLER_FAILED"));
    }
  }
}

/** As a shell takes it for one word. */
const quoted = (text: string): string =>
  /^[\w./#:@-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** A state as the code `by` reads it, where that is not how it is stored. */
type Restored = { readonly by: CompiledEntity; readonly state: Uint8Array };

/** The entity itself when the stored state is as its schema gives it. A state of the current version that does not fit is
 *  left as it is: a command may mend it, and what it leaves is checked. */
function restored(entity: CompiledEntity, base: Value): CompiledEntity | Restored {
  let state: Uint8Array;
  try {
    state = pack(entity.restore(base.schema, unpack(base.state)));
  } catch (error) {
    const unfit = error instanceof SheafError && error.code === "BAD_STATE";
    if (unfit && base.schema === entity.contract.state.version) return entity;
    throw error;
  }
  return bytesEqual(state, base.state) ? entity : { by: entity, state };
}

function checkVersion(attempt: Attempt, version: number): void {
  const { call, operation } = attempt.task;
  if (call.ifVersion === undefined || call.ifVersion === version) return;
  throw new SheafError(
    "PRECONDITION_FAILED",
    `${operation.label} expects version ${call.ifVersion}; the entity is at ${version}`,
  );
}

function remembered({ task }: Attempt, reply: Uint8Array = noReply): Op | undefined {
  const { op } = task.call;
  if (!op || task.opId === undefined) return undefined;
  const { issuedAt, settled, open } = op;
  return { id: task.opId, fingerprint: task.fingerprint, issuedAt, settled, ...(open && { open }), reply };
}

function workOf({ messages, timers }: Run, done: string | undefined): Pick<Commit, "work"> | undefined {
  if (messages.length + timers.length === 0 && done === undefined) return undefined;
  return { work: { messages, timers, ...(done !== undefined && { done }) } };
}

const tell =
  (attempt: Attempt, reply: Reply): Settle =>
  (error) =>
    error ? attempt.reject(error) : attempt.resolve(reply);

const isOutputError = (error: unknown): error is SheafError =>
  error instanceof SheafError && error.code === "BAD_OUTPUT";

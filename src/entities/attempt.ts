// One command on its way: waiting, running, committing, done. Whatever ends it first decides what its caller hears; what
// comes later changes nothing.
//
// A1. A caller that gives up before the commit was accepted ends the attempt: it can never commit, and is not-applied.
// A2. A caller that gives up after that hears `unknown`, and the attempt goes on: until its commit is decided, a repeat
//     joins it. It must not be run again in between.

import { type ErrorCode, SheafError, type Tick } from "../base/index.ts";
import type { Commit, Work } from "../journal/index.ts";
import type { CompiledEntity, Operation } from "../model/index.ts";
import type { Awaited, Call, Link, Ordinals, Reply, Thread } from "../rpc/index.ts";
import type { Hot, Shard, Value } from "../shards/index.ts";

export type Answer = { resolve(reply: Reply): void; reject(error: SheafError): void };

export type Task = {
  readonly number: number;
  readonly call: Call;
  readonly entity: CompiledEntity;
  readonly operation: Operation;
  readonly shard: Shard;
  readonly key: string;
  readonly input: unknown;
  /** Scoped id of the operation, when it has one. */
  readonly opId: string | undefined;
  readonly fingerprint: Uint8Array;
  readonly answer: Answer;
  /** Called when its deadline no longer matters: only the engine's answer is waited for. */
  readonly left: (attempt: Attempt) => void;
  /** Called once, when it is done. */
  readonly ended: (attempt: Attempt) => void;
};

export class Attempt {
  readonly task: Task;
  readonly deadline: Tick;
  phase: "waiting" | "running" | "committing" | "done" = "waiting";
  hot: Hot | undefined;
  lineage = 0;
  /** Calls made inside so far, and what was seen through them. */
  calls: Ordinals | undefined;
  thread: Thread | undefined;
  #waits: Set<Awaited> | undefined;
  /** Where it is entered as what the command around it waits for. */
  waitedFor: { readonly by: Set<Awaited>; readonly entry: Awaited } | undefined;
  /** More callers with the same operation id. */
  #joined: Answer[] | undefined;
  #told = false;
  #controller: AbortController | undefined;
  #chain: readonly Link[] | undefined;

  constructor(task: Task) {
    this.task = task;
    this.deadline = task.call.deadline;
    const { signal } = task.call;
    if (signal?.aborted) this.handleEvent();
    else signal?.addEventListener("abort", this, { once: true });
  }

  /** Aborts when the command ends otherwise than by its handler returning. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.phase === "done") this.#controller.abort();
    return this.#controller.signal;
  }

  get chain(): readonly Link[] {
    const { call, entity, key, number } = this.task;
    const link = { op: String(number), type: entity.contract.name, key, waits: (this.#waits ??= new Set()) };
    this.#chain ??= [...(call.chain ?? []), link];
    return this.#chain;
  }

  /** Entities that calls made inside are waiting for, through services and queries, too. */
  get waits(): ReadonlySet<Awaited> | undefined {
    return this.#waits;
  }

  /** The command around this one need not wait for it any more. */
  awaitedNoMore(): void {
    if (this.waitedFor === undefined) return;
    this.waitedFor.by.delete(this.waitedFor.entry);
    this.waitedFor = undefined;
  }

  join(answer: Answer): void {
    (this.#joined ??= []).push(answer);
  }

  leave(answer: Answer): void {
    this.#joined = this.#joined?.filter((joined) => joined !== answer);
  }

  /** Its caller has given up. */
  handleEvent(): void {
    this.#leave("CANCELLED", this.#joined !== undefined && this.#joined.length > 0);
  }

  giveUp(code: ErrorCode): void {
    this.#leave(code, false);
  }

  /** Its caller hears no more of it. It goes on when its commit is accepted (A2), or others wait for the same. */
  #leave(code: ErrorCode, awaited: boolean): void {
    const committing = this.phase === "committing";
    if (!committing && !awaited) return this.reject(new SheafError(code, undefined, { outcome: "not-applied" }));
    if (this.#tell()) this.task.answer.reject(this.#seenWith(new SheafError(code, undefined, { outcome: "unknown" })));
    if (committing) this.task.left(this);
  }

  resolve(reply: Reply): void {
    if (!this.#end()) return;
    if (this.#tell()) this.task.answer.resolve(reply);
    if (this.#joined) for (const answer of this.#joined) answer.resolve(reply);
  }

  reject(refusal: SheafError): void {
    if (!this.#end()) return;
    this.#controller?.abort(refusal);
    const error = this.#seenWith(refusal);
    if (this.#tell()) this.task.answer.reject(error);
    if (this.#joined) for (const answer of this.#joined) answer.reject(error);
  }

  #seenWith(error: SheafError): SheafError {
    return this.thread?.refused(error) ?? error;
  }

  /** Is its caller still to be told? Then not again. */
  #tell(): boolean {
    if (this.#told) return false;
    this.#told = true;
    this.task.call.signal?.removeEventListener("abort", this);
    return true;
  }

  #end(): boolean {
    if (this.phase === "done") return false;
    this.phase = "done";
    this.task.ended(this);
    return true;
  }
}

/** A command's handler at work: its draft, and what it has emitted and left to be done. */
export type Run = {
  readonly base: Value | undefined;
  readonly before: Uint8Array;
  readonly draft: unknown;
  readonly events: Commit["events"][number][];
  /** Messages and timers, in the order in which the handler left them. */
  readonly messages: Work["messages"][number][];
  readonly timers: Work["timers"][number][];
};

/** What the handler read was taken back: the shard went to another node, or the engine refused or lost what came before. */
export const outdated = ({ held }: Shard): SheafError =>
  held === undefined
    ? new SheafError("NOT_OWNER")
    : new SheafError(
        "ENGINE_UNAVAILABLE",
        "what the handler had read was not kept by the engine; nothing was changed",
        {
          retry: "now",
        },
      );

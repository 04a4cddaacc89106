// One command on its way: waiting, running, committing, done. Whatever ends it first decides what its caller hears; what
// comes later changes nothing.
//
// A1. An attempt that ended before its commit was accepted can never commit: its outcome is not-applied.
// A2. An attempt that ended after that says `unknown`: the commit may still become durable.

import { type ErrorCode, type Outcome, SheafError, type Tick } from "../base/index.ts";
import type { CompiledEntity, Operation } from "../model/index.ts";
import type { Call, Link, Reply } from "../rpc/index.ts";
import type { Hot, Shard } from "../shards/index.ts";

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
  /** Told once, when it is done. */
  readonly ended: (attempt: Attempt) => void;
};

export class Attempt {
  readonly task: Task;
  readonly deadline: Tick;
  phase: "waiting" | "running" | "committing" | "done" = "waiting";
  hot: Hot | undefined;
  lineage = 0;
  /** Calls made inside so far. */
  calls = 0;
  /** Entities that calls made inside are waiting for. */
  readonly waits: { type: string; key: string }[] = [];
  /** More callers with the same operation id. */
  #joined: Answer[] | undefined;
  #controller: AbortController | undefined;
  #chain: readonly Link[] | undefined;

  constructor(task: Task) {
    this.task = task;
    this.deadline = task.call.deadline;
    const { signal } = task.call;
    if (signal?.aborted) this.cancel();
    else signal?.addEventListener("abort", this.cancel, { once: true });
  }

  /** Aborts when the command ends otherwise than by its handler returning. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.phase === "done") this.#controller.abort();
    return this.#controller.signal;
  }

  get chain(): readonly Link[] {
    const { call, entity, key, number } = this.task;
    this.#chain ??= [...(call.chain ?? []), { op: String(number), type: entity.contract.name, key }];
    return this.#chain;
  }

  join(answer: Answer): void {
    (this.#joined ??= []).push(answer);
  }

  leave(answer: Answer): void {
    this.#joined = this.#joined?.filter((joined) => joined !== answer);
  }

  /** Its caller gave up. It goes on for the callers who asked the same. */
  readonly cancel = (): void => {
    if (!this.#joined?.length) this.#giveUp("CANCELLED");
    else this.task.answer.reject(new SheafError("CANCELLED"));
  };

  expire(): void {
    this.#giveUp("DEADLINE");
  }

  /** Ends it from outside, with an outcome that follows from how far it came. */
  #giveUp(code: ErrorCode): void {
    const outcome: Outcome = this.phase === "committing" ? "unknown" : "not-applied";
    this.reject(new SheafError(code, undefined, { outcome }));
  }

  resolve(reply: Reply): void {
    if (!this.#end()) return;
    this.task.answer.resolve(reply);
    for (const answer of this.#joined ?? []) answer.resolve(reply);
  }

  reject(error: SheafError): void {
    if (!this.#end()) return;
    this.#controller?.abort(error);
    this.task.answer.reject(error);
    for (const answer of this.#joined ?? []) answer.reject(error);
  }

  #end(): boolean {
    if (this.phase === "done") return false;
    this.phase = "done";
    this.task.call.signal?.removeEventListener("abort", this.cancel);
    this.task.ended(this);
    return true;
  }
}

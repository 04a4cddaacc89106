// One query on its way. Queries do not wait for commands: they see the last committed state.

import { type ErrorCode, SheafError, type Tick } from "../base/index.ts";
import type { CompiledEntity, Operation } from "../model/index.ts";
import type { Call, Ordinals, Reply, Thread } from "../rpc/index.ts";
import type { Fold, Shard } from "../shards/index.ts";
import type { Answer } from "./attempt.ts";

export type Ask = {
  readonly call: Call;
  readonly entity: CompiledEntity;
  readonly operation: Operation;
  readonly shard: Shard;
  readonly key: string;
  readonly input: unknown;
  readonly answer: Answer;
  /** Told once, when it is done. */
  readonly ended: (query: Query) => void;
};

export class Query {
  readonly ask: Ask;
  readonly deadline: Tick;
  /** Calls made inside so far, and what was seen through them. */
  calls: Ordinals | undefined;
  thread: Thread | undefined;
  /** What it looks at. */
  fold: Fold | undefined;
  #done = false;
  #controller: AbortController | undefined;

  constructor(ask: Ask) {
    this.ask = ask;
    this.deadline = ask.call.deadline;
    ask.call.signal?.addEventListener("abort", this, { once: true });
  }

  get done(): boolean {
    return this.#done;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#done) this.#controller.abort();
    return this.#controller.signal;
  }

  /** Its caller has given up. */
  handleEvent(): void {
    this.giveUp("CANCELLED");
  }

  giveUp(code: ErrorCode): void {
    this.reject(new SheafError(code, undefined, { outcome: "not-applied" }));
  }

  resolve(reply: Reply): void {
    if (this.#end()) this.ask.answer.resolve(reply);
  }

  reject(error: SheafError): void {
    if (!this.#end()) return;
    this.#controller?.abort(error);
    this.ask.answer.reject(this.thread?.refused(error) ?? error);
  }

  #end(): boolean {
    if (this.#done) return false;
    this.#done = true;
    this.ask.call.signal?.removeEventListener("abort", this);
    this.ask.ended(this);
    return true;
  }
}

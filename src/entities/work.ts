// What commands have left to be done, at the shards of one node: sent, taken in, carried out.

import type { Limits } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import type { Call, Calls, Reply, Sessions } from "../rpc/index.ts";
import type { Shard, Shards, Task } from "../shards/index.ts";
import type { CompiledApp } from "../model/index.ts";
import { Inbox } from "./inbox.ts";
import { Jobs } from "./jobs.ts";
import { Outbox } from "./outbox.ts";
import { Redrives } from "./redrives.ts";
import { Tasks } from "./tasks.ts";

export type WorkOptions = {
  readonly host: Host;
  readonly limits: Limits;
  readonly shards: Shards;
  /** Carries calls to wherever they belong. */
  readonly calls: Calls;
  /** Carries a command out on this node. */
  readonly here: (call: Call) => Promise<Reply>;
  /** How many tasks may wait for their turn on this node, so that callers get theirs. */
  readonly room: () => number;
  readonly tokens: () => Sessions | undefined;
  /** The application as it is now. */
  readonly app: () => CompiledApp;
  /** How many nodes offer a service now. */
  readonly hosts: (service: string) => number;
  /** Whether a process is gone that had jobs. */
  readonly isGone: (node: string) => boolean;
};

export class Work {
  readonly #outbox: Outbox;
  readonly #inbox: Inbox;
  readonly #tasks: Tasks;
  readonly #jobs: Jobs;
  readonly #redrives: Redrives;

  constructor(options: WorkOptions) {
    this.#outbox = new Outbox({ ...options, shards: options.shards.all.length });
    this.#inbox = new Inbox(options);
    this.#tasks = new Tasks(options);
    this.#jobs = new Jobs(options);
    this.#redrives = new Redrives(options);
  }

  /** The agenda of a shard that is owned here has changed, or the shard has just been won. */
  wake(shard: Shard): void {
    if (!shard.fold.agenda.isUsed) return;
    this.#outbox.wake(shard);
    this.#tasks.wake(shard);
    this.#jobs.wake(shard);
    this.#redrives.wake(shard);
  }

  /** Takes in what another shard's owner sends. */
  accept(call: Call): Promise<Reply> {
    return this.#inbox.accept(call);
  }

  /** Carries out a call that concerns jobs of a queue. */
  ofQueue(call: Call): Promise<Reply> {
    return this.#jobs.calls.call(call);
  }

  /** Other nodes are gone, perhaps. */
  look(): void {
    this.#jobs.look();
  }

  /** See `Jobs`. */
  pause(...asked: Parameters<Jobs["pause"]>): Promise<void> {
    return this.#jobs.pause(...asked);
  }
  purge(...asked: Parameters<Jobs["purge"]>): Promise<number> {
    return this.#jobs.purge(...asked);
  }

  /** Ends a task that is not to be carried out any more. Rejects IN_USE while it is carried out. */
  withdraw(shard: Shard, task: Task): Promise<void> {
    return this.#tasks.withdraw(shard, task);
  }

  close(): void {
    this.#outbox.close();
    this.#tasks.close();
    this.#jobs.close();
    this.#redrives.close();
  }
}

// The dead letters of a shard that are tried again by themselves, in the order in which that is due. Part of the agenda.

import type { Instant } from "../base/index.ts";
import { Heap } from "./heap.ts";
import type { Task } from "./task.ts";

type Entry = { readonly at: Instant; readonly id: string };

export class Again {
  readonly #heap = new Heap<Entry>((a, b) => a.at < b.at);
  readonly #find: (id: string) => Task | undefined;

  /** `find` gives a task as it is now. */
  constructor(find: (id: string) => Task | undefined) {
    this.#find = find;
  }

  /** The one that is tried again first. */
  get first(): (Task & { readonly again: Instant }) | undefined {
    for (let next = this.#heap.first; next !== undefined; next = this.#heap.first) {
      const task = this.#find(next.id);
      if (task?.again === next.at) return { ...task, again: next.at };
      this.#heap.shift();
    }
    return undefined;
  }

  /** Takes what `first` gave. */
  take(): void {
    this.#heap.shift();
  }

  /** Enters the task of this id, if it is to be tried again. */
  add(id: string): void {
    const at = this.#find(id)?.again;
    if (at !== undefined) this.#heap.add({ at, id });
  }
}

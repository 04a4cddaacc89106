// Tasks that something ends which is accepted and not durable yet, or an attempt at them: asked for each task that is looked at, so
// it is kept rather than searched for.

import type { Commit, Note } from "../journal/index.ts";

export class Settling {
  readonly #counts = new Map<string, number>();

  has(task: string): boolean {
    return this.#counts.has(task);
  }

  add(change: Commit | Note): void {
    for (const task of endedBy(change)) this.#counts.set(task, (this.#counts.get(task) ?? 0) + 1);
  }

  durable(change: Commit | Note): void {
    for (const task of endedBy(change)) {
      const left = (this.#counts.get(task) ?? 0) - 1;
      if (left > 0) this.#counts.set(task, left);
      else this.#counts.delete(task);
    }
  }

  /** None of it came to be. */
  clear(): void {
    this.#counts.clear();
  }
}

const none: readonly string[] = [];

function endedBy(change: Commit | Note): readonly string[] {
  if (!("kind" in change)) return change.work?.done === undefined ? none : [change.work.done];
  if (change.kind === "purged") return change.tasks;
  return change.kind === "done" || change.kind === "failed" ? [change.task] : none;
}

// Was every answer of a copy a state that really was, and not older than it said?
//
// S1. What a copy shows is a beginning of what there is in the end, in the same order: nothing that was not journaled, and
//     no gap.
// S2. It holds all that was acknowledged longer ago than the copy says that it may be behind.

import type { Millis } from "../base/index.ts";

export type Added = { readonly id: string; readonly acknowledgedAt: Millis };
export type Glance = {
  readonly ids: readonly string[];
  /** When the question was sent to whom it was answered by. */
  readonly askedAt: Millis;
  /** How old the answer may be, as it said; undefined when that is not to be believed. */
  readonly staleMs: Millis | undefined;
};

/** Problems in words. `last` is the list in the end. */
export function checkGlances(last: readonly string[], added: readonly Added[], glances: readonly Glance[]): string[] {
  const problems: string[] = [];
  for (const { ids, askedAt, staleMs } of glances) {
    const odd = ids.findIndex((id, index) => id !== last[index]);
    if (odd >= 0) problems.push(`a copy showed ${ids[odd]} at place ${odd}, where in the end ${last[odd]} is`);
    if (staleMs === undefined) continue;
    const shown = new Set(ids);
    for (const { id, acknowledgedAt } of added)
      if (acknowledgedAt < askedAt - staleMs && !shown.has(id))
        problems.push(
          `a copy asked at ${askedAt.toFixed(1)} said that it was ${staleMs.toFixed(1)} ms behind, and missed ${id} of ${acknowledgedAt.toFixed(1)}`,
        );
  }
  return problems;
}

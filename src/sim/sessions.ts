// Did every session see what it had to see (Terry et al., "Session guarantees for weakly consistent replicated data", 1994)?
// Things are counted up, so that a state is known by its number: a later one has a higher.
//
// N1. Read your writes, monotonic reads: a session never sees less of a thing than it has seen or written.
// N2. Monotonic writes: what it writes comes after all that it has seen of that thing.
// N3. Writes follow reads: who sees a write has seen what its writer had seen. Only where `transitive`.

/** A thing as it was seen: how far it had come, and what its writers had seen of others. */
export type Sight = {
  readonly key: string;
  readonly count: number;
  readonly causes: Readonly<Record<string, number>>;
  readonly wrote: boolean;
};

export type SessionStep =
  | { readonly kind: "saw"; readonly session: string; readonly sights: readonly Sight[] }
  /** Goes on with what another session had seen so far, in place of its own. */
  | { readonly kind: "took"; readonly session: string; readonly from: string };

/** Problems in words, none when every session saw enough. Steps are in the order in which they ended; those of one session
 *  do not overlap. */
export function checkSessions(steps: readonly SessionStep[], transitive: boolean): string[] {
  const problems: string[] = [];
  const seen = new Map<string, Map<string, number>>();
  for (const step of steps) {
    const { session } = step;
    if (step.kind === "took") {
      seen.set(session, new Map(seen.get(step.from)));
      continue;
    }
    const mine = seen.get(session) ?? new Map<string, number>();
    seen.set(session, mine);
    const learn = (key: string, count: number): void => void mine.set(key, Math.max(mine.get(key) ?? 0, count));
    for (const { key, count, causes, wrote } of step.sights) {
      const before = mine.get(key) ?? 0;
      if (wrote && count <= before)
        problems.push(`${session} wrote ${key} to ${count} after it had seen it at ${before}`);
      if (!wrote && count < before)
        problems.push(`${session} saw ${key} at ${count} after it had seen it at ${before}`);
      learn(key, count);
      if (transitive) for (const [cause, at] of Object.entries(causes)) learn(cause, at);
    }
  }
  return problems;
}

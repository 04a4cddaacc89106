// Is everything that was acknowledged still there, once? (Jepsen's "set-full", PROMISES W3.)

export type SetAttempt = {
  /** Unique in the run. */
  readonly id: string;
  readonly outcome: "applied" | "not-applied" | "unknown";
  /** Points on the clock that orders all events; `end` is when the outcome was learnt. */
  readonly start: number;
  readonly end: number;
};
/** A strong read of the whole set. */
export type SetRead = { readonly ids: readonly string[]; readonly start: number; readonly end: number };

/** Problems in words, none when all is well. The last read is the one taken after the world healed. */
export function checkSet(attempts: readonly SetAttempt[], reads: readonly SetRead[]): string[] {
  const problems: string[] = [];
  const byId = new Map(attempts.map((attempt) => [attempt.id, attempt]));
  for (const read of reads) {
    const seen = new Set<string>();
    for (const id of read.ids) {
      if (seen.has(id)) problems.push(`${id} is in the set twice`);
      seen.add(id);
      const attempt = byId.get(id);
      if (attempt === undefined) problems.push(`${id} was never added`);
      else if (attempt.outcome === "not-applied")
        problems.push(`${id} is in the set though its caller was told that it was not added`);
      else if (attempt.start > read.end) problems.push(`${id} was read before it was added`);
    }
    for (const { id, outcome, end } of attempts)
      if (outcome === "applied" && end < read.start && !seen.has(id))
        problems.push(`${id} was acknowledged but is missing from a later read`);
  }
  const sorted = reads.toSorted((a, b) => a.start - b.start);
  for (let i = 1; i < sorted.length; i++) {
    const [earlier, later] = [sorted[i - 1] as SetRead, sorted[i] as SetRead];
    if (earlier.end >= later.start) continue;
    const now = new Set(later.ids);
    for (const id of earlier.ids) if (!now.has(id)) problems.push(`${id} was read and then vanished`);
  }
  return [...new Set(problems)];
}

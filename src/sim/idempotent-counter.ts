// Did each operation count once, however often it was sent? Each adds 1 and is sent one to five times under one
// operation id (PROMISES W5).

export type Count = {
  readonly op: string;
  /** What the caller learnt of it from all attempts together. */
  readonly outcome: "applied" | "not-applied" | "unknown";
  /** The values that repeats were answered with: all must be the same. */
  readonly answers: readonly number[];
};

/** Problems in words, none when all is well: ok-distinct ≤ final ≤ ok-distinct + unknown-distinct. */
export function checkCounter(counts: readonly Count[], final: number): string[] {
  const problems: string[] = [];
  const of = (outcome: Count["outcome"]): number => counts.filter((count) => count.outcome === outcome).length;
  const [least, unknown] = [of("applied"), of("unknown")];
  if (final < least) problems.push(`the counter is ${final} but ${least} additions were acknowledged`);
  if (final > least + unknown)
    problems.push(
      `the counter is ${final} but at most ${least + unknown} additions can have happened (${unknown} unknown)`,
    );
  const byAnswer = new Map<number, string>();
  for (const { op, answers } of counts) {
    if (new Set(answers).size > 1) problems.push(`repeats of ${op} were answered differently: ${answers.join(", ")}`);
    const answer = answers[0];
    if (answer === undefined) continue;
    const other = byAnswer.get(answer);
    if (other !== undefined && other !== op) problems.push(`${other} and ${op} both counted to ${answer}`);
    byAnswer.set(answer, op);
  }
  return problems;
}

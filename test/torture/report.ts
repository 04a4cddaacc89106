// What a run came to, as a table for people and as one object for programs.

import { faults } from "./faults.ts";
import { type Spread, spread } from "./timers.ts";
import type { Outcome } from "./torture.ts";

type Row = {
  readonly fault: string;
  readonly strikes: number;
  readonly calls: number;
  readonly answered: number;
  readonly failed: number;
  /** Milliseconds that the caller who was unanswered longest had to wait, over the strikes. */
  readonly unanswered: Spread;
  readonly takeovers: number;
  readonly violations: readonly string[];
  /** Why it did not strike. */
  readonly notRun: string | undefined;
};

export type Report = {
  readonly isGreen: boolean;
  readonly rows: readonly Row[];
  readonly checked: Outcome["seen"];
  /** How many timers went off, how late, and how much later than callers went unanswered, in milliseconds. */
  readonly timing: Outcome["timing"];
  readonly journal: Outcome["journal"];
  readonly tooLittle: readonly string[];
  /** One line. */
  readonly verdict: string;
};

export function reportOf(outcome: Outcome): Report {
  const { stretches, notRun, journal, tooLittle, seen, timing } = outcome;
  const names = [...new Set([...stretches.map(({ fault }) => fault), ...notRun.keys()])];
  const rows = names.map((fault) => rowOf(fault, outcome));
  const others = journal.problems.length + timing.problems.length;
  const violations = rows.reduce((sum, row) => sum + row.violations.length, others);
  const isGreen = violations === 0 && tooLittle.length === 0;
  const verdict =
    violations > 0
      ? `${violations} VIOLATIONS`
      : `0 lost · 0 duplicated · 0 stale${tooLittle.length > 0 ? ", but the run SAW TOO LITTLE" : ""}`;
  return { isGreen, rows, checked: seen, timing, journal, tooLittle, verdict };
}

function rowOf(fault: string, { stretches, notRun }: Outcome): Row {
  const mine = stretches.filter((stretch) => stretch.fault === fault);
  const sum = (of: "calls" | "answered" | "failed" | "takeovers"): number =>
    mine.reduce((total, stretch) => total + (stretch[of] ?? 0), 0);
  return {
    fault,
    strikes: fault in faults ? mine.length : 0,
    calls: sum("calls"),
    answered: sum("answered"),
    failed: sum("failed"),
    unanswered: spread(mine.map(({ silentMs }) => silentMs)),
    takeovers: sum("takeovers"),
    violations: mine.flatMap(({ number, violations }) => violations.map((says) => `strike ${number}: ${says}`)),
    notRun: notRun.get(fault),
  };
}

const heads = [
  "fault",
  "strikes",
  "calls",
  "answered",
  "failed",
  "p50 ms",
  "p99 ms",
  "worst ms",
  "takeovers",
  "violations",
];

/** The table, what was wrong, and the verdict as the last line. */
export function textOf({ rows, journal, checked, timing, tooLittle, verdict }: Report): string {
  const cells = rows.map((row) => {
    const { fault, strikes, calls, answered, failed, unanswered, takeovers, violations, notRun } = row;
    if (notRun !== undefined) return [fault, `not run: ${notRun}`];
    const { p50, p99, worst } = unanswered;
    return [fault, strikes, calls, answered, failed, p50, p99, worst, takeovers, violations.length].map(String);
  });
  const full = [heads, ...cells.filter(({ length }) => length > 2)];
  const widths = heads.map((_, column) => Math.max(...full.map((line) => line[column]!.length)));
  const line = (each: readonly string[]): string =>
    each.length === 2
      ? `${each[0]!.padEnd(widths[0]!)}  ${each[1]}`
      : each.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!))).join("  ");
  const counts = Object.entries(checked).map(([kind, count]) => `${kind} ${count}`);
  return [
    ...[heads, ...cells].map(line),
    "",
    `checked: ${counts.join(" · ")} · journal records ${journal.records}, of them void ${journal.voided}`,
    ...timerLines(timing),
    ...firstOf([
      ...rows.flatMap(({ fault, violations }) => violations.map((says) => `VIOLATION  ${fault}, ${says}`)),
      ...timing.problems.map((says) => `VIOLATION  timers: ${says}`),
      ...journal.problems.map((says) => `VIOLATION  journal: ${says}`),
    ]),
    ...tooLittle.map((says) => `TOO LITTLE  ${says}`),
    verdict,
  ].join("\n");
}

const mostTold = 40;
const firstOf = (lines: readonly string[]): readonly string[] =>
  lines.length <= mostTold ? lines : [...lines.slice(0, mostTold), `… and ${lines.length - mostTold} more (--json)`];

function timerLines({ count, late, beyond }: Outcome["timing"]): string[] {
  if (count === 0) return [];
  const told = ({ p50, p99, worst }: Spread): string => `p50 ${p50}, p99 ${p99}, worst ${worst} ms`;
  return [
    `timers: ${count} went off, late by ${told(late)}; less what callers went unanswered meanwhile: ${told(beyond)} (may be: p99 1000 ms)`,
  ];
}

// What a row of the targets came to: figures side by side, single facts, and whether each target is met. And how that is told:
// as tables of Markdown, which are also read as they are.

import type { Figure } from "./contender.ts";

export type Fact = { readonly name: string; readonly value: number; readonly unit: string };

/** A target, and what was found. `value` is undefined when one of the two could not be measured. */
export type Check = {
  readonly says: string;
  readonly value: number | undefined;
  readonly bound: "at least" | "at most";
  readonly target: number;
};

export type Outcome = {
  readonly figures?: readonly Figure[];
  readonly facts?: readonly Fact[];
  readonly checks: readonly Check[];
  /** What is to be known to read the figures. */
  readonly notes?: readonly string[];
};

export const isMet = ({ value, bound, target }: Check): boolean | undefined =>
  value === undefined || Number.isNaN(value) ? undefined : bound === "at least" ? value >= target : value <= target;

type Compared = { readonly ours: string; readonly to: string; readonly inFlight: number };

const pick = (figures: readonly Figure[], name: string, inFlight: number): Figure | undefined =>
  figures.find((figure) => figure.name === name && figure.inFlight === inFlight);

/** Ours in operations per second, at least so many times another's. */
export function rateCheck(figures: readonly Figure[], { ours, to, inFlight }: Compared, target: number): Check {
  const [one, other] = [pick(figures, ours, inFlight), pick(figures, to, inFlight)];
  const value = one && other && one.opsPerSec / other.opsPerSec;
  return { says: `${ours} × ${to}, ${inFlight} in flight`, value, bound: "at least", target };
}

/** Ours in the median time of an operation, at most so many times another's. */
export function timeCheck(figures: readonly Figure[], { ours, to, inFlight }: Compared, target: number): Check {
  const [one, other] = [pick(figures, ours, inFlight), pick(figures, to, inFlight)];
  const value = one && other && one.p50Ms / other.p50Ms;
  return { says: `p50 of ${ours} ÷ ${to}, ${inFlight} in flight`, value, bound: "at most", target };
}

const tidy = (value: number): string =>
  value >= 100 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));

/** Columns after the first are numbers. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, n) => Math.max(3, title.length, ...rows.map((row) => row[n]!.length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, n) => (n === 0 ? cell.padEnd(widths[n]!) : cell.padStart(widths[n]!))).join(" | ")} |`;
  const rule = widths.map((width, n) => (n === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`));
  return [line(head), line(rule), ...rows.map(line)].join("\n");
}

const figureHead = ["who", "in flight", "per second", "p50 ms", "p99 ms", "× limit", "CPU µs caller", "CPU µs server"];
const costHead = ["wire B", "disk B", "MB"];

function figureTable(figures: readonly Figure[]): string {
  const limitAt = (inFlight: number): Figure | undefined =>
    figures.find((figure) => figure.role === "limit" && figure.inFlight === inFlight);
  const rows = figures.map((figure) => {
    const limit = limitAt(figure.inFlight);
    return [
      figure.name,
      String(figure.inFlight),
      tidy(figure.opsPerSec),
      tidy(figure.p50Ms),
      tidy(figure.p99Ms),
      limit ? (figure.opsPerSec / limit.opsPerSec).toFixed(2) : "",
      tidy(figure.callerMicrosPerOp),
      tidy(figure.serverMicrosPerOp),
      tidy(figure.wireBytesPerOp),
      tidy(figure.diskBytesPerOp),
      tidy(figure.residentMb),
    ];
  });
  return table([...figureHead, ...costHead], rows);
}

/** As text that is also Markdown. */
export function render({ figures = [], facts = [], checks, notes = [] }: Outcome): string {
  const verdict = (check: Check): string =>
    ({ true: "met", false: "MISSED", undefined: "not measured" })[`${isMet(check)}`];
  const parts = [
    figures.length > 0 && figureTable(figures),
    facts.length > 0 &&
      table(
        ["what", "measured", "unit"],
        facts.map(({ name, value, unit }) => [name, tidy(value), unit]),
      ),
    checks.length > 0 &&
      table(
        ["target", "measured", "wanted", "verdict"],
        checks.map((check) => [
          check.says,
          check.value === undefined ? "" : tidy(check.value),
          `${check.bound} ${tidy(check.target)}`,
          verdict(check),
        ]),
      ),
    notes.length > 0 && notes.map((note) => `- ${note}`).join("\n"),
  ];
  return parts.filter(Boolean).join("\n\n");
}

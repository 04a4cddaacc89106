// Counts and measures, kept in memory and rendered as Prometheus or OpenMetrics text.
// Histograms are log-linear: four equal buckets per power of two inside (a value is known within 1/8), a fixed
// set of powers of two outside.

import { invariant } from "../base/index.ts";
import type { Counter, Gauge, Histogram, Meter } from "../host/index.ts";

type Labels = Readonly<Record<string, string>>;
export type TextFormat = "prometheus" | "openmetrics";

export type RealMeter = Meter & {
  /** Everything measured so far. */
  render(format?: TextFormat): string;
  /** Runs `fn` at the start of every rendering: where gauges that cost something are refreshed. */
  beforeRender(fn: () => void): void;
};

type Kind = "counter" | "gauge" | "histogram";
type Series = Counter & Gauge & Histogram & { lines(name: string, labels: string): string[] };
type Family = { readonly kind: Kind; readonly help: string; readonly series: Map<string, Series> };

const namePattern = /^[a-z][a-z0-9_]*$/;
const escapeLabel = (text: string): string => text.replace(/[\\"\n]/g, (c) => (c === "\n" ? "\\n" : `\\${c}`));
const escapeHelp = (text: string): string => text.replace(/[\\\n]/g, (c) => (c === "\n" ? "\\n" : "\\\\"));
const withLabels = (name: string, labels: string, more = ""): string => {
  const all = labels && more ? `${labels},${more}` : labels + more;
  return all ? `${name}{${all}}` : name;
};
function number(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
}
const notThis = (): never => {
  throw new Error("this measure is of another kind");
};

function counter(): Series {
  let total = 0;
  return {
    add: (amount = 1) => void (amount > 0 && (total += amount)),
    set: notThis,
    record: notThis,
    lines: (name, labels) => [`${withLabels(`${name}_total`, labels)} ${number(total)}`],
  };
}

function gauge(): Series {
  let current = 0;
  return {
    add: notThis,
    set: (value) => void (current = value),
    record: notThis,
    lines: (name, labels) => [`${withLabels(name, labels)} ${number(current)}`],
  };
}

const float = new Float64Array(1);
const words = new Uint32Array(float.buffer); // little-endian, as every platform that Node supports
const stepsPerOctave = 4;
const lowestOctave = -24;
const octaves = 64;
const firstCell = (lowestOctave + 1023) * stepsPerOctave;

/** Which bucket holds `value`: the exponent and top two mantissa bits, with upper bounds inclusive. */
function cellOf(value: number): number {
  if (!(value > 0)) return 0;
  float[0] = value;
  const high = words[1] as number;
  const cell = ((words[0] === 0 ? high - 1 : high) >>> 18) - firstCell;
  return cell < 0 ? 0 : Math.min(cell, octaves * stepsPerOctave - 1);
}

function histogram(name: string): Series {
  const cells = new Float64Array(octaves * stepsPerOctave);
  let count = 0;
  let sum = 0;
  // Seconds: 8 microseconds to 64 seconds. Bytes and counts: 1 to 2^30.
  const [lowest, highest] = name.endsWith("_seconds") ? [-17, 6] : [0, 30];
  return {
    add: notThis,
    set: notThis,
    record(value) {
      if (Number.isNaN(value)) return;
      cells[cellOf(value)] = (cells[cellOf(value)] as number) + 1;
      count++;
      sum += value;
    },
    lines(named, labels) {
      const out: string[] = [];
      let through = 0;
      let cell = 0;
      for (let power = lowest; power <= highest; power++) {
        const bound = (power - lowestOctave) * stepsPerOctave;
        while (cell < bound) through += cells[cell++] as number;
        out.push(`${withLabels(`${named}_bucket`, labels, `le="${number(2 ** power)}"`)} ${through}`);
      }
      out.push(`${withLabels(`${named}_bucket`, labels, 'le="+Inf"')} ${count}`);
      out.push(
        `${withLabels(`${named}_sum`, labels)} ${number(sum)}`,
        `${withLabels(`${named}_count`, labels)} ${count}`,
      );
      return out;
    },
  };
}

export function realMeter(): RealMeter {
  const families = new Map<string, Family>();
  const refreshers: (() => void)[] = [];

  function series(kind: Kind, given: string, help: string, labels: Labels, make: (name: string) => Series): Series {
    // The text formats add the suffix themselves.
    const name = kind === "counter" ? given.replace(/_total$/, "") : given;
    invariant(namePattern.test(name), `a metric's name is lower case, not ${JSON.stringify(given)}`);
    let family = families.get(name);
    if (!family) families.set(name, (family = { kind, help, series: new Map() }));
    invariant(family.kind === kind, `${name} is a ${family.kind} and cannot be a ${kind} too`);
    const key = Object.entries(labels)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([label, value]) => {
        invariant(
          namePattern.test(label) && label !== "le",
          `a label's name is lower case, not ${JSON.stringify(label)}`,
        );
        return `${label}="${escapeLabel(value)}"`;
      })
      .join(",");
    let one = family.series.get(key);
    if (!one) family.series.set(key, (one = make(name)));
    return one;
  }

  return {
    counter: (name, help, labels = {}) => series("counter", name, help, labels, counter),
    gauge: (name, help, labels = {}) => series("gauge", name, help, labels, gauge),
    histogram: (name, help, labels = {}) => series("histogram", name, help, labels, histogram),
    beforeRender: (fn) => void refreshers.push(fn),
    render(format = "prometheus") {
      for (const refresh of refreshers) refresh();
      const out: string[] = [];
      for (const [name, { kind, help, series }] of families) {
        const shown = kind === "counter" && format === "prometheus" ? `${name}_total` : name;
        out.push(`# HELP ${shown} ${escapeHelp(help)}`, `# TYPE ${shown} ${kind}`);
        for (const [labels, one] of series) out.push(...one.lines(name, labels));
      }
      if (format === "openmetrics") out.push("# EOF");
      return out.join("\n") + "\n";
    },
  };
}

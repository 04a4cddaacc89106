// Five times as much as a node can do (promise 29): how much of what it could do alone it still does, how soon all is well again once
// callers ask for less, what it holds meanwhile, and how those are refused for whom there is no room.

import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { quantile } from "../../src/cli/bench-rounds.ts";
import { residentBytes } from "../cost.ts";
import { embedded, type Nodes, withNodes } from "../ours.ts";
import { overloadAppFile } from "../overload-app.ts";
import { type Asked, type Bin, binMs, type Refusals, type Told } from "../overload-caller.ts";
import type { Check, Fact, Outcome } from "../outcome.ts";
import type { Row } from "../row.ts";

const callerFile = fileURLToPath(new URL("../overload-caller.ts", import.meta.url));
/** Processes that ask over WebSockets, and one over HTTP, which can ask for less; and of all that is asked the share of each. */
const processes = [
  { transport: "socket", share: 0.475 },
  { transport: "socket", share: 0.475 },
  { transport: "http", share: 0.05 },
] as const;
const deadlineMs = 1000;
const times = 5;
const calm = 0.8;
/** Each step of the ramp asks for so much more than the one before. */
const steeper = 1.4;
const firstPace = 300;
/** Seconds for each second of `--seconds`. */
const spans = { step: 4, overload: 60, after: 30 };

type Mix = Pick<Asked, "passEvery">;

/** What all callers were told together. */
type Phase = {
  readonly bins: readonly Bin[];
  readonly took: number[];
  readonly refused: Readonly<Record<string, Refusals>>;
  readonly seconds: number;
};

class Callers {
  readonly #processes: readonly ChildProcess[] = processes.map(() => fork(callerFile));
  readonly #url: string;
  readonly #mix: Mix;

  constructor(url: string, mix: Mix) {
    this.#url = url;
    this.#mix = mix;
  }

  async ask(perSecond: number, ms: number): Promise<Phase> {
    const all = await Promise.all(
      this.#processes.map(async (one, n) => {
        const { transport, share } = processes[n]!;
        const asked = { url: this.#url, transport, perSecond: perSecond * share, ms, deadlineMs };
        one.send({ ...asked, ...this.#mix } satisfies Asked);
        const [told] = (await once(one, "message")) as [Told];
        return told;
      }),
    );
    return together(all, ms / 1000);
  }

  end(): void {
    for (const one of this.#processes) one.disconnect();
  }
}

function together(all: readonly Told[], seconds: number): Phase {
  const refused: Record<string, Refusals> = {};
  for (const [code, { count, later }] of all.flatMap((told) => Object.entries(told.refused))) {
    const sum = (refused[code] ??= { count: 0, later: 0 });
    sum.count += count;
    sum.later += later;
  }
  const bins = all[0]!.bins.map((_, n) => ({
    asked: all.reduce((sum, told) => sum + (told.bins[n]?.asked ?? 0), 0),
    answered: all.reduce((sum, told) => sum + (told.bins[n]?.answered ?? 0), 0),
    done: all.reduce((sum, told) => sum + (told.bins[n]?.done ?? 0), 0),
  }));
  return { bins, took: all.flatMap(({ took }) => took), refused, seconds };
}

const sumOf = ({ bins }: Phase, of: keyof Bin): number => bins.reduce((sum, bin) => sum + bin[of], 0);
const goodput = (phase: Phase): number => sumOf(phase, "done") / phase.seconds;

/** Asks for more and more until no more is answered than before. */
async function peakOf(callers: Callers, stepMs: number, note: (text: string) => void): Promise<number> {
  let best = 0;
  await callers.ask(firstPace, 2 * stepMs);
  for (let pace = firstPace, since = 0; since < 2; pace *= steeper) {
    const reached = goodput(await callers.ask(pace, stepMs));
    note(`asked for ${Math.round(pace)}/s: ${Math.round(reached)}/s answered`);
    since = reached > best * 1.03 ? 0 : since + 1;
    best = Math.max(best, reached);
  }
  return best;
}

/** Seconds until nearly all that is asked is answered; undefined when that never came. */
function recoverySeconds(bins: readonly Bin[]): number | undefined {
  const well = ({ asked, answered }: Bin): boolean => answered >= 0.95 * asked;
  const first = bins.findIndex((bin, n) => well(bin) && bins.slice(n, n + 3).every(well));
  return first < 0 ? undefined : (first * binMs) / 1000;
}

const megabytes = ({ pids }: Nodes): number => residentBytes(pids) / 2 ** 20;

async function overloaded(nodes: Nodes, mix: Mix, ms: number, note: (text: string) => void): Promise<Outcome> {
  const callers = new Callers(nodes.ready[0]!.gateway, mix);
  try {
    const peak = await peakOf(callers, spans.step * ms, note);
    const before = megabytes(nodes);
    note(`peak ${Math.round(peak)}/s; asking for ${Math.round(times * peak)}/s`);
    const held: number[] = [];
    const sampling = setInterval(() => held.push(megabytes(nodes)), Math.max(100, ms));
    const during = await callers.ask(times * peak, spans.overload * ms);
    clearInterval(sampling);
    const after = await callers.ask(calm * peak, spans.after * ms);
    await pause(ms);
    return told({ peak, during, after, before, held, atEnd: megabytes(nodes) });
  } finally {
    callers.end();
  }
}

type Found = {
  readonly peak: number;
  readonly during: Phase;
  readonly after: Phase;
  /** Megabytes. */
  readonly before: number;
  readonly held: readonly number[];
  readonly atEnd: number;
};

function told({ peak, during, after, before, held, atEnd }: Found): Outcome {
  const share = goodput(during) / peak;
  const back = recoverySeconds(after.bins);
  const half = held.length >> 1;
  const [early, late] = [Math.max(...held.slice(0, half)), Math.max(...held.slice(half))];
  const { count, later } = during.refused["OVERLOADED"] ?? { count: 0, later: 0 };
  const facts: Fact[] = [
    { name: "peak", value: peak, unit: "answered/s" },
    {
      name: `at ${times} times that, asked`,
      value: sumOf(during, "asked") / during.seconds,
      unit: "asked/s",
    },
    { name: `at ${times} times that`, value: goodput(during), unit: "answered/s" },
    { name: "of those answered, p50", value: quantile(during.took, 0.5), unit: "ms" },
    { name: "of those answered, p99", value: quantile(during.took, 0.99), unit: "ms" },
    ...Object.entries(during.refused).map(([code, { count }]) => ({
      name: code,
      value: count / during.seconds,
      unit: "refused/s",
    })),
    { name: `then at ${calm} of the peak`, value: goodput(after), unit: "answered/s" },
    { name: "p99 then", value: quantile(after.took, 0.99), unit: "ms" },
    { name: "resident before", value: before, unit: "MB" },
    { name: "resident at most, first half", value: early, unit: "MB" },
    { name: "resident at most, second half", value: late, unit: "MB" },
    { name: "resident afterwards", value: atEnd, unit: "MB" },
  ];
  const checks: Check[] = [
    { says: `answered at ${times} times the peak ÷ peak`, value: share, bound: "at least", target: 0.8 },
    { says: "until 95 % is answered again, s", value: back ?? Infinity, bound: "at most", target: 30 },
    { says: "resident in the second half ÷ in the first", value: late / early, bound: "at most", target: 1.15 },
    {
      says: "OVERLOADED that say when to come again",
      value: count > 0 ? later / count : undefined,
      bound: "at least",
      target: 1,
    },
  ];
  return { facts, checks };
}

const row = (id: string, title: string, mix: Mix): Row => ({
  id,
  title,
  run: ({ ms, note }) => withNodes(embedded, { app: overloadAppFile }, (nodes) => overloaded(nodes, mix, ms, note)),
});

export const overload = row("overload", "five times what a node can do, commands of 0.4 ms", { passEvery: 0 });
export const overloadMessages = row("overload-messages", "the same, and one command of four leaves another", {
  passEvery: 4,
});

// What callers met while one fault after the other struck: calls, answers, failures, and how long each caller went unanswered.

import { type ErrorCode, messageOf, SheafError } from "../../src/base/index.ts";
import { ticks } from "./timers.ts";
import { deadlineMs } from "./workload.ts";

/** One fault from its strike until everybody was answered again, or a stretch without any. */
export type Stretch = {
  readonly fault: string;
  readonly number: number;
  /** When it began, by `ticks`. */
  readonly at: number;
  /** How far ahead a node's clock was at most, until it was over. */
  aheadMs: number;
  calls: number;
  answered: number;
  failed: number;
  /** Of them those that might have gone to any node, and had time left. */
  failedEarly: number;
  /** How many operations were under way when it struck. */
  inFlight: number;
  /** Takeovers while it lasted; undefined when the engine did not say. */
  takeovers: number | undefined;
  /** The longest that a caller who may turn to any node went without an answer, in milliseconds. */
  silentMs: number;
  /** How often each failure was met. */
  readonly failures: Map<string, number>;
  /** In words. */
  readonly violations: string[];
};

/** A caller: one call at a time, to any node. */
export type Voice = { lastAnsweredAt: number };

export interface Tally {
  readonly stretches: readonly Stretch[];
  readonly now: Stretch;
  /** Calls that have not been answered. */
  readonly underWay: number;
  begin(fault: string): Stretch;
  /** Makes a call and books it. What it rejects with is told by `outcome`. */
  book<T>(voice: Voice | undefined, call: () => Promise<T>, withinMs?: number): Promise<Booked<T>>;
  /** Of a caller whose silence counts. */
  voice(): Voice;
  /** Resolves when every voice was answered a call that it made after now. */
  everybodyAnswered(withinMs: number): Promise<boolean>;
}

export type Booked<T> = {
  readonly start: number;
  readonly end: number;
  readonly outcome: "applied" | "not-applied" | "unknown";
  /** Only when applied, and of a declared error nothing. */
  readonly output: T | undefined;
  readonly error: SheafError | undefined;
};

/** What no fault is an excuse for. */
const noFault: ReadonlySet<ErrorCode> = new Set(["UNKNOWN_TARGET", "BAD_INPUT", "BAD_OUTPUT", "INTERNAL", "CORRUPT"]);

export function openTally(): Tally {
  const stretches: Stretch[] = [];
  const voices: Voice[] = [];
  const waiting = new Set<{ readonly since: number; readonly left: Set<Voice>; readonly done: () => void }>();
  let underWay = 0;

  function begin(fault: string): Stretch {
    const at = performance.now();
    const last = stretches.at(-1);
    if (last !== undefined) for (const voice of voices) hush(last, voice, at);
    for (const voice of voices) voice.lastAnsweredAt = at;
    const stretch: Stretch = {
      fault,
      number: stretches.length,
      at: ticks(),
      aheadMs: last?.aheadMs ?? 0,
      calls: 0,
      answered: 0,
      failed: 0,
      failedEarly: 0,
      inFlight: 0,
      takeovers: undefined,
      silentMs: 0,
      failures: new Map(),
      violations: [],
    };
    stretches.push(stretch);
    return stretch;
  }
  const hush = (stretch: Stretch, voice: Voice, at: number): void =>
    void (stretch.silentMs = Math.max(stretch.silentMs, at - voice.lastAnsweredAt));
  const current = (): Stretch => stretches.at(-1) ?? begin("none");

  function answered(voice: Voice | undefined, start: number, end: number): void {
    current().answered++;
    if (voice === undefined) return;
    hush(current(), voice, end);
    voice.lastAnsweredAt = end;
    for (const one of waiting) {
      if (start < one.since || !one.left.delete(voice) || one.left.size > 0) continue;
      waiting.delete(one);
      one.done();
    }
  }

  return {
    stretches,
    get now() {
      return current();
    },
    get underWay() {
      return underWay;
    },
    begin,
    async book(voice, call, withinMs = deadlineMs) {
      const start = performance.now();
      current().calls++;
      underWay++;
      try {
        const output = await call();
        const end = performance.now();
        answered(voice, start, end);
        return { start, end, outcome: "applied", output, error: undefined };
      } catch (error) {
        const end = performance.now();
        const known = error instanceof SheafError ? error : undefined;
        if (known?.code === "DECLARED") {
          answered(voice, start, end);
          return { start, end, outcome: "applied", output: undefined, error: known };
        }
        const stretch = current();
        stretch.failed++;
        if (voice !== undefined && end - start < 0.9 * withinMs) stretch.failedEarly++;
        const name = known === undefined ? messageOf(error) : `${known.code}, ${known.outcome}: ${known.message}`;
        stretch.failures.set(name, (stretch.failures.get(name) ?? 0) + 1);
        if (known === undefined) stretch.violations.push(`a call ended with what is no SheafError: ${name}`);
        else if (noFault.has(known.code)) stretch.violations.push(`no fault explains ${name}`);
        return { start, end, outcome: known?.outcome ?? "unknown", output: undefined, error: known };
      } finally {
        underWay--;
      }
    },
    voice() {
      const voice = { lastAnsweredAt: performance.now() };
      voices.push(voice);
      return voice;
    },
    everybodyAnswered(withinMs) {
      return new Promise((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          resolve(true);
        };
        const one = { since: performance.now(), left: new Set(voices), done };
        const timer = setTimeout(() => {
          waiting.delete(one);
          resolve(false);
        }, withinMs);
        waiting.add(one);
      });
    },
  };
}

// A closed loop: so many callers, each with one operation under way, for a span of time, after warming up.

export type Timing = { readonly opsPerSec: number; readonly p50Ms: number; readonly p99Ms: number };

export class Rounds {
  readonly #concurrency: number;
  readonly #once: (n: number) => Promise<unknown>;

  /** `once` does operation `n`; numbers are not repeated. */
  constructor(concurrency: number, once: (n: number) => Promise<unknown>) {
    this.#concurrency = concurrency;
    this.#once = once;
  }

  /** Rejects as soon as one operation does. */
  async run(ms: number): Promise<Timing> {
    await this.#loop(Math.min(1000, ms / 2), []);
    const times: number[] = [];
    const began = performance.now();
    await this.#loop(ms, times);
    const seconds = (performance.now() - began) / 1000;
    return { opsPerSec: times.length / seconds, p50Ms: quantile(times, 0.5), p99Ms: quantile(times, 0.99) };
  }

  #next = 0;

  async #loop(ms: number, times: number[]): Promise<void> {
    const until = performance.now() + ms;
    const caller = async (): Promise<void> => {
      for (let began = performance.now(); began < until;) {
        await this.#once(this.#next++);
        const now = performance.now();
        times.push(now - began);
        began = now;
      }
    };
    await Promise.all(Array.from({ length: this.#concurrency }, caller));
  }
}

/** The value below which that share of the values is, 0 for none. Sorts them in place. */
export function quantile(values: number[], share: number): number {
  values.sort((a, b) => a - b);
  return values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0;
}

/** The run in the middle by rate. */
export function median<T extends Timing>(runs: readonly T[]): T {
  return [...runs].sort((a, b) => a.opsPerSec - b.opsPerSec)[Math.floor(runs.length / 2)]!;
}

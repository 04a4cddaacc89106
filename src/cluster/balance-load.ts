// How loaded an endpoint seems from here: the latency of its recent calls times the calls under way. A slow answer counts
// at once and is forgotten slowly; without news the estimate fades, so that whoever was slow is tried again.
//
// Source: "peak EWMA" of Twitter's Finagle (2014), also in Linkerd: an average that jumps to each peak and decays from it.

import type { Millis, Tick } from "../base/index.ts";

/** A peak fades to a third in this time. */
const fadeMs: Millis = 10_000;
/** What a call to an endpoint that has not answered yet is taken to cost: one at a time finds out. */
const unprovenMs: Millis = 1_000;

export class Load {
  #latency: Millis | undefined;
  #at: Tick = 0;
  inFlight = 0;

  /** An answer, or a failure that came after so long. */
  observe(ms: Millis, now: Tick): void {
    const before = this.#latency ?? 0;
    const kept = this.#kept(now);
    this.#latency = ms > before ? ms : before * kept + ms * (1 - kept);
    this.#at = now;
  }

  /** No answer within so long: it can only be slower than that. */
  atLeast(ms: Millis, now: Tick): void {
    if (ms > this.latency(now)) this.observe(ms, now);
  }

  /** 0 when nothing is known. */
  latency(now: Tick): Millis {
    return (this.#latency ?? 0) * this.#kept(now);
  }

  /** Milliseconds of work that wait before one more call, relative to others: lower is better. */
  cost(now: Tick): number {
    if (this.#latency === undefined) return unprovenMs * this.inFlight;
    return this.latency(now) * (this.inFlight + 1);
  }

  #kept(now: Tick): number {
    return Math.exp(-Math.max(0, now - this.#at) / fadeMs);
  }
}

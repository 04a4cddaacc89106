// How many calls may be asked again because somebody was too busy: a share of the calls that are made, so that those who
// have too much to do are not given the same work many times over. A machine: time is handed in.
//
// Source: "retry budgets" of Finagle and Linkerd; why: Bronson et al., "Metastable failures in distributed systems" (2021).

import type { Tick } from "../base/index.ts";

/** Repeats per call. */
const share = 0.2;
/** Repeats that are always to be had, so that a quiet node may ask again too. */
const perSecond = 10;
const most = 100;

export class RetryBudget {
  #left = most;
  #at: Tick | undefined;

  /** A call is made for the first time. */
  called(): void {
    this.#left = Math.min(most, this.#left + share);
  }

  /** Whether a call may be asked again; if so, that is paid for. */
  take(now: Tick): boolean {
    const since = this.#at === undefined ? 0 : Math.max(0, now - this.#at);
    this.#at = now;
    this.#left = Math.min(most, this.#left + (since / 1000) * perSecond);
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}

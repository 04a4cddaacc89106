// A circuit breaker for one endpoint: it stops calls to who fails, and tries again with single calls. A machine: time is
// handed in. Only failures of the endpoint count; an error that a contract declares is an answer.
//
// K1. It opens after `mostInRow` failures in a row, or when half of at least `leastCalls` within a window have failed.
// K2. While open it lets nothing through; after its pause one probe at a time. Pauses double while probes fail.
// K3. Only probes decide on a half-open one: answers to calls that began before are late news, and change nothing.

import type { Millis, Tick } from "../base/index.ts";

export type Breaker =
  | {
      readonly kind: "closed";
      readonly inRow: number;
      readonly calls: number;
      readonly failed: number;
      readonly ends: Tick;
    }
  | { readonly kind: "open"; readonly until: Tick; readonly pauseMs: Millis }
  | { readonly kind: "half-open"; readonly probe: Tick | undefined; readonly well: number; readonly pauseMs: Millis };

const mostInRow = 5;
const windowMs: Millis = 10_000;
const leastCalls = 20;
const mostFailed = 0.5;
export const firstPauseMs: Millis = 1_000;
export const longestPauseMs: Millis = 30_000;
/** Probes that must go well before it closes. */
const probes = 3;
/** A probe that has not ended by then is given up, so that a lost one blocks nobody. */
const probeMs: Millis = 10_000;

export const closed: Breaker = { kind: "closed", inRow: 0, calls: 0, failed: 0, ends: 0 };

/** `yes`: like any other. `probe`: one call is wanted now, to find out. */
export function permits(breaker: Breaker, now: Tick): "yes" | "probe" | "no" {
  switch (breaker.kind) {
    case "closed":
      return "yes";
    case "open":
      return now >= breaker.until ? "probe" : "no";
    case "half-open":
      return breaker.probe === undefined || now - breaker.probe > probeMs ? "probe" : "no";
  }
}

/** A probe is sent. */
export const probed = (breaker: Breaker, now: Tick): Breaker =>
  breaker.kind === "closed"
    ? breaker
    : { kind: "half-open", probe: now, well: breaker.kind === "open" ? 0 : breaker.well, pauseMs: breaker.pauseMs };

/** A call has ended; `unsaid` when that tells nothing of the endpoint. `probe`: when it was sent as one. */
export function ended(
  breaker: Breaker,
  how: "well" | "failed" | "unsaid",
  probe: Tick | undefined,
  now: Tick,
): Breaker {
  switch (breaker.kind) {
    case "closed":
      return how === "unsaid" ? breaker : counted(breaker, how === "failed", now);
    case "open":
      return breaker;
    case "half-open":
      if (probe === undefined || probe !== breaker.probe) return breaker;
      if (how === "failed") return opened(Math.min(longestPauseMs, breaker.pauseMs * 2), now);
      if (how === "unsaid") return { ...breaker, probe: undefined };
      if (breaker.well + 1 >= probes) return closed;
      return { ...breaker, probe: undefined, well: breaker.well + 1 };
  }
}

function counted(breaker: Breaker & { kind: "closed" }, failed: boolean, now: Tick): Breaker {
  const fresh = now >= breaker.ends;
  const calls = (fresh ? 0 : breaker.calls) + 1;
  const failures = (fresh ? 0 : breaker.failed) + (failed ? 1 : 0);
  const inRow = failed ? breaker.inRow + 1 : 0;
  if (failed && (inRow >= mostInRow || (calls >= leastCalls && failures >= calls * mostFailed)))
    return opened(firstPauseMs, now);
  return { kind: "closed", inRow, calls, failed: failures, ends: fresh ? now + windowMs : breaker.ends };
}

const opened = (pauseMs: Millis, now: Tick): Breaker => ({ kind: "open", until: now + pauseMs, pauseMs });

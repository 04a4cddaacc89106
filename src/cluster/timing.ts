// How fast the picture of the cluster follows the cluster. None of these decides what is safe: only how soon things go on.

import { type Millis, SheafError } from "../base/index.ts";

export const defaultTiming = {
  /** Between two heartbeats on a connection, and between two ticks of `Members`. Three missed ones are silence. */
  beatMs: 150,
  /** A silent member whose beat in the registry stood still this long is dead. Registry beats come at least three in a
   *  lease, or one late one would count as a death. */
  leaseMs: 1000,
  /** How long the same member has to be the one to exclude before it is: two ends of a cut notice it at different beats,
   *  and whoever accuses first looks the guiltiest until the others have spoken. */
  confirmMs: 450,
  /** A member that is heard but whose beats no longer reach the registry is cut off from the engine; long enough that an
   *  engine that fails over harms nobody. */
  strandedMs: 3000,
  /** Who was dead is given nothing before it has been well this long; each death within `memoryMs` makes it four times
   *  as long, up to `memoryMs`. */
  healMs: 3000,
  memoryMs: 60_000,
  /** A dead member's record may be deleted from the registry after this: long after every peer has seen it dead. */
  forgetMs: 30_000,
  /** The candidate of rank k claims k times this after the owner was lost: time for a better one's claim to be seen. */
  rankMs: 100,
  /** No shard moves by placement while the picture is younger than this. */
  settleMs: 1000,
} as const;

export type Timing = { readonly [name in keyof typeof defaultTiming]: Millis };

/** Rejects USAGE, naming the timings that contradict each other. */
export function checkTiming(given: Partial<Timing> = {}): Timing {
  const timing: Timing = { ...defaultTiming, ...given };
  const wrong: string[] = [];
  const need = (holds: boolean, says: string): void => void (holds || wrong.push(says));
  for (const [name, value] of Object.entries(timing))
    need(Number.isFinite(value) && value > 0, `${name} must be above 0`);
  need(timing.beatMs * 3 <= timing.leaseMs, "beatMs * 3 <= leaseMs");
  need(timing.beatMs * 3 <= timing.confirmMs, "beatMs * 3 <= confirmMs");
  need(timing.leaseMs <= timing.strandedMs, "leaseMs <= strandedMs");
  need(timing.leaseMs <= timing.healMs, "leaseMs <= healMs");
  need(timing.healMs <= timing.memoryMs, "healMs <= memoryMs");
  need(timing.leaseMs <= timing.forgetMs, "leaseMs <= forgetMs");
  if (wrong.length > 0) throw new SheafError("USAGE", `timings do not fit each other: ${wrong.join("; ")}`);
  return timing;
}

/** All times keep their proportion to the beat. */
export function timingFor(beatMs: Millis): Timing {
  // Multiplied before it is divided: what is a whole number of beats stays exactly that.
  const scaled = Object.entries(defaultTiming).map(([name, ms]) => [name, (ms * beatMs) / defaultTiming.beatMs]);
  return Object.fromEntries(scaled) as { [name in keyof Timing]: Millis };
}

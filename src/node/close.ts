// Closing what a node is made of, within a time: a part that hangs is left as it is. Nothing acknowledged depends on it.

import type { Tick } from "../base/index.ts";
import type { Host } from "../host/index.ts";

/** Time to close everything, however long calls under way took. */
const leastMs = 1000;

/** Closes the parts one after the other, all of them by `until` or soon after. Never rejects. */
export async function closeParts(
  { clock, log }: Pick<Host, "clock" | "log">,
  until: Tick,
  parts: Readonly<Record<string, { close(): Promise<void> }>>,
): Promise<void> {
  const by = Math.max(until, clock.tick() + leastMs);
  for (const [part, one] of Object.entries(parts)) {
    if (!(await settledBy(clock, by, one.close()))) log.error("a part of the node did not close", { part });
  }
}

/** Whether the promise was fulfilled by then. */
function settledBy(clock: Host["clock"], by: Tick, promise: Promise<void>): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = clock.after(Math.max(0, by - clock.tick()), () => resolve(false));
    const end = (closed: boolean) => (): void => (timer.cancel(), resolve(closed));
    promise.then(end(true), end(false));
  });
}

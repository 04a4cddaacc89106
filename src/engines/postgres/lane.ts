// A connection that is made when it is first needed and again when it was lost. What was never sent waits for the next
// one as long as its patience lasts; what was sent and not answered is unknown, and is not sent again.

import { setTimeout as sleep } from "node:timers/promises";
import { type Millis, SheafError } from "../../base/index.ts";
import type { Link, Statement, Value } from "./link.ts";

export type Lane = {
  /** As `Link.ask`. Rejects with outcome "not-applied" when nothing was sent. */
  ask<Row>(statement: Statement | string, values: readonly Value[], patienceMs?: Millis): Promise<readonly Row[]>;
  /** The connection as it is now, made when there is none. */
  link(): Promise<Link>;
  waiting(): number;
  close(): Promise<void>;
};

const redialMs = 100;

/** `patienceMs` is what `ask` waits in all when it is not told otherwise. */
export function openLane(dial: (patienceMs: Millis) => Promise<Link>, patienceMs: Millis): Lane {
  let current: Promise<Link> | undefined;
  let now: Link | undefined;
  let dialing = 0;
  let closed = false;

  function connect(): Promise<Link> {
    if (current) return current;
    const next = dial(patienceMs);
    current = next;
    const forget = (): void => {
      if (current === next) current = now = undefined;
    };
    next.then((link) => {
      if (current === next) now = link;
      link.onEnd(forget);
    }, forget);
    return next;
  }

  async function linkUntil(until: number): Promise<Link> {
    dialing++;
    try {
      for (;;) {
        if (closed) throw new SheafError("ENGINE_UNAVAILABLE", "the engine is closed");
        try {
          return await connect();
        } catch (error) {
          const waits = error instanceof SheafError && error.retry !== "never";
          if (!waits || performance.now() + redialMs > until) throw error;
          await sleep(redialMs);
        }
      }
    } finally {
      dialing--;
    }
  }

  return {
    async ask(statement, values, patience = patienceMs) {
      const until = performance.now() + patience;
      const link = now ?? (await linkUntil(until));
      return link.ask(statement, values, Math.max(1, until - performance.now()));
    },
    link: () => linkUntil(performance.now() + patienceMs),
    waiting: () => dialing + (now?.waiting() ?? 0),
    async close() {
      closed = true;
      const link = await current?.catch(() => undefined);
      await link?.end();
    },
  };
}

// A host for tests of what faces HTTP: real cryptography, a clock that the test moves, a log that is kept.

import type { Host } from "../host/index.ts";
import { realHost } from "../platform/index.ts";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

type Pending = { at: number; fn: () => void };

export type FixtureHost = Host & {
  /** Lets time pass: timers that fall due run in order. */
  pass(ms: number): void;
  readonly logged: string[];
  readonly timers: number;
};

export function fixtureHost(): FixtureHost {
  const dir = mkdtempSync(join(tmpdir(), "sheaf-http-"));
  const real = realHost({ dir, log: { debug() {}, info() {}, warn() {}, error() {} } });
  real.close();
  rmSync(dir, { recursive: true });
  const logged: string[] = [];
  let at = 1_000_000;
  let pending: Pending[] = [];
  const note = (message: string, fields?: unknown): void => void logged.push(`${message} ${JSON.stringify(fields)}`);
  return {
    ...real,
    log: { debug: note, info: note, warn: note, error: note },
    logged,
    get timers() {
      return pending.length;
    },
    clock: {
      now: () => at + 1_700_000_000_000,
      tick: () => at,
      after(ms, fn) {
        const one: Pending = { at: at + ms, fn };
        pending.push(one);
        return { cancel: () => void (pending = pending.filter((other) => other !== one)) };
      },
      turn: (fn) => queueMicrotask(fn),
    },
    pass(ms) {
      at += ms;
      const due = pending.filter((one) => one.at <= at).sort((a, b) => a.at - b.at);
      pending = pending.filter((one) => one.at > at);
      for (const one of due) one.fn();
    },
  };
}

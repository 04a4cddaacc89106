// A node's wall clock that can be set wrong (PROMISES P14). A file says by how much; the node reads it in `wrong-clock.ts`, which is loaded
// before anything else and puts another Date.now in place. Monotonic clocks are left alone, as they are by whoever sets a machine's clock.

import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { ticks } from "./timers.ts";

export type Wrong = {
  /** Ahead by so much when it was set; behind when below 0. */
  readonly offsetMs: number;
  /** Milliseconds that pass on it in one. */
  readonly rate: number;
};
/** As the file has it: `since` is when it was set, by `ticks`. */
export type Setting = Wrong & { readonly since: number };

export interface SetClock {
  /** Of a command that is to go by it. */
  readonly flags: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Resolves when the process goes by it; rejects when none has for long. */
  set(wrong: Wrong): Promise<void>;
  /** How far it is ahead now. */
  aheadMs(): number;
}

/** Name in the environment of the file. Beside it the process writes which setting it goes by. */
export const clockFile = "SHEAF_TORTURE_CLOCK";
export const seenBeside = (file: string): string => `${file}.seen`;
/** A process that stands still or starts looks at its clock again within that. */
const patienceMs = 60_000;

export const aheadOf = ({ offsetMs, rate, since }: Setting): number => offsetMs + (ticks() - since) * (rate - 1);

export function settableClock(file: string): SetClock {
  let setting: Setting = { offsetMs: 0, rate: 1, since: 0 };
  const write = (): void => {
    writeFileSync(`${file}.new`, JSON.stringify(setting));
    renameSync(`${file}.new`, file);
  };
  write();
  return {
    flags: ["--import", new URL("wrong-clock.ts", import.meta.url).href],
    env: { [clockFile]: file },
    async set(wrong) {
      setting = { ...wrong, since: ticks() };
      write();
      const seen = (): string => {
        try {
          return readFileSync(seenBeside(file), "utf8");
        } catch {
          return "";
        }
      };
      for (const until = performance.now() + patienceMs; seen() !== JSON.stringify(setting); await sleep(10))
        if (performance.now() > until) throw new Error(`nobody goes by the clock of ${file}`);
    },
    aheadMs: () => aheadOf(setting),
  };
}

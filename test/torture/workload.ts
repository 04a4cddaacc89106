// What a workload is to the torture: an application that the nodes run, and callers who use it and know what must be true.

import type { Random } from "../../src/sim/random.ts";
import type { Tally } from "./tally.ts";
import type { Ring } from "./timers.ts";

export type Workload = {
  /** Of the module that the nodes run. */
  readonly app: URL;
  /** The same with a defect, so that everybody can see that it is found. */
  readonly defective?: URL;
  begin(setting: Setting): Load;
};

export type Setting = {
  readonly tally: Tally;
  readonly gateways: readonly string[];
  readonly token: string;
  readonly random: Random;
  /** What was given up, of the whole cluster. */
  readonly deadLetters: () => Promise<readonly DeadLetter[]>;
};

export type DeadLetter = { readonly entity: string; readonly key: string; readonly cause: string };

export interface Load {
  /** Operations whose end somebody waits for. */
  readonly underWay: number;
  /** Turns to new keys, so that what is wrong with one is put down to the strike that caused it. */
  turnOver(): void;
  /** Stops, waits until all is done that was left to be done, reads everything, and puts what is wrong down to the stretches. How much was held
   *  against what must be true, by kind. */
  verify(): Promise<Readonly<Record<string, number>>>;
  /** Timers that went off, once all was verified. */
  readonly rings: readonly Ring[];
}

/** Of a call. Under the time that a strike lasts, so that failures show; over that of a failover. */
export const deadlineMs = 5_000;
/** What was acknowledged and has not come this long after all was well is lost. */
export const arrivalMs = 120_000;

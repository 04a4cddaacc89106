// Callers that never stop. Keys are used for a while and then left, so that histories stay small enough to be decided; with each
// strike everybody turns to new keys, so that what is wrong with a key is put down to that strike.

import { setTimeout as sleep } from "node:timers/promises";
import type { ConnectedClient } from "../../src/client/index.ts";
import type { Random } from "../../src/sim/random.ts";
import type tortureApp from "./app.ts";
import type { Stretch, Tally, Voice } from "./tally.ts";
import type { Ring } from "./timers.ts";
import type { DeadLetter } from "./workload.ts";

export type Client = ConnectedClient<typeof tortureApp.contract>;

export const kinds = ["registers", "sets", "bank", "messages", "events", "counters", "sessions"] as const;
export type Kind = (typeof kinds)[number];

/** One thing that was worked on, and what is wrong with it in the end. */
export type Chapter = {
  readonly stretch: Stretch;
  readonly kind: Kind;
  /** What was recorded of it. */
  ops: number;
  check(calm: Client): Promise<readonly string[]>;
};

/** Between two calls of one caller: load enough to meet every fault under way, little enough that the machine is not the fault. */
const pauseMs = 8;

export type Work = {
  readonly tally: Tally;
  readonly random: Random;
  chapters: Chapter[];
  readonly rings: Ring[];
  /** Of the whole cluster, as `verify` last saw them. */
  deadLetters: () => Promise<readonly DeadLetter[]>;
  stopping: boolean;
  readonly anywhere: () => Client;
  readonly gateways: readonly string[];
  readonly at: (gateway: string) => Client;
};

export type Part = { turnOver(): void; readonly ended: Promise<unknown> };

/** Callers that work on the same chapter, which changes after so many operations and when a new stretch begins. */
export function crew<C extends Chapter>(
  work: Work,
  size: number,
  most: number,
  open: (stretch: Stretch, key: string) => C,
  turn: (chapter: C, client: Client, voice: Voice | undefined, index: number) => Promise<unknown>,
  /** How long its callers go unanswered counts: they may turn to any node. */
  counts = true,
): Part {
  const next = (): C => {
    const { now } = work.tally;
    const chapter = open(now, `${now.number}.${work.chapters.length}`);
    work.chapters.push(chapter);
    return chapter;
  };
  let chapter = next();
  const caller = async (index: number): Promise<void> => {
    const client = work.anywhere();
    const voice = counts ? work.tally.voice() : undefined;
    while (!work.stopping) {
      if (chapter.ops >= most) chapter = next();
      await turn(chapter, client, voice, index);
      await sleep(work.random.float() * 2 * pauseMs);
    }
  };
  return {
    turnOver: () => void (chapter = next()),
    ended: Promise.all(Array.from({ length: size }, (_, index) => caller(index))),
  };
}

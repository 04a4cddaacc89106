// What a workload of the gate is given, and what all of them need.

import type { Millis } from "../base/index.ts";
import { bindClient, type Client } from "../model/index.ts";
import type { CallRecord } from "./history.ts";
import type { Random } from "./random.ts";
import type { SessionStep } from "./sessions.ts";
import type { World } from "./world.ts";

export type Workload = {
  /** Runs the callers to their end. Calls may fail; what they learnt is in the world's history. */
  run(stage: Stage): Promise<void>;
  /** Problems in words. Runs in a healed world. */
  check(stage: Stage): Promise<string[]>;
};

export type Stage = {
  readonly world: World;
  readonly random: Random;
  readonly clients: readonly Client[];
  /** Calls per client, as far as they begin before this time. */
  readonly rounds: number;
  readonly until: Millis;
  readonly keys: readonly string[];
  /** What sessions saw. */
  readonly steps: SessionStep[];
};

/** A caller in a healed world that asks until it is answered. */
export const calmly = (world: World): Client => bindClient(world.invoke({ name: "checker", deadlineMs: 5_000 }));

const longestPauseMs: Millis = 12;

/** Each client calls `rounds` times, with pauses; failed calls are part of the plan. */
export async function perClient(
  { world, random, clients, rounds, until }: Stage,
  act: (client: Client, index: number, round: number) => Promise<unknown>,
): Promise<void> {
  const pause = (): Promise<void> => world.sleep(random.float() * random.float() * longestPauseMs);
  await Promise.all(
    clients.map(async (client, index) => {
      for (let round = 0; round < rounds && world.schedule.now() < until; round++) {
        await act(client, index, round).catch(() => undefined);
        await pause();
      }
    }),
  );
}

export const named = (call: CallRecord, entity: string, ...names: string[]): boolean =>
  call.target.kind !== "procedure" && call.target.entity === entity && names.includes(call.target.name);

export const openCalls = (world: World): string[] => {
  const open = world.history.calls.filter((call) => call.end === undefined);
  return open.map((call) => `a call of ${call.client} never ended`);
};

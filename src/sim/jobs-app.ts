// The application that the gate drives for queues: chores that workers do, by key and in order, and errands that consumers take.

import type { StandardSchemaV1 } from "@standard-schema/spec";
import { app, entity, queue } from "../model/index.ts";

const plain = <T>(): StandardSchemaV1<T, T> => ({
  "~standard": { version: 1, vendor: "sheaf-sim", validate: (value) => ({ value: value as T }) },
});

export type Chore = {
  readonly key: string;
  /** Attempts that fail before one succeeds; Infinity is no plain data, so -1 is for all. */
  readonly fails: number;
  /** The first attempt never ends by itself. */
  readonly hangs: boolean;
};

/** More than the weather ever takes of one that is not poison. */
export const manyAttempts = 16;
const retry = { firstMs: 2, longestMs: 6 };

export const Chores = queue("chores", {
  input: plain<Chore>(),
  output: plain<string>(),
  key: ({ key }) => key,
  attempts: manyAttempts,
  visibilityMs: 60,
  retry,
});

export type Errand = { readonly poison: boolean };

export const Errands = queue("errands", {
  input: plain<Errand>(),
  output: plain<number>(),
  attempts: manyAttempts,
  visibilityMs: 40,
  retry,
});

/** Leaves jobs in its commits. */
export const Clerk = entity("clerk", {
  state: plain<{ left: number }>(),
  commands: { leave: { input: plain<{ id: string; chore: Chore }>() } },
});

const chores = Chores.work(
  async ({ input: { fails, hangs }, job, attempt, signal }) => {
    if (hangs && attempt === 1)
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    if (fails < 0 || attempt <= fails) throw new Error("not yet");
    return job;
  },
  { concurrency: 3 },
);

const clerk = Clerk.implement({
  initial: () => ({ left: 0 }),
  leave({ state, input: { id, chore }, send }) {
    state.left++;
    send.queue(Chores).add(chore, { id });
  },
});

export const jobsApp = app("gate", { entities: [clerk], queues: [chores, Errands] });

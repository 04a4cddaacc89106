// A row of the targets: what it takes, what it does, and about how long.

import { messageOf } from "../src/base/index.ts";
import type { Conditions } from "./contender.ts";
import type { Outcome } from "./outcome.ts";

export type Row = {
  /** As `--only` names it. */
  readonly id: string;
  readonly title: string;
  /** Takes what it needs from the machine, and leaves nothing running. */
  run(conditions: Conditions): Promise<Outcome>;
};

const engines = ["embedded", "postgres", "nats"] as const;
export type EngineName = (typeof engines)[number];

/** One engine after the other. What fails on one says nothing of the others: it is returned, a line each. */
export async function onEachEngine(run: (engine: EngineName) => Promise<void>): Promise<readonly string[]> {
  const failures: string[] = [];
  for (const engine of engines)
    await run(engine).catch((error: unknown) => failures.push(`${engine} failed: ${messageOf(error)}`));
  return failures;
}

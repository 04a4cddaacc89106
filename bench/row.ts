// A row of the targets: what it takes, what it does, and about how long.

import type { Conditions } from "./contender.ts";
import type { Outcome } from "./outcome.ts";

export type Row = {
  /** As `--only` names it. */
  readonly id: string;
  readonly title: string;
  /** Takes what it needs from the machine, and leaves nothing running. */
  run(conditions: Conditions): Promise<Outcome>;
};

export const engines = ["embedded", "postgres", "nats"] as const;
export type EngineName = (typeof engines)[number];

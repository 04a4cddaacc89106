// One versioned picture of the members, as one node sees them. Immutable; a new one is made only when something changed.

import type { Tick } from "../base/index.ts";
import type { Member } from "./member.ts";

/** `alive`: there, and may be given shards. `doubted`: there, so nothing is taken from it, but not trusted with more:
 *  it is new and nothing proves yet that it lives, or it was dead and has to be well for a while. `dead`: what it owned is
 *  anyone's. */
export const standings = ["alive", "doubted", "dead"] as const;
export type Standing = (typeof standings)[number];

/** `new`, `healing`: why doubted. `silent`: neither heard nor beating. `refused`: its process is gone. `left`: took its
 *  record back. `aside`: alive but cut off from others, who stay. `stranded`: heard, but cut off from the engine.
 *  `superseded`: an earlier run of a node that runs again. */
export type Why = "new" | "healing" | "silent" | "refused" | "left" | "aside" | "stranded" | "superseded";

export type Seen = {
  readonly member: Member;
  readonly standing: Standing;
  readonly why: Why | undefined;
  /** Of the standing. */
  readonly since: Tick;
};

export type View = {
  readonly version: number;
  /** Sorted by id; this node is among them. */
  readonly members: readonly Seen[];
  readonly byId: ReadonlyMap<string, Seen>;
  /** This node stands aside, or did and is healing: the others do not count on it. */
  readonly excluded: boolean;
  /** This node reaches the registry, and is not excluded. */
  readonly mayClaim: boolean;
  /** When it last changed who may be given shards, or what they say of themselves. */
  readonly settledSince: Tick;
};

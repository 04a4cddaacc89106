// What this node should do about each shard now, from what it sees. Pure: the same sight gives the same plan, and a plan
// says what should be, so that carrying it out twice does no harm. The journal decides who owns; this only decides who
// tries, and when.
//
// N1. A shard whose owner is there, alive or doubted, is claimed by nobody else but whom the owner handed it to.
// N2. A lost shard is claimed by its copies in the order of placement, `rankMs` apart.
// N3. A node that is excluded, or does not reach the registry, claims nothing and gives nothing up.
// N4. Placement moves at most `maxMoves` shards at once from here, and none in an unsettled cluster. A draining node only
//     minds the number.
// N5. Nothing is handed to who is not alive, does not follow closely (a draining node's last resort aside) or drains.

import type { Millis, Shard, Tick } from "../base/index.ts";
import { drainingTier, type Placement, tierOf } from "./placement.ts";
import { defaultTiming, type Timing } from "./timing.ts";
import type { View } from "./view.ts";

/** What this node does for a shard. `following` applies its journal; `opening` is about to claim it, or catches up to. */
export type Holding = "serving" | "following" | "closed" | "opening" | "fenced" | "quarantined";

export type ShardSight = {
  readonly shard: Shard;
  readonly mine: Holding;
  /** Member id of the highest claim known: read in the journal, or heard of from a peer. Undefined: nobody's yet, or not
   *  known. While this node serves, only a claim above its own counts. */
  readonly owner: string | undefined;
  /** When this node learned of that owner, or stopped serving if it is the owner itself. From then on an owner that the
   *  view does not know counts as lost; one that it knows is lost when the view says so. */
  readonly since: Tick;
  /** Who follows closely enough to take over without delay. Undefined: not known, and not asked for. */
  readonly close?: ReadonlySet<string> | undefined;
  /** The owner has handed the shard to this node and waits for its claim. Until a newer claim is seen. */
  readonly offered?: boolean | undefined;
  /** To whom a hand-over from here is under way. */
  readonly moving?: string | undefined;
  /** Whoever it was handed to has said that it will not claim it. Until a newer claim is seen. */
  readonly refused?: boolean | undefined;
  /** An operator wants it at the first of its placement: a cordon here does not keep it. */
  readonly pinned?: boolean | undefined;
};

export type Step =
  /** Go on as it is. */
  | { readonly do: "keep" }
  /** Apply the journal; stop serving, if that was still going on. */
  | { readonly do: "follow" }
  /** Not a copy here: drop it. */
  | { readonly do: "rest" }
  /** Claim it after so long, if the plan still says so then. Another's claim that is met while reading to the end calls
   *  for a new plan first. */
  | { readonly do: "claim"; readonly afterMs: Millis }
  | { readonly do: "hand-over"; readonly to: string };

export type PlanInput = {
  /** This node's id. */
  readonly me: string;
  readonly view: View;
  /** `placementOf` this view. */
  readonly placement: Placement;
  readonly shards: readonly ShardSight[];
  readonly now: Tick;
  readonly maxMoves?: number | undefined;
  readonly timing?: Pick<Timing, "rankMs" | "settleMs" | "leaseMs"> | undefined;
};

const defaultMaxMoves = 4;
const keep: Step = { do: "keep" };

/** One step for each shard, in the order given. */
export function plan(input: PlanInput): readonly Step[] {
  const { shards, maxMoves = defaultMaxMoves } = input;
  const wished = shards.map((sight) => stepOf(input, sight));
  // Moves under way come first: they hold their places as long as they are still wanted.
  let free = maxMoves;
  for (const [i, sight] of shards.entries()) if (isUnderWay(sight, wished[i])) free--;
  return wished.map((step, i) => {
    if (step.do !== "hand-over" || isUnderWay(shards[i], step)) return step;
    return free-- > 0 ? step : keep;
  });
}

const isUnderWay = (sight: ShardSight | undefined, step: Step | undefined): boolean =>
  step?.do === "hand-over" && step.to === sight?.moving;

function stepOf(input: PlanInput, sight: ShardSight): Step {
  const { me, view, placement } = input;
  const { mine, owner } = sight;
  if (mine === "quarantined") return keep;
  if (sight.offered === true && mine !== "serving" && view.mayClaim) return claim(input, sight.since);
  if (owner !== undefined && owner !== me && isThere(view, owner)) return besideOwner(input, sight);
  if (mine === "serving") return handOver(input, sight);
  const copies = placement[sight.shard] ?? [];
  // Whoever fenced this node is in the journal: read it before trying again.
  if (owner === me && mine === "fenced") return { do: "follow" };
  if (!view.mayClaim) return settleDown(mine);
  // The others see an owner that is alive, so nobody else will do it, if the one it was handed to did not.
  if (owner === me) return claim(input, sight.refused ? sight.since : sight.since + timingOf(input).leaseMs);
  const rank = copies.indexOf(me);
  return rank < 0 ? restOnceSettled(input, sight) : claim(input, lostAt(input, sight) + rank * timingOf(input).rankMs);
}

const timingOf = ({ timing }: PlanInput): Pick<Timing, "rankMs" | "settleMs" | "leaseMs"> => timing ?? defaultTiming;

const isThere = ({ byId }: View, id: string): boolean => (byId.get(id)?.standing ?? "dead") !== "dead";

/** An owner whose claim was seen after it was seen dead lives, whatever refuses its connections: it has a lease to be
 *  set aside in, or the two would take the shard from each other with every round. */
function lostAt(input: PlanInput, { owner, since }: ShardSight): Tick {
  const seen = owner === undefined ? undefined : input.view.byId.get(owner);
  if (seen === undefined || seen.why === "superseded") return since;
  return seen.since < since ? since + timingOf(input).leaseMs : seen.since;
}

const claim = ({ now }: PlanInput, at: Tick): Step => ({ do: "claim", afterMs: Math.max(0, at - now) });

const isSettled = (input: PlanInput): boolean => input.now - input.view.settledSince >= timingOf(input).settleMs;

/** Another owns the shard and is there. */
function besideOwner(input: PlanInput, sight: ShardSight): Step {
  const isCopy = (input.placement[sight.shard] ?? []).includes(input.me);
  return isCopy ? { do: "follow" } : restOnceSettled(input, sight);
}

/** What is neither served nor to be claimed: no claim goes on, a copy stays one. */
const settleDown = (mine: Holding): Step => (mine === "closed" || mine === "following" ? keep : { do: "follow" });

/** A copy is not dropped for a passing absence of another, nor because of a cordon, nor by who is cut off. */
function restOnceSettled(input: PlanInput, { mine }: ShardSight): Step {
  const { view, me } = input;
  if (mine === "closed") return { do: "rest" };
  if (mine !== "following") return settleDown(mine);
  const cordoned = view.byId.get(me)?.member.cordoned === true;
  return view.excluded || cordoned || !isSettled(input) ? keep : { do: "rest" };
}

/** This node serves the shard. */
function handOver(input: PlanInput, sight: ShardSight): Step {
  const { me, view, placement } = input;
  const self = view.byId.get(me)?.member;
  if (self === undefined || !view.mayClaim) return keep;
  const others = (placement[sight.shard] ?? []).filter((id) => id !== me);
  const isClose = (id: string): boolean => sight.close === undefined || sight.close.has(id);
  if (self.state === "draining") {
    const able = others.filter((id) => {
      const seen = view.byId.get(id);
      return seen !== undefined && tierOf(seen.member) < drainingTier;
    });
    const to = able.find((id) => id === sight.moving) ?? able.find(isClose) ?? able[0];
    return to === undefined ? keep : { do: "hand-over", to };
  }
  const [first] = placement[sight.shard] ?? [];
  if (first === undefined || first === me || (self.cordoned && !sight.pinned)) return keep;
  const mayMove = sight.moving === first || (isClose(first) && isSettled(input));
  return mayMove ? { do: "hand-over", to: first } : keep;
}

// Where shards belong: weighted rendezvous hashing. Nobody votes and nothing is stored: whoever knows the same members
// works out the same places. A member's joining or leaving moves only the shards that it gets or had.
//
// Source: Thaler & Ravishankar, "Using name-based mappings to increase hit rates" (1998), with the weights of Schindelhauer
// & Schomaker, "Weighted distributed hash tables" (2005): the score of a member is weight / -ln(u), u uniform in (0, 1).

import { hash32, type Shard } from "../base/index.ts";
import type { Member } from "./member.ts";
import type { Pins } from "./pins.ts";
import type { View } from "./view.ts";

/** What placement asks of a member. Only members that are not dead are passed in. */
export type Candidate = Pick<Member, "id" | "name" | "zone" | "weight" | "entities" | "state" | "cordoned">;

/** By shard: ids of its copies, the owner first. */
export type Placement = readonly (readonly string[])[];

/** Ids of those that a shard may be given to, best first. Members that do not host entities, or are not ready yet, are
 *  never among them. Of the rest only the best kind that there is: ready ones; if there is none, those of weight 0; then
 *  cordoned ones; then draining ones, which still serve while nobody else can. */
export const rank = (shard: Shard, members: readonly Candidate[]): readonly string[] =>
  ranked(shard, runnersOf(members));

/** Ids of those that should hold a shard: the owner, then the followers, at most `count` together. Followers are the best
 *  ranked of zones that hold no copy yet, then the best ranked of all. */
export const copies = (shard: Shard, members: readonly Candidate[], count: number): readonly string[] =>
  chosen(shard, runnersOf(members), count);

/** The copies of every shard, by shard, among those a view has as alive: worked out once per version of the view. A pinned
 *  shard is first where it is pinned to, as long as that node is there and may be given shards. */
export function placementOf({ members }: View, shards: number, count: number, pins?: Pins): Placement {
  const alive = members.filter(({ standing }) => standing === "alive").map(({ member }) => member);
  const runners = runnersOf(alive);
  const pinnable = new Map<string, Runner>();
  if (pins && pins.nodes.size > 0)
    for (const member of alive)
      if (mayBePinnedTo(member))
        pinnable.set(member.name, runners.find(({ id }) => id === member.id) ?? runnerOf(member));
  return Array.from({ length: shards }, (_, shard) =>
    chosen(shard, runners, count, pinnable.get(pins?.nodes.get(shard) ?? "")),
  );
}

const cordonedTier = 2;
export const drainingTier = 3;

/** Lower is better; Infinity is never. */
export function tierOf({ entities, state, cordoned, weight }: Candidate): number {
  if (!entities || state === "starting") return Infinity;
  if (state === "draining") return drainingTier;
  if (cordoned) return cordonedTier;
  return weight === 0 ? 1 : 0;
}

/** Whether a pin to this member has an effect now. */
export const mayBePinnedTo = (member: Candidate): boolean => tierOf(member) < cordonedTier;

/** A candidate of the best tier, with what is the same for all shards worked out. */
type Runner = { readonly id: string; readonly zone: string; readonly weight: number; high: number; low: number };

function runnersOf(members: readonly Candidate[]): readonly Runner[] {
  const best = members.reduce((tier, member) => Math.min(tier, tierOf(member)), Infinity);
  if (best === Infinity) return [];
  return (
    members
      .filter((member) => tierOf(member) === best)
      // Equal scores are decided by who comes first: the same for everyone.
      .sort((a, b) => byText(a.name, b.name) || byText(a.id, b.id))
      .map(runnerOf)
  );
}

function runnerOf({ id, name, zone, weight }: Candidate): Runner {
  const high = hash32(name);
  // Members of weight 0 are ranked among themselves as equals.
  return { id, zone, weight: weight === 0 ? 1 : weight, high, low: hash32(name, high) };
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function ranked(shard: Shard, runners: readonly Runner[]): readonly string[] {
  const salt = mix(shard + 1);
  return runners
    .map((runner) => ({ id: runner.id, score: scoreOf(salt, runner) }))
    .sort((a, b) => b.score - a.score)
    .map(({ id }) => id);
}

/** Picks the best again and again: of a large cluster only the first few are asked for. `first` comes before all. */
function chosen(shard: Shard, runners: readonly Runner[], count: number, first?: Runner): string[] {
  const salt = mix(shard + 1);
  const scores = runners.map((runner) => (runner === first ? -1 : scoreOf(salt, runner)));
  const ids = first ? [first.id] : [];
  const zones = new Set(first && [first.zone]);
  const most = Math.min(count, runners.length + (first === undefined || runners.includes(first) ? 0 : 1));
  while (ids.length < most) {
    const at = bestOf(scores, (i) => !zones.has(runners[i]?.zone ?? ""));
    const next = at < 0 ? bestOf(scores, () => true) : at;
    const runner = runners[next];
    if (runner === undefined) break;
    ids.push(runner.id);
    zones.add(runner.zone);
    scores[next] = -1;
  }
  return ids;
}

/** Where the highest score is that may be chosen, or -1. Scores are above 0, those used up are -1. */
function bestOf(scores: readonly number[], may: (i: number) => boolean): number {
  let best = -1;
  let highest = -1;
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i] ?? -1;
    if (score <= highest || !may(i)) continue;
    best = i;
    highest = score;
  }
  return best;
}

const scoreOf = (salt: number, { weight, high, low }: Runner): number => {
  const first = mix(high ^ salt);
  const second = mix(low ^ first);
  // 52 bits, in (0, 1).
  return weight / -ln((first * 0x100000 + (second >>> 12) + 0.5) / 0x10000000000000);
};

/** The finaliser of MurmurHash3 (Appleby, public domain): every bit of the input decides over every bit of the output. */
function mix(value: number): number {
  let h = value ^ (value >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  h ^= h >>> 16;
  return h >>> 0;
}

/** The natural logarithm from arithmetic that IEEE 754 rounds one way only, unlike Math.log, so that nodes on different
 *  platforms cannot come to different places. For 0 < x < 1. Relative error below 1e-14. */
export function ln(x: number): number {
  let halvings = 0;
  let m = x;
  while (m < 0.75) {
    m *= 2;
    halvings++;
  }
  // ln m = 2 artanh s, and |s| ≤ 1/5.
  const s = (m - 1) / (m + 1);
  const square = s * s;
  let sum = 0;
  for (let n = 23; n >= 1; n -= 2) sum = sum * square + 1 / n;
  return 2 * s * sum - halvings * Math.LN2;
}

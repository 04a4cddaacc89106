// Where shards belong: weighted rendezvous hashing. Nobody votes and nothing is stored: whoever knows the same members
// works out the same places. A member's joining or leaving moves only the shards that it gets or had.
//
// Source: Thaler & Ravishankar, "Using name-based mappings to increase hit rates" (1998), with the weights of Schindelhauer
// & Schomaker, "Weighted distributed hash tables" (2005): the score of a member is weight / -ln(u), u uniform in (0, 1).

import { hash32, type Shard } from "../base/index.ts";
import type { Member } from "./member.ts";
import type { View } from "./view.ts";

/** What placement asks of a member. Only members that are not dead are passed in. */
export type Candidate = Pick<Member, "id" | "name" | "zone" | "weight" | "entities" | "state" | "cordoned">;

/** By shard: ids of its copies, the owner first. */
export type Placement = readonly (readonly string[])[];

/** Ids of those that a shard may be given to, best first. Members that do not host entities, or are not ready yet, are
 *  never among them. Of the rest only the best kind that there is: ready ones; if there is none, those of weight 0; then
 *  cordoned ones; then draining ones, which still serve while nobody else can. */
export const rank = (shard: Shard, members: readonly Candidate[]): readonly string[] =>
  ranked(shard, members).map(({ id }) => id);

/** Ids of those that should hold a shard: the owner, then the followers, at most `count` together. Followers are the best
 *  ranked of zones that hold no copy yet, then the best ranked of all. */
export function copies(shard: Shard, members: readonly Candidate[], count: number): readonly string[] {
  const order = ranked(shard, members);
  const zones = new Set<string>();
  const spread: Candidate[] = [];
  const doubled: Candidate[] = [];
  for (const member of order) {
    (zones.has(member.zone) ? doubled : spread).push(member);
    zones.add(member.zone);
  }
  return [...spread, ...doubled].slice(0, count).map(({ id }) => id);
}

/** The copies of every shard, by shard, among those a view has as alive: worked out once per version of the view. */
export function placementOf({ members }: View, shards: number, count: number): Placement {
  const alive = members.filter(({ standing }) => standing === "alive").map(({ member }) => member);
  return Array.from({ length: shards }, (_, shard) => copies(shard, alive, count));
}

function ranked(shard: Shard, members: readonly Candidate[]): readonly Candidate[] {
  const best = Math.min(...members.map(tierOf));
  if (best === Infinity) return [];
  return members
    .filter((member) => tierOf(member) === best)
    .map((member) => ({ member, score: scoreOf(shard, member) }))
    .sort((a, b) => b.score - a.score || byText(a.member.name, b.member.name) || byText(a.member.id, b.member.id))
    .map(({ member }) => member);
}

export const drainingTier = 3;

/** Lower is better; Infinity is never. */
export function tierOf({ entities, state, cordoned, weight }: Candidate): number {
  if (!entities || state === "starting") return Infinity;
  if (state === "draining") return drainingTier;
  if (cordoned) return 2;
  return weight === 0 ? 1 : 0;
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Members of weight 0 are ranked among themselves as equals. */
const scoreOf = (shard: Shard, { name, weight }: Candidate): number =>
  (weight === 0 ? 1 : weight) / -ln(uniform(shard, name));

/** In (0, 1), 52 bits, from the shard and the member's name. */
function uniform(shard: Shard, name: string): number {
  const high = hash32(name, hash32("place", shard));
  const low = hash32(name, high ^ 0x9e3779b9);
  return (high * 0x100000 + (low >>> 12) + 0.5) / 0x10000000000000;
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

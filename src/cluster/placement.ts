// Where shards belong: weighted rendezvous hashing. Nobody votes and nothing is stored: whoever knows the same members
// works out the same places. A member's joining or leaving moves only the shards that it gets or had.
//
// Source: Thaler & Ravishankar, "Using name-based mappings to increase hit rates" (1998), with the weights of Schindelhauer
// & Schomaker, "Weighted distributed hash tables" (2005): the score of a member is weight / -ln(u), u uniform in (0, 1).

import { type Apart, hash32, roleOfShard, type Shard } from "../base/index.ts";
import { mayHost, type Member } from "./member.ts";
import type { Pins } from "./pins.ts";
import type { View } from "./view.ts";

/** What placement asks of a member. Only members that are not dead are passed in. */
export type Candidate = Pick<Member, "id" | "name" | "zone" | "weight" | "entities" | "hosts" | "state" | "cordoned">;

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
 *  shard is first where it is pinned to, as long as that node is there and may be given shards. A shard of entities that are
 *  kept apart has its copies among the nodes that host them. */
export function placementOf(
  { members }: View,
  shards: number,
  count: number,
  pins?: Pins,
  apart?: readonly Apart[],
): Placement {
  const alive = members.filter(({ standing }) => standing === "alive").map(({ member }) => member);
  const fields = new Map<string, Field>();
  return Array.from({ length: shards }, (_, shard) => {
    const role = roleOfShard(apart, shard);
    let field = fields.get(role);
    if (!field) fields.set(role, (field = fieldOf(alive, role, pins)));
    return chosen(shard, field.runners, count, field.pinnable.get(pins?.nodes.get(shard) ?? ""));
  });
}

/** Who may be given the shards of a role, and by name who may be pinned one. */
type Field = { readonly runners: readonly Runner[]; readonly pinnable: ReadonlyMap<string, Runner> };

function fieldOf(alive: readonly Candidate[], role: string, pins: Pins | undefined): Field {
  const hosts = alive.filter((member) => mayHost(member, role));
  const runners = runnersOf(hosts);
  const pinnable = new Map<string, Runner>();
  if (pins && pins.nodes.size > 0)
    for (const member of hosts)
      if (mayBePinnedTo(member))
        pinnable.set(member.name, runners.find(({ id }) => id === member.id) ?? runnerOf(member));
  return { runners, pinnable };
}

/** As `rank`, among those that a view has as alive and that host the shard's entities. */
export function rankingIn({ members }: View, shard: Shard, apart?: readonly Apart[]): readonly string[] {
  const role = roleOfShard(apart, shard);
  const alive = members.filter(({ member, standing }) => standing === "alive" && mayHost(member, role));
  return rank(
    shard,
    alive.map(({ member }) => member),
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

type Scored = { readonly runner: Runner; readonly score: number };

/** The best of a zone that holds no copy yet, again and again, then the best of all. `first` comes before all. Only the best
 *  of each zone and the best few of all are ever asked for, so that few scores are worked out to the end. */
function chosen(shard: Shard, runners: readonly Runner[], count: number, first?: Runner): string[] {
  const salt = mix(shard + 1);
  const zones = new Map<string, Scored>();
  const top: Scored[] = [];
  for (const runner of runners) {
    if (runner === first) continue;
    const u = drawOf(salt, runner);
    const ofZone = zones.get(runner.zone)?.score ?? 0;
    const ofAll = top.length < count ? 0 : (top.at(-1)?.score ?? 0);
    // No score is above this: -ln u is at least 1 - u.
    const most = (runner.weight / (1 - u)) * (1 + 1e-9);
    if (most <= ofZone && most <= ofAll) continue;
    const scored = { runner, score: runner.weight / -ln(u) };
    if (scored.score > ofZone) zones.set(runner.zone, scored);
    if (scored.score <= ofAll) continue;
    const place = top.findIndex(({ score }) => score < scored.score);
    top.splice(place < 0 ? top.length : place, 0, scored);
    if (top.length > count) top.pop();
  }
  const taken: Runner[] = first ? [first] : [];
  const inOrder = [...zones.values()].sort(
    (a, b) => b.score - a.score || runners.indexOf(a.runner) - runners.indexOf(b.runner),
  );
  for (const some of [inOrder, top])
    for (const { runner } of some) {
      if (taken.length >= count) break;
      if (taken.includes(runner) || (some === inOrder && runner.zone === first?.zone)) continue;
      taken.push(runner);
    }
  return taken.map(({ id }) => id);
}

const scoreOf = (salt: number, runner: Runner): number => runner.weight / -ln(drawOf(salt, runner));

/** A member's draw for a shard: 52 bits, in (0, 1). */
function drawOf(salt: number, { high, low }: Runner): number {
  const first = mix(high ^ salt);
  const second = mix(low ^ first);
  return (first * 0x100000 + (second >>> 12) + 0.5) / 0x10000000000000;
}

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

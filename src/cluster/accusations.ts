// What the registry says against whom, as one reader sees it unfold. An accusation of or by somebody who is dying is no
// news; where both go on beating, the two are alive and cannot hear each other. Time is handed in.

import type { Tick } from "../base/index.ts";
import { type Accusation, standAside } from "./exclusion.ts";
import type { Member } from "./member.ts";
import type { Timing } from "./timing.ts";
import { allWatched } from "./watch.ts";

/** Tells whether somebody beats on after a moment. One beat may have been under way, so it takes a second one. */
export type Afterbeat = { readonly since: Tick; beat: number; changes: number; proven: boolean };

export const afterbeat = (now: Tick, beat: number): Afterbeat => ({ since: now, beat, changes: 0, proven: false });

export function observeBeat(after: Afterbeat, beat: number, now: Tick, timing: Timing): void {
  if (beat === after.beat) return;
  after.beat = beat;
  after.changes++;
  after.proven ||= after.changes >= 2 && now - after.since >= 2 * timing.beatMs;
}

type Both = { readonly accuser: Afterbeat; readonly accused: Afterbeat };
const isProven = ({ accuser, accused }: Both): boolean => accuser.proven && accused.proven;

export type Accuser = { readonly member: Member; readonly beat: number; readonly accuses: readonly string[] };

export type Accusations = {
  /** Takes in what all say who are seen to beat, of so many members, and returns who stands aside, each with those whom it does
   *  not hear or who do not hear it: what was worked out and has held long enough. */
  read(beating: ReadonlyMap<string, Accuser>, count: number, now: Tick): ReadonlyMap<string, ReadonlySet<string>>;
  /** Starts measuring again how long things hold that have not held long enough yet: the reader slept. */
  restart(now: Tick): void;
};

const nobody: ReadonlyMap<string, ReadonlySet<string>> = new Map();

export function accusationsOf(timing: Timing): Accusations {
  /** By accuser, then accused: what both did since. */
  let open = new Map<string, Map<string, Both>>();
  let candidates = new Map<string, { since: Tick; confirmed: boolean }>();

  const proven = (beating: ReadonlyMap<string, Accuser>, now: Tick): Accusation[] => {
    const next: typeof open = new Map();
    const found: Accusation[] = [];
    for (const [accuser, { accuses, beat: own }] of beating) {
      if (accuses.length === 0) continue;
      const before = open.get(accuser);
      const after = new Map<string, Both>();
      for (const accused of accuses) {
        const beat = beating.get(accused)?.beat;
        if (beat === undefined || accused === accuser) continue;
        const known = before?.get(accused) ?? { accuser: afterbeat(now, own), accused: afterbeat(now, beat) };
        observeBeat(known.accuser, own, now, timing);
        observeBeat(known.accused, beat, now, timing);
        after.set(accused, known);
        if (isProven(known)) found.push([accuser, accused]);
      }
      if (after.size > 0) next.set(accuser, after);
    }
    open = next;
    return found;
  };

  return {
    read(beating, count, now) {
      const accusations = proven(beating, now);
      if (accusations.length === 0 && candidates.size === 0) return nobody;
      const aside = new Map<string, ReadonlySet<string>>();
      const members = new Map([...beating].map(([id, { member }]) => [id, member]));
      const next: typeof candidates = new Map();
      // Where neighbours notice first, all others have to be told and to miss three beats of their own before they say so.
      const confirmMs = count <= allWatched ? timing.confirmMs : 3 * timing.confirmMs;
      for (const id of standAside(members, accusations)) {
        const candidate = candidates.get(id) ?? { since: now, confirmed: false };
        candidate.confirmed ||= now - candidate.since >= confirmMs;
        next.set(id, candidate);
        if (candidate.confirmed) aside.set(id, opponentsOf(id, accusations));
      }
      candidates = next;
      return aside;
    },
    restart(now) {
      for (const accused of open.values()) for (const [id, both] of accused) if (!isProven(both)) accused.delete(id);
      for (const candidate of candidates.values()) if (!candidate.confirmed) candidate.since = now;
    },
  };
}

const opponentsOf = (id: string, accusations: readonly Accusation[]): Set<string> =>
  new Set(accusations.flatMap(([a, b]) => (a === id ? [b] : b === id ? [a] : [])));

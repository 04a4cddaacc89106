// Who is alive, as this node sees it, from three witnesses: its own connections, the beats in the registry, and what
// members say there of each other. A machine: time is handed in, `tick` comes every beat, the driver carries everything.
//
// Beats are read of a few: in a large cluster only their neighbours on the circle (watch.ts) look at those who are well.
//
// M1. Whoever is heard is alive, unless it stands aside or is stranded. Whose process is gone is dead at once.
// M2. A silent member is dead when its beat in the registry has stood still for a lease, measured on our clock. What a neighbour
//     says of a beat counts only for that beat, and only for whoever does not hear the member.
// M3. Members that reach the registry but not each other agree on who stands aside, and whoever does knows it.
// M4. Who was dead is trusted again only after having been well for a time that grows with each death (damping).
// M5. An observer that slept accuses nobody and buries nobody for it: ages start again when it wakes.
// M6. Damping never leaves a cluster without anybody.
// M7. A beat has no age while nobody looks at it: that begins with the first look, or with what a neighbour says that it saw.
// M8. Whoever is not well, not proven, accused or of another's name is looked at. In a large cluster only those accuse who have seen
//     a beat of one whom they do not hear: of one that has died nobody writes.

import type { Millis, Tick } from "../base/index.ts";
import { type Accuser, type Afterbeat, accusationsOf, afterbeat, observeBeat } from "./accusations.ts";
import { accusable } from "./exclusion.ts";
import { type Member, type MemberRecord, sameMember } from "./member.ts";
import { drainingTier, tierOf } from "./placement.ts";
import { checkTiming, type Timing } from "./timing.ts";
import { allWatched } from "./watch.ts";
import type { Seen, Standing, View, Why } from "./view.ts";

export type Members = {
  /** What this node now says of itself. */
  self(member: Member, now: Tick): void;
  /** All that the registry is known to hold, by id, this node's own record included: seeing it change is how the node knows that
   *  it reaches the registry. `looked`: those whose beats were read now; all when left out. */
  listed(records: ReadonlyMap<string, MemberRecord>, now: Tick, looked?: ReadonlySet<string>): void;
  /** Ids of those whose beats are to be read at the next look at the registry, whoever watches them. */
  lookFor(now: Tick): readonly string[];
  /** A neighbour of the member has seen this beat of it stand still for so long. */
  stood(id: string, beat: number, forMs: Millis, now: Tick): void;
  /** Those who have become silent, or whose beats stand still though they are heard, each with its beat and for how long that
   *  has stood still, as far as that is known here: what the others are to be told. */
  still(now: Tick): readonly Still[];
  /** A heartbeat came over a connection to this run of the member: call it for every one. */
  heard(id: string, now: Tick): void;
  /** The member's process is certainly gone: the connection broke and dialing again was refused, or another process
   *  answers at its address. */
  refused(id: string, now: Tick): void;
  /** To be called every beat. */
  tick(now: Tick): View;
  view(): View;
  /** Ids for this node's own record, sorted, at most `mostAccused`. The driver writes the record at once when they change. */
  accuses(now: Tick): readonly string[];
  /** Ids whose records may be deleted from the registry. */
  gone(now: Tick): readonly string[];
};

export type Still = { readonly id: string; readonly beat: number; readonly forMs: Millis };

type Entry = {
  member: Member;
  readonly firstAt: Tick;
  listed: boolean;
  accuses: readonly string[];
  beat: number;
  /** Whether the beat was read at the last look at the registry. */
  looked: boolean;
  /** When the beat was last seen to change, or first looked at since. */
  beatAt: Tick;
  /** When the beat was last seen to change from one look to the next. */
  changedAt: Tick | undefined;
  /** What a neighbour of it said last: since when it sees this beat. */
  hearsay: { readonly beat: number; readonly since: Tick } | undefined;
  /** It was seen to change since this node last slept. */
  beating: boolean;
  heardAt: Tick | undefined;
  refused: Afterbeat | undefined;
  /** Those it could not hear, or who could not hear it, while it stands aside. */
  aside: ReadonlySet<string> | undefined;
  /** Something showed that it lives, or lived: a heartbeat, or a change in the registry. */
  proven: boolean;
  standing: Standing;
  why: Why | undefined;
  since: Tick;
  /** How long it has to be well when it is healing. */
  healMs: Millis;
};

const entryOf = (member: Member, now: Tick): Entry => ({
  member,
  firstAt: now,
  listed: false,
  accuses: [],
  beat: -1,
  looked: false,
  beatAt: now,
  changedAt: undefined,
  hearsay: undefined,
  beating: false,
  heardAt: undefined,
  refused: undefined,
  aside: undefined,
  proven: false,
  standing: "doubted",
  why: "new",
  since: now,
  healMs: 0,
});

/** `me` is this node as it starts; `now` is the tick of the start. */
export function trackMembers(me: Member, now: Tick, given: Partial<Timing> = {}): Members {
  const timing = checkTiming(given);
  const silenceMs = 3 * timing.beatMs;
  const own: Entry = { ...entryOf(me, now), proven: true, standing: "alive", why: undefined };
  const entries = new Map<string, Entry>([[me.id, own]]);
  const accusations = accusationsOf(timing);
  /** By name: when a run of that node died. */
  const deaths = new Map<string, Tick[]>();
  let lastTick = now;
  /** Since when this node's own beats have come back from the registry without a gap. */
  let reachesSince = now;
  /** When something was heard that the view does not show yet. */
  let outdated: Tick | undefined;
  let view = viewOf(undefined, entries.values(), { excluded: false, mayClaim: false }, now);

  const up = (entry: Entry, at: Tick): boolean => entry.heardAt !== undefined && at - entry.heardAt <= silenceMs;
  /** Those who are not looked at are well as long as they are heard. */
  const fresh = (entry: Entry, at: Tick): boolean =>
    entry.listed && (entry.looked ? at - entry.beatAt <= timing.leaseMs : up(entry, at));
  const reaches = (at: Tick, withinMs: Millis): boolean => own.beating && at - own.beatAt <= withinMs;

  /** Every input passes here first: whoever finds that the last tick is long ago has slept (M5). */
  const awake = (at: Tick): void => {
    if (at - lastTick <= silenceMs) return;
    lastTick = at;
    reachesSince = at;
    accusations.restart(at);
    for (const entry of entries.values()) {
      if (entry.standing === "dead") continue;
      entry.beatAt = at;
      entry.beating = entry === own && entry.beating;
      entry.hearsay = undefined;
      if (entry.heardAt !== undefined) entry.heardAt = at;
    }
  };

  /** Begins to look at a member's beat. */
  const turnTo = (entry: Entry, beat: number, at: Tick): void => {
    entry.looked = true;
    entry.beatAt = at;
    if (entry.refused) entry.refused = afterbeat(at, beat);
  };

  const seeBeat = (entry: Entry, beat: number, at: Tick): void => {
    const wasLooked = entry.looked;
    if (!wasLooked) turnTo(entry, beat, at);
    if (entry.refused) observeBeat(entry.refused, beat, at, timing);
    if (entry.beat === beat) return believe(entry);
    if (wasLooked) entry.changedAt = at;
    if (entry === own && at - own.beatAt > timing.leaseMs) reachesSince = at;
    // The first sight of another's record proves nothing: it may be old.
    entry.beating ||= entry.beat >= 0 || entry === own;
    entry.proven ||= entry.beating;
    entry.beat = beat;
    entry.beatAt = at;
    believe(entry);
  };

  /** What a neighbour has seen of the very beat that is seen here now counts as if it were seen here. */
  const believe = (entry: Entry): void => {
    if (entry.hearsay?.beat === entry.beat) entry.beatAt = Math.min(entry.beatAt, entry.hearsay.since);
  };

  const countOf = (): number => {
    let count = 0;
    for (const { standing } of entries.values()) if (standing !== "dead") count++;
    return count;
  };

  const readAccusations = (at: Tick): void => {
    const beating = new Map<string, Accuser>();
    for (const [id, entry] of entries) if (entry.beating && fresh(entry, at)) beating.set(id, entry);
    const aside = accusations.read(beating, countOf(), at);
    for (const [id, entry] of entries) {
      const against = aside.get(id);
      if (against === undefined && entry.aside !== undefined && outlived(entry.aside, at)) entry.healMs = 0;
      entry.aside = against;
    }
  };

  /** Whoever stood aside for those who have died since has nothing to heal from. */
  const outlived = (others: ReadonlySet<string>, at: Tick): boolean =>
    [...others].every((id) => {
      const other = entries.get(id);
      return other === undefined || !fresh(other, at);
    });

  /** The names of those that certainly run, each with the start of its latest run. */
  const runningNames = (at: Tick): ReadonlyMap<string, number> => {
    const running = new Map<string, number>();
    for (const entry of entries.values()) {
      const { name, startedAt } = entry.member;
      if (entry === own) running.set(name, Infinity);
      else if (up(entry, at) || (entry.beating && fresh(entry, at)))
        running.set(name, Math.max(startedAt, running.get(name) ?? 0));
    }
    return running;
  };

  const absence = (entry: Entry, running: ReadonlyMap<string, number>, at: Tick): Why | undefined => {
    if (entry.aside) return "aside";
    if (entry === own) return undefined;
    const isUp = up(entry, at);
    if (!isUp && (running.get(entry.member.name) ?? 0) > entry.member.startedAt) return "superseded";
    if (!isUp && !entry.listed) return "left";
    if (entry.refused && !entry.refused.proven) return "refused";
    if (!entry.looked) return undefined;
    if (!isUp) return at - entry.beatAt <= timing.leaseMs ? undefined : "silent";
    const stoodStill = at - Math.max(entry.beatAt, reachesSince);
    return reaches(at, timing.leaseMs) && stoodStill > timing.strandedMs ? "stranded" : undefined;
  };

  const recentDeaths = (name: string, at: Tick): number => {
    const recent = (deaths.get(name) ?? []).filter((died) => at - died < timing.memoryMs);
    if (recent.length === 0) deaths.delete(name);
    else deaths.set(name, recent);
    return recent.length;
  };

  const healing = (times: number): Millis =>
    times <= 0 ? 0 : Math.min(timing.memoryMs, timing.healMs * 4 ** (times - 1));

  const become = (entry: Entry, standing: Standing, why: Why | undefined, at: Tick): void => {
    entry.standing = standing;
    entry.why = why;
    entry.since = at;
  };

  const bury = (entry: Entry, why: Why, at: Tick): void => {
    become(entry, "dead", why, at);
    const { name, state } = entry.member;
    // One that was never seen alive did not die now, and one that said goodbye did not die.
    const died = entry.proven && state !== "draining" && why !== "left" && why !== "superseded";
    const known = recentDeaths(name, at);
    if (died) deaths.set(name, [...(deaths.get(name) ?? []).slice(-15), at]);
    entry.healMs = died ? healing(known + 1) : 0;
  };

  const judge = (entry: Entry, running: ReadonlyMap<string, number>, at: Tick): void => {
    const absent = absence(entry, running, at);
    if (absent !== undefined) {
      if (entry.standing !== "dead") bury(entry, absent, at);
      return;
    }
    if (entry.standing === "dead") become(entry, "doubted", "healing", at);
    if (entry.why === "new" && entry.proven) {
      // The first restart after a crash is welcome at once; a crash loop is not.
      entry.healMs = healing(recentDeaths(entry.member.name, at) - 1);
      entry.why = "healing";
    }
    if (entry.why === "healing" && at - entry.since >= entry.healMs) become(entry, "alive", undefined, at);
  };

  const refresh = (at: Tick): void => {
    outdated = undefined;
    readAccusations(at);
    const running = runningNames(at);
    for (const [id, entry] of entries) {
      judge(entry, running, at);
      if (!entry.listed && entry.standing === "dead" && at - entry.since > timing.forgetMs) entries.delete(id);
    }
    const shown = shownOf(entries.values());
    const excluded = shown.find(({ member }) => member.id === me.id)?.standing !== "alive";
    view = viewOf(view, shown, { excluded, mayClaim: !excluded && reaches(at, timing.strandedMs) }, at);
  };

  return {
    self(member, at) {
      awake(at);
      if (sameMember(own.member, member)) return;
      own.member = member;
      refresh(at);
    },
    listed(records, at, looked) {
      awake(at);
      for (const entry of entries.values()) {
        entry.listed = false;
        entry.looked &&= looked?.has(entry.member.id) ?? true;
      }
      for (const [id, { member, beat, accuses }] of records) {
        if (member.id !== id) continue;
        const entry = entries.get(id) ?? entryOf(member, at);
        entries.set(id, entry);
        entry.listed = true;
        entry.accuses = accuses;
        if (entry !== own && !sameMember(entry.member, member)) entry.member = member;
        if (looked?.has(id) ?? true) seeBeat(entry, beat, at);
        else entry.beat = beat;
      }
      refresh(at);
    },
    lookFor(at) {
      const all = countOf() <= allWatched;
      const wanted = new Set<string>([me.id]);
      const names = new Map<string, string>();
      for (const [id, entry] of entries) {
        if (all || !entry.listed || entry.standing !== "alive" || !up(entry, at)) wanted.add(id);
        for (const of of entry.accuses.length > 0 ? [id, ...entry.accuses] : []) wanted.add(of);
        const namesake = names.get(entry.member.name);
        if (namesake !== undefined) wanted.add(id).add(namesake);
        names.set(entry.member.name, id);
      }
      return [...wanted].filter((id) => id === me.id || entries.has(id));
    },
    stood(id, beat, forMs, at) {
      awake(at);
      const entry = entries.get(id);
      if (entry === undefined || entry === own) return;
      entry.hearsay = { beat, since: at - forMs };
      if (entry.looked) believe(entry);
    },
    still: (at) =>
      [...entries.values()].flatMap((entry) => {
        const { member, beat, heardAt, why } = entry;
        const isSilent = heardAt !== undefined && at - heardAt > silenceMs && entry.beating && fresh(entry, at);
        if (entry === own || !(isSilent || why === "stranded")) return [];
        return [{ id: member.id, beat, forMs: entry.looked ? at - entry.beatAt : 0 }];
      }),
    heard(id, at) {
      awake(at);
      const entry = entries.get(id);
      if (entry === undefined || entry === own) return;
      entry.heardAt = at;
      entry.refused = undefined;
      if (entry.proven && entry.standing !== "dead") return;
      entry.proven = true;
      outdated = at;
    },
    refused(id, at) {
      awake(at);
      const entry = entries.get(id);
      if (entry === undefined || entry === own) return;
      entry.heardAt = undefined;
      entry.refused = afterbeat(at, entry.beat);
      refresh(at);
    },
    tick(at) {
      awake(at);
      lastTick = at;
      refresh(at);
      return view;
    },
    view() {
      if (outdated !== undefined) refresh(outdated);
      return view;
    },
    accuses(at) {
      const unheard = (entry: Entry): boolean =>
        entry.heardAt === undefined
          ? entry.refused !== undefined || at - entry.firstAt > timing.leaseMs
          : at - entry.heardAt > silenceMs;
      // M8
      const isLarge = countOf() > allWatched;
      const beatsOn = ({ changedAt, heardAt, refused, firstAt }: Entry): boolean =>
        changedAt !== undefined && changedAt > (heardAt ?? refused?.since ?? firstAt) + silenceMs;
      const accused = [...entries.values()]
        .filter((entry) => entry !== own && entry.beating && fresh(entry, at) && unheard(entry))
        .filter((entry) => !isLarge || beatsOn(entry))
        .map(({ member }) => member.id);
      return accusable(accused, me.id);
    },
    gone: (at) =>
      [...entries.values()]
        .filter((entry) => entry !== own && entry.listed && entry.standing === "dead")
        .filter((entry) => entry.looked && at - entry.beatAt > timing.forgetMs && !up(entry, at))
        .map(({ member }) => member.id)
        .sort(),
  };
}

/** Where nobody is left to trust, those who are healing are trusted at once (M6). */
function shownOf(entries: Iterable<Entry>): readonly Pick<Entry, "member" | "standing" | "why" | "since">[] {
  const all = [...entries];
  if (all.some((entry) => entry.standing === "alive" && tierOf(entry.member) < drainingTier)) return all;
  return all.map((entry) =>
    entry.why === "healing" ? { ...entry, standing: "alive" as const, why: undefined } : entry,
  );
}

function viewOf(
  before: View | undefined,
  entries: Iterable<Pick<Entry, "member" | "standing" | "why" | "since">>,
  own: Pick<View, "excluded" | "mayClaim">,
  now: Tick,
): View {
  const members: Seen[] = [];
  let kept = 0;
  let alive = 0;
  let aliveKept = 0;
  for (const { member, standing, why, since } of entries) {
    const known = before?.byId.get(member.id);
    const isKept = known?.member === member && known.standing === standing && known.why === why;
    members.push(isKept ? known : { member, standing, why, since });
    if (isKept) kept++;
    if (standing !== "alive") continue;
    alive++;
    if (isKept) aliveKept++;
  }
  const aliveBefore = before?.members.filter(({ standing }) => standing === "alive").length;
  if (before?.excluded === own.excluded && before.mayClaim === own.mayClaim)
    if (kept === members.length && kept === before.members.length) return before;
  const isSettled = before !== undefined && aliveKept === alive && alive === aliveBefore;
  members.sort((a, b) => (a.member.id < b.member.id ? -1 : 1));
  const byId = new Map(members.map((seen) => [seen.member.id, seen]));
  const settledSince = isSettled ? before.settledSince : now;
  return { version: (before?.version ?? 0) + 1, members, byId, ...own, settledSince };
}

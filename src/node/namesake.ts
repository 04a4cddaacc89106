// Two processes under one name would pass shards back and forth: placement goes by names. A node that starts where another
// lives under its name is refused. Where both got in (one was frozen while the other started), the older run gives way.
//
// J1. A run that is over keeps nobody out: its record stands still, and it is gone a lease after it was first looked at,
//     or as soon as nothing listens at its address.
// J2. Of two runs that live, at most one gives way: of the later start, and of equals the one with the higher id, stays.
// J3. A registry that shows older states for a moment makes nobody live: whoever lives beats on for a lease.

import { type Millis, SheafError, type Tick } from "../base/index.ts";
import type { Member, MemberRecord, Timing } from "../cluster/index.ts";
import type { Clock } from "../host/index.ts";
import type { Engine } from "../journal/index.ts";
import type { PeerState } from "../rpc/index.ts";
import type { Peers } from "./peers.ts";
import { Roll } from "./roll.ts";

/** Tells whether a record is written again and again. */
class Pulse {
  readonly #firstSeen: Tick;
  readonly #leaseMs: Millis;
  #highest: number;
  #since: Tick | undefined;
  #raisedAt: Tick;

  constructor(beat: number, now: Tick, leaseMs: Millis) {
    this.#highest = beat;
    this.#firstSeen = now;
    this.#raisedAt = now;
    this.#leaseMs = leaseMs;
  }

  see(beat: number, now: Tick): "lives" | "still" | "unknown" {
    if (beat > this.#highest) {
      this.#highest = beat;
      this.#since ??= now;
      this.#raisedAt = now;
      if (now - this.#since >= this.#leaseMs) return "lives";
    }
    if (now - this.#raisedAt <= this.#leaseMs) return "unknown";
    this.#since = undefined;
    return now - this.#firstSeen > this.#leaseMs ? "still" : "unknown";
  }
}

const inUse = ({ name, pid, peer }: Member): SheafError =>
  new SheafError("IN_USE", `another node of the name ${name} is in the cluster: process ${pid} at ${peer}`, {
    hint: "give this one another name (--name), or stop the other first",
  });

type Refusing = {
  readonly clock: Clock;
  readonly registry: Engine["registry"];
  readonly peers: Pick<Peers, "probe">;
  readonly self: Member;
  readonly timing: Timing;
};

const recordsOf = (records: ReadonlyMap<string, MemberRecord>, self: Member): MemberRecord[] =>
  [...records].flatMap(([id, record]) =>
    record.member.id === id && record.member.name === self.name && id !== self.id ? [record] : [],
  );

/** Another run, while it is looked at. */
type Sight = { readonly pulse: Pulse; link: PeerState | undefined };

/** Resolves when no other process lives under this node's name; rejects IN_USE when one does. An engine that does not answer
 *  is waited for: without it the node could do nothing either. */
export async function refuseNamesakes({ clock, registry, peers, self, timing }: Refusing): Promise<void> {
  const sights = new Map<string, Sight>();
  const probes: { close(): void }[] = [];
  const look = ({ member: { id, peer }, beat }: MemberRecord): Sight => {
    const known = sights.get(id);
    if (known) return known;
    const sight: Sight = { pulse: new Pulse(beat, clock.tick(), timing.leaseMs), link: undefined };
    sights.set(id, sight);
    probes.push(peers.probe(id, peer, (state) => void (sight.link = state)));
    return sight;
  };
  const roll = new Roll(registry, self.id);
  try {
    for (;;) {
      const records = await roll.look([...sights.keys()]).then(
        (call) => recordsOf(call.records, self),
        () => undefined,
      );
      let isOpen = records === undefined;
      for (const record of records ?? []) {
        const sight = look(record);
        const state = sight.pulse.see(record.beat, clock.tick());
        if (sight.link === "up" || state === "lives") throw inUse(record.member);
        if (sight.link !== "refused" && state !== "still") isOpen = true;
      }
      if (!isOpen) return;
      await new Promise<void>((resolve) => void clock.after(timing.beatMs / 3, resolve));
    }
  } finally {
    for (const probe of probes) probe.close();
  }
}

/** Watches, among what the registry shows, for a later run under this node's name that lives. */
export class NamesakeWatch {
  readonly #timing: Timing;
  readonly #pulses = new Map<string, Pulse>();

  constructor(timing: Timing) {
    this.#timing = timing;
  }

  /** IN_USE, when this run is to give way. */
  listed(records: ReadonlyMap<string, MemberRecord>, self: Member, now: Tick): SheafError | undefined {
    for (const { member, beat } of recordsOf(records, self)) {
      const pulse = this.#pulses.get(member.id) ?? new Pulse(beat, now, this.#timing.leaseMs);
      this.#pulses.set(member.id, pulse);
      if (pulse.see(beat, now) === "lives" && isLater(member, self)) return inUse(member);
    }
    return undefined;
  }
}

const isLater = (a: Member, b: Member): boolean =>
  a.startedAt > b.startedAt || (a.startedAt === b.startedAt && a.id > b.id);

// Whom a node asks for signs of life at every beat. In a small cluster that is everyone. In a larger one it is a few
// neighbours, so that what a node sends does not grow with the cluster; the others it asks now and then, and it goes by what
// their neighbours say. Pure: time is handed in.
//
// W1. Whoever is watched by somebody watches him in turn, and all who know the same members come to the same neighbours.
// W2. What a neighbour says kills nobody: whoever is named is asked at every beat for a while, and its beats are looked at.
// W3. Of one whom a node was told of it tells nobody: all have been told.

import { hash32, type Millis, type Tick } from "../base/index.ts";
import type { Timing } from "./timing.ts";

/** Up to so many nodes all watch all. */
export const allWatched = 5;
/** On each side of the circle of members. */
const neighboursEachSide = 2;
/** So many beats for each member pass before one that rests is asked: each node asks a few of them in a second. */
const restBeats = 2;

/** Those next to `me` on a circle in the order of the hashes of all ids; everyone in a small cluster. */
export function neighboursOf(me: string, ids: readonly string[]): ReadonlySet<string> {
  const circle = [...new Set([...ids, me])]
    .map((id) => ({ id, order: hash32(id) }))
    .sort((a, b) => a.order - b.order || (a.id < b.id ? -1 : 1))
    .map(({ id }) => id);
  const others = circle.length <= allWatched ? circle : nextTo(circle, circle.indexOf(me));
  return new Set(others.filter((id) => id !== me));
}

const nextTo = (circle: readonly string[], at: number): string[] =>
  Array.from({ length: 2 * neighboursEachSide + 1 }, (_, i) => {
    const place = (at + i - neighboursEachSide + circle.length) % circle.length;
    return circle[place] as string;
  });

export class Watch {
  readonly #me: string;
  readonly #timing: Pick<Timing, "beatMs" | "leaseMs">;
  #ids: readonly string[] = [];
  #neighbours: ReadonlySet<string> = new Set();
  /** Until when each is asked at every beat because somebody does not hear it. */
  readonly #named = new Map<string, Tick>();
  #told = new Set<string>();

  constructor(me: string, timing: Pick<Timing, "beatMs" | "leaseMs">) {
    this.#me = me;
    this.#timing = timing;
  }

  /** Who is there. Cheap while it is the same list. */
  among(ids: readonly string[]): void {
    if (ids === this.#ids) return;
    this.#ids = ids;
    this.#neighbours = neighboursOf(this.#me, ids);
    for (const id of this.#named.keys()) if (!ids.includes(id)) this.#named.delete(id);
  }

  /** Somebody does not hear these. Whether any of them is news. */
  named(ids: Iterable<string>, now: Tick): boolean {
    let isNews = false;
    for (const id of ids) {
      if (!this.#ids.includes(id)) continue;
      isNews ||= !this.isNamed(id, now);
      this.#named.set(id, now + 2 * this.#timing.leaseMs);
    }
    return isNews;
  }

  isNamed(id: string, now: Tick): boolean {
    return (this.#named.get(id) ?? 0) > now;
  }

  /** Those whose beats this node looks at even while they are well. */
  watched(now: Tick): readonly string[] {
    return [...this.#neighbours, ...[...this.#named.keys()].filter((id) => this.isNamed(id, now))];
  }

  /** How long a member need not be asked; undefined when it is to be asked at every beat. */
  restMs(id: string, now: Tick): Millis | undefined {
    if (this.#neighbours.has(id) || this.isNamed(id, now)) return undefined;
    this.#named.delete(id);
    return restBeats * this.#timing.beatMs * this.#ids.length;
  }

  /** Those among whom this node finds still that the others are to be told of now: each once, until it is well again. None where
   *  all watch all. */
  toTell(still: readonly string[], now: Tick): readonly string[] {
    const fresh = still.filter((id) => !this.#told.has(id) && !this.isNamed(id, now));
    this.#told = new Set(still);
    return this.#ids.length <= allWatched ? [] : fresh;
  }
}

// Where entries of one shard lie in its stream: pairs of our sequence and the engine's position. A pair that was seen once
// stays true, since neither number is ever used again; so keeping few of them is only slower, never wrong.

import type { Seq } from "../../base/index.ts";

export type Place = { readonly seq: Seq; readonly position: number };
export type Places = {
  add(place: Place): void;
  /** The last known place at or below `seq`. */
  atOrBelow(seq: Seq): Place | undefined;
  /** The first known place above `seq`. */
  above(seq: Seq): Place | undefined;
};

/** Past it every other one of the older half is forgotten: what is read next is mostly near the end. */
const most = 512;

export function places(): Places {
  let known: Place[] = [];

  /** Index of the first place above `seq`. */
  const indexAbove = (seq: Seq): number => {
    let [low, high] = [0, known.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((known[middle] as Place).seq > seq) high = middle;
      else low = middle + 1;
    }
    return low;
  };

  return {
    add(place) {
      const index = indexAbove(place.seq);
      if (known[index - 1]?.seq === place.seq) return;
      known.splice(index, 0, place);
      if (known.length > most) known = known.filter((_, i) => i > most / 2 || i % 2 === 0);
    },
    atOrBelow: (seq) => known[indexAbove(seq) - 1],
    above: (seq) => known[indexAbove(seq)],
  };
}

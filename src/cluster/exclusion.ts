// Who has to stand aside when members that all reach the engine do not all hear each other. Without it the halves of a
// partition would fence each other for ever. Everyone works it out from the same registry, and so comes to the same. Pure.
//
// X1. Among the members that are left, nobody accuses anybody.
// X2. The result depends on the accusations and on what the members say of themselves, not on who works it out.
// X3. Somebody is always left.

import { hash32 } from "../base/index.ts";
import type { Member } from "./member.ts";

/** Accuser and accused. Which is which does not matter: a connection that fails one way fails. */
export type Accusation = readonly [string, string];

/** Accusations in one record, which has to fit the registry. */
export const mostAccused = 128;

/** Those of `ids` that `me` accuses, sorted: of very many only some. Each accuser picks others, since two halves of a large
 *  cluster would both stay if all said the same and nothing of the rest. */
export const accusable = (ids: readonly string[], me: string): readonly string[] =>
  ids.length <= mostAccused
    ? [...ids].sort()
    : ids
        .map((id) => ({ id, order: hash32(id, hash32(me)) }))
        .sort((a, b) => a.order - b.order)
        .slice(0, mostAccused)
        .map(({ id }) => id)
        .sort();

/** Of two members with as many bad connections, whether the cluster loses less with `a`. A total order. */
function matters(a: Member, b: Member): number {
  const serves = (member: Member): number => (member.entities ? 2 : 0) + (member.state === "draining" ? 0 : 1);
  return serves(a) - serves(b) || a.weight - b.weight || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0);
}

/** Ids of those that stand aside: the one with the most bad connections, then the next, until none is left. Accusations
 *  of or by somebody who is not among the members count for nothing. */
export function standAside(members: ReadonlyMap<string, Member>, accusations: Iterable<Accusation>): Set<string> {
  const bad = new Map<string, Set<string>>();
  const link = (from: string, to: string): void => {
    const known = bad.get(from);
    if (known) known.add(to);
    else bad.set(from, new Set([to]));
  };
  for (const [accuser, accused] of accusations) {
    if (accuser === accused || !members.has(accuser) || !members.has(accused)) continue;
    link(accuser, accused);
    link(accused, accuser);
  }
  const aside = new Set<string>();
  for (let worst = worstOf(bad, members); worst !== undefined; worst = worstOf(bad, members)) {
    aside.add(worst);
    for (const other of bad.get(worst) ?? []) {
      const left = bad.get(other);
      left?.delete(worst);
      if (left?.size === 0) bad.delete(other);
    }
    bad.delete(worst);
  }
  return aside;
}

function worstOf(bad: ReadonlyMap<string, ReadonlySet<string>>, members: ReadonlyMap<string, Member>) {
  let worst: Member | undefined;
  let most = 0;
  for (const [id, links] of bad) {
    const member = members.get(id);
    if (member === undefined || links.size < most) continue;
    if (links.size > most || worst === undefined || matters(member, worst) < 0) worst = member;
    most = links.size;
  }
  return worst?.id;
}

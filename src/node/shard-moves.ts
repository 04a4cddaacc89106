// Which shards are not where they belong, and why; and where an operator may send one.

import type { ShardMove, ShardStatus } from "../admin/index.ts";
import { SheafError } from "../base/index.ts";
import { type Member, mayBePinnedTo, mayHost } from "../cluster/index.ts";
import type { Membership } from "./membership.ts";

/** The node that shards may be moved to. Throws NOT_FOUND, or IN_USE when it takes none now. */
export function mayMoveTo({ view }: Membership, node: string, role: string): Member {
  const seen = view.byId.get(node);
  if (seen === undefined || seen.why === "left" || seen.why === "superseded")
    throw new SheafError("NOT_FOUND", `there is no node ${node}`, { hint: "see: sheaf node ls" });
  const { member, standing } = seen;
  const refuse = (why: string, hint: string): SheafError =>
    new SheafError("IN_USE", `${member.name} takes no shards: ${why}`, { hint });
  if (standing !== "alive") throw refuse("it does not answer, or not for long yet", "see: sheaf node ls");
  if (member.state === "draining") throw refuse("it is draining", `take that back: sheaf node undrain ${member.name}`);
  if (member.cordoned) throw refuse("it is cordoned", `take that back: sheaf node uncordon ${member.name}`);
  if (!mayBePinnedTo(member)) throw refuse("it hosts no entities", "choose another node");
  if (!mayHost(member, role))
    throw refuse(`it does not host ${role}, whose shard that is`, "choose another node; see: sheaf node ls");
  return member;
}

/** In order of shards. `shards` is how all nodes together see them. */
export function movesOf(membership: Membership, shards: readonly ShardStatus[]): ShardMove[] {
  const { view } = membership;
  const placement = membership.placement(undefined);
  const nameOf = (id: string): string => view.byId.get(id)?.member.name ?? id;
  return shards.flatMap(({ shard, owner: from, pinned, movingTo }): ShardMove[] => {
    const to = placement[shard]?.[0] ?? null;
    if (pinned === null && from === to) return [];
    const belongs = to === null ? "no node may be given it" : `${nameOf(to)} is first for it by weight and zone`;
    const row = (state: ShardMove["state"], why: string): ShardMove[] => [{ shard, from, to, state, why }];
    if (pinned !== null)
      return row("pinned", `pinned to ${pinned}; ${from === to ? "it would stay without" : belongs}`);
    if (movingTo !== null) return row("moving", `it is on its way to ${nameOf(movingTo)}; ${belongs}`);
    if (from === null) return row("waiting", `nobody serves it; ${belongs}`);
    const isKept = view.byId.get(from)?.member.cordoned === true && to !== null;
    if (isKept) return row("kept", `${nameOf(from)} is cordoned and keeps what it has; ${belongs}`);
    return row("waiting", belongs);
  });
}

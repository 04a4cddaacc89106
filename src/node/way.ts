// Which node a call goes to: the owner of its key, a copy here that may answer, or one that offers the service.

import { shardOf } from "../base/index.ts";
import type { Call, Consistency } from "../rpc/index.ts";
import type { Membership } from "./membership.ts";
import type { Parts } from "./parts.ts";
import type { Way } from "./router.ts";

export const wayOf =
  (parts: Parts, membership: Membership) =>
  (call: Call, tried: ReadonlySet<string>): Way => {
    const { target } = call;
    return target.kind === "procedure"
      ? toService(parts, membership, target.service, tried)
      : toEntity(parts, membership, call, tried);
  };

const here: Way = { kind: "here" };

function toEntity(parts: Parts, membership: Membership, call: Call, tried: ReadonlySet<string>): Way {
  const { target } = call;
  if (target.kind === "procedure" || target.key === "") return here;
  const shard = parts.shards.all[shardOf(target.entity, target.key, parts.shards.all.length)];
  if (!shard) return here;
  const { kind } = shard.tenure;
  if (kind === "serving" || kind === "quarantined") return here;
  // What is called from within a command is still taken by who gives the shard up.
  if (kind === "releasing" && call.chain !== undefined) return here;
  if (kind === "following" && !tried.has(parts.id) && levelOf(parts, call) !== "strong") return here;
  const reach = (id: string): Way | undefined => (tried.has(id) ? undefined : there(membership, id));
  const owner = membership.ownerOf(shard);
  const way = owner === undefined ? undefined : reach(owner);
  if (way) return way;
  // Who else may own it is worked out only where the owner is not known or did not answer.
  for (const id of membership.ranking(shard.number)) {
    const likely = reach(id);
    if (likely) return likely;
  }
  return { kind: "nowhere", why: `nobody is known to serve shard ${shard.number} at the moment` };
}

/** What a query asks for; commands, and what no entity here knows, are for the owner. */
function levelOf({ compiled }: Parts, { target, consistency }: Call): Consistency {
  if (target.kind !== "query") return "strong";
  const operation = compiled.entities.get(target.entity)?.operations.get(target.name);
  return consistency ?? operation?.consistency ?? "strong";
}

/** Here where it is offered, else the less busy of two that offer it (Mitzenmacher, "The Power of Two Choices", 2001). */
function toService(parts: Parts, membership: Membership, service: string, tried: ReadonlySet<string>): Way {
  if (parts.compiled.services.has(service)) return here;
  const offers = membership.view.members.filter(({ member }) => member.services.includes(service));
  if (offers.length === 0) return here;
  const able = offers.filter(({ member, standing }) => standing === "alive" && !tried.has(member.id));
  const ready = able.filter(({ member }) => member.state === "ready");
  const most = ready.length > 0 ? ready : able;
  const nowhere: Way = { kind: "nowhere", why: `no node that offers ${service} answers` };
  if (most.length === 0) return nowhere;
  const { random } = parts.options.host.dice;
  const pick = (): string => most[Math.floor(random() * most.length)]?.member.id ?? "";
  const [a, b] = [pick(), pick()];
  const busy = (id: string): number => membership.peers.get(id)?.inFlight ?? Infinity;
  return there(membership, busy(a) <= busy(b) ? a : b) ?? nowhere;
}

function there({ peers }: Membership, id: string): Way | undefined {
  const peer = peers.get(id);
  return peer?.state === "up" ? { kind: "there", node: id, call: (call) => peer.call(call) } : undefined;
}

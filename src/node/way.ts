// Which node a call goes to: the owner of its key, a copy here that may answer, or the best of those that offer the service.

import { asSheafError, roleOfShard, SheafError } from "../base/index.ts";
import { Balance, type Endpoint, mayHost, type Seen, verdictOf, type View } from "../cluster/index.ts";
import type { Host } from "../host/index.ts";
import type { Call, Consistency, Reply } from "../rpc/index.ts";
import { workersOf } from "../model/index.ts";
import type { Membership, Placed } from "./membership.ts";
import type { Parts } from "./parts.ts";
import type { Way } from "./router.ts";

/** `here` carries a call out on this node. */
export function wayOf(
  parts: Parts,
  membership: Membership,
  here: (call: Call) => Promise<Reply>,
): (call: Call, tried: ReadonlySet<string>) => Way {
  const toService = serviceWay(parts, membership, here);
  return (call, tried) =>
    call.target.kind === "procedure" ? toService(call.target.service, tried) : toEntity(parts, membership, call, tried);
}

const here: Way = { kind: "here" };

function toEntity(parts: Parts, membership: Membership, call: Call, tried: ReadonlySet<string>): Way {
  const { target } = call;
  if (target.kind === "procedure" || target.key === "") return here;
  const shard = parts.shards.of(target.entity, target.key);
  const { kind } = shard.tenure;
  if (kind === "serving" || kind === "quarantined") return here;
  // What is called from within a command is still taken by who gives the shard up.
  if (kind === "releasing" && call.chain !== undefined) return here;
  if (kind === "following" && !tried.has(parts.id) && levelOf(parts, call) !== "strong") return here;
  const reach = (id: string): Way | undefined => (tried.has(id) ? undefined : there(membership, id));
  const owner = membership.owners.newer(shard) ?? membership.ownerOf(shard);
  const way = owner === undefined ? undefined : reach(owner);
  if (way) return way;
  // Who else may own it is worked out only where the owner is not known or did not answer.
  for (const id of membership.ranking(shard.number)) {
    const likely = reach(id);
    if (likely) return likely;
  }
  const role = roleOfShard(parts.cluster.apart, shard.number);
  if (!membership.view.members.some(({ member }) => mayHost(member, role)))
    return unhosted(role, role === "entities" ? role : `the entity ${target.entity}`);
  return { kind: "nowhere", why: `nobody is known to serve shard ${shard.number} at the moment` };
}

/** What a query asks for; commands, and what no entity here knows, are for the owner. */
export function levelOf({ compiled }: Pick<Parts, "compiled">, { target, consistency }: Call): Consistency {
  if (target.kind !== "query") return "strong";
  const operation = compiled.entities.get(target.entity)?.operations.get(target.name);
  return consistency ?? operation?.consistency ?? "strong";
}

/** To the node that balancing picks of those that offer the service, this one among them. */
function serviceWay(
  parts: Parts,
  membership: Membership,
  here: (call: Call) => Promise<Reply>,
): (service: string, tried: ReadonlySet<string>) => Way {
  const { clock, dice } = parts.options.host;
  const balance = new Balance({
    random: () => dice.random(),
    self: parts.id,
    zone: membership.self.zone,
    changed: reporter(parts.options.host, "node"),
  });
  const offersOf = offers(membership);
  const carry = (node: string): ((call: Call) => Promise<Reply>) | undefined => {
    if (node === parts.id) return here;
    const peer = membership.peers.get(node);
    return peer?.state === "up" ? (call) => peer.call(call) : undefined;
  };
  return (service, tried) => {
    const seen = offersOf(service);
    if (seen.length === 0)
      return isMissing(parts, service) ? unhosted(service, `the service ${service}`) : { kind: "here" };
    const able = seen.filter(({ member: { id }, standing }) => id === parts.id || (standing === "alive" && carry(id)));
    const ready = able.filter(({ member }) => member.state === "ready");
    const endpoints: Endpoint[] = (ready.length > 0 ? ready : able).map(({ member }) => member);
    const node = balance.pick(service, endpoints, tried, clock.tick());
    const send = node === undefined ? undefined : carry(node);
    if (node === undefined || !send) return { kind: "nowhere", why: `no node that offers ${service} answers` };
    return {
      kind: "there",
      node,
      async call(call) {
        const ended = balance.begin(service, node, clock.tick());
        call.asked?.(node);
        try {
          const reply = await send(call);
          ended(verdictOf(undefined), clock.tick());
          return reply;
        } catch (error) {
          ended(verdictOf(asSheafError(error)), clock.tick());
          throw error;
        }
      },
    };
  };
}

/** How many nodes may carry out calls of a service now. */
export function hostsOf({ id, compiled, membership }: Placed, service: string): number {
  if (compiled.external.has(service)) return 1;
  if (!membership) return compiled.services.has(service) ? 1 : 0;
  const offers = ({ member, standing }: Seen): boolean =>
    member.services.includes(service) && (member.id === id || (standing === "alive" && member.state === "ready"));
  return membership.view.members.filter(offers).length;
}

/** Whether a process is gone, as far as is known: what it had nobody has. */
export function isGone({ id, membership }: Placed, node: string): boolean {
  if (!membership || node === id) return node !== id;
  const seen = membership.view.byId.get(node);
  return seen === undefined || seen.standing === "dead";
}

/** Who offers a service, worked out once per view. */
function offers(membership: Membership): (service: string) => readonly Seen[] {
  let known: { readonly view: View; readonly byService: Map<string, readonly Seen[]> } | undefined;
  return (service) => {
    const { view } = membership;
    if (known?.view !== view) known = { view, byService: new Map() };
    let found = known.byService.get(service);
    if (!found) {
      found = view.members.filter(({ member }) => member.services.includes(service));
      // What nobody offers is whatever a caller made up.
      if (found.length > 0) known.byService.set(service, found);
    }
    return found;
  };
}

/** Says when a node, or an address of a service outside, is avoided for a service, and when no longer. */
export function reporter(host: Host, what: "node" | "address"): (service: string, id: string, broken: boolean) => void {
  const opened = host.meter.counter(
    "sheaf_breaker_opened_total",
    "Times that a node, or an address of an outside service, was avoided since a service failed there.",
  );
  return (service, id, broken) => {
    if (broken) {
      opened.add();
      host.log.warn("a service fails: its calls avoid where it does", { service, [what]: id });
    } else host.log.info("a service that failed is well again", { service, [what]: id });
  };
}

/** A service of the application that has to run somewhere. One outside is called from here, and what nobody knows is refused here. */
const isMissing = ({ app, compiled }: Parts, name: string): boolean =>
  !compiled.external.has(name) &&
  [...app.contract.services, ...workersOf(app).map(({ contract }) => contract)].some((one) => one.name === name);

/** `role` is what a node would be started with to change that. */
const unhosted = (role: string, what: string): Way => ({
  kind: "refused",
  error: new SheafError("NOT_HOSTED", `no node of the cluster hosts ${what}`, {
    retryAfterMs: 1_000,
    hint: `Start a node that does: sheaf start … --roles ${role}, or without --roles. See: sheaf node ls.`,
  }),
});

function there({ peers }: Membership, id: string): Way | undefined {
  const peer = peers.get(id);
  return peer?.state === "up" ? { kind: "there", node: id, call: (call) => peer.call(call) } : undefined;
}

// How many commands or calls of a subscription are under way at one shard, where it says how many keys may be.
//
// N1. One beyond that waits aside, and keeps nobody else waiting. It is put back, in the order in which it was due, when another has ended.

import type { CompiledApp, SubscriptionShape } from "../model/index.ts";
import type { Agenda, Shard, Task } from "../shards/index.ts";

/** What a shard has of one subscription. */
type Share = { readonly inside: Set<string>; readonly aside: Set<string> };

export class Shares {
  readonly #app: () => CompiledApp;
  readonly #isUnderWay: (shard: Shard, id: string) => boolean;
  /** By agenda: of what was begun in an earlier tenure only that counts which the journal tells of. */
  readonly #at = new WeakMap<Agenda, Map<string, Share>>();

  constructor(app: () => CompiledApp, isUnderWay: (shard: Shard, id: string) => boolean) {
    this.#app = app;
    this.#isUnderWay = isUnderWay;
  }

  /** Puts back what waited for room that there is now. */
  offer(shard: Shard): void {
    const { agenda } = shard.fold;
    for (const [name, share] of this.#at.get(agenda) ?? []) {
      if (share.aside.size === 0) continue;
      const found = this.#app().subscriptions.find(({ contract }) => contract.name === name);
      let room = (found?.contract.concurrency ?? Infinity) - this.#count(shard, share);
      for (const id of share.aside) {
        if (room-- <= 0) break;
        share.aside.delete(id);
        agenda.back(id);
      }
    }
  }

  /** Does its subscription say how many may be under way? */
  bounds(task: Task): boolean {
    return this.#contractOf(task)?.concurrency !== undefined;
  }

  /** May it be begun? Else it is put back when it may. */
  enter(shard: Shard, task: Task): boolean {
    const contract = this.#contractOf(task);
    if (contract?.concurrency === undefined || shard.ground.host.faults.mutant("T13")) return true;
    const { inside, aside } = this.#shareOf(shard, contract);
    if (inside.has(task.id)) return true;
    if (inside.size >= contract.concurrency && this.#count(shard, { inside }) >= contract.concurrency) {
      aside.add(task.id);
      return false;
    }
    inside.add(task.id);
    return true;
  }

  #contractOf(task: Task): SubscriptionShape | undefined {
    return this.#app().subscriptions.find(({ contract }) => isOf(task, contract))?.contract;
  }

  #shareOf(shard: Shard, contract: SubscriptionShape): Share {
    const { agenda } = shard.fold;
    let shares = this.#at.get(agenda);
    if (!shares) this.#at.set(agenda, (shares = new Map<string, Share>()));
    let share = shares.get(contract.name);
    if (share) return share;
    shares.set(contract.name, (share = { inside: new Set(), aside: new Set() }));
    for (const task of agenda.tasks.values())
      if (isOf(task, contract) && this.#isUnderWay(shard, task.id)) share.inside.add(task.id);
    return share;
  }

  #count(shard: Shard, { inside }: Pick<Share, "inside">): number {
    for (const id of inside) if (!this.#isUnderWay(shard, id)) inside.delete(id);
    return inside.size;
  }
}

/** Did this subscription make it? What a handler sends that it has called says the same of who sent it. */
function isOf({ kind, type, command, by: [by] }: Task, { name, target }: SubscriptionShape): boolean {
  if (kind === "timer" || by !== `subscription:${name}`) return false;
  return target.kind === "command"
    ? type === target.entity.name && command === target.command
    : type === `service ${target.service.name}` && command === target.procedure;
}

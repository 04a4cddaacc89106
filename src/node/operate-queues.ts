// The operator's side of queues: how many jobs wait at which shard, which come next, and which nodes do them.

import type { Found, JobView, QueueView } from "../admin/index.ts";
import { type Instant, nearest, type Shard as ShardNumber, SheafError } from "../base/index.ts";
import { queueNamed, queueType } from "../model/index.ts";
import { isJob, isLeased, type Job, type Shard } from "../shards/index.ts";
import { unpack } from "../wire/index.ts";
import type { Placed } from "./membership.ts";
import { type Part, servedHere } from "./operate-parts.ts";
import type { Parts } from "./parts.ts";

/** Jobs of one queue at one shard. */
export type JobCounts = Pick<QueueView, "ready" | "leased" | "delayed" | "dead" | "waitMs">;

/** What one node knows of a queue. */
export type QueueShare = Pick<QueueView, "queue" | "workers"> & {
  readonly shards: readonly (JobCounts & { readonly shard: ShardNumber })[];
};

type Counting = { -readonly [Name in keyof JobCounts]: JobCounts[Name] };
const none: JobCounts = { ready: 0, leased: 0, delayed: 0, dead: 0, waitMs: 0 };

/** Jobs of a shard by queue; a queue that has none there is absent. */
export function jobsAt(shard: Shard): ReadonlyMap<string, JobCounts> {
  const found = new Map<string, Counting>();
  const now = shard.now();
  for (const task of shard.fold.agenda.tasks.values()) {
    const queue = isJob(task) ? queueNamed(task.type) : undefined;
    if (queue === undefined) continue;
    let counts = found.get(queue);
    if (!counts) found.set(queue, (counts = { ...none }));
    const { due } = task;
    if (due === undefined) counts.dead++;
    else if (due > now) counts[isLeased(task) ? "leased" : "delayed"]++;
    else {
      counts.ready++;
      counts.waitMs = Math.max(counts.waitMs, now - due);
    }
  }
  return found;
}

export const together = (all: readonly JobCounts[]): JobCounts =>
  all.reduce(
    (sum, one) => ({
      ready: sum.ready + one.ready,
      leased: sum.leased + one.leased,
      delayed: sum.delayed + one.delayed,
      dead: sum.dead + one.dead,
      waitMs: Math.max(sum.waitMs, one.waitMs),
    }),
    none,
  );

/** The queues of the application, and those that jobs were left in by an earlier one. */
export function queuesHere(parts: Placed): Part<QueueShare> {
  const { compiled, shards, options, id } = parts;
  const node = options.meeting?.name ?? id;
  const held = shards.all.filter(({ held: isHeld }) => isHeld !== undefined);
  const counts = held.map((shard) => ({ shard: shard.number, queues: jobsAt(shard) }));
  const names = new Set([...compiled.queues.keys(), ...counts.flatMap(({ queues }) => [...queues.keys()])]);
  const items = Array.from(names, (queue) => {
    const hands = compiled.services.get(queueType(queue))?.concurrency ?? 0;
    return {
      queue,
      workers: hands > 0 ? [{ node, hands }] : [],
      shards: counts.flatMap(({ shard, queues }) => {
        const jobs = queues.get(queue);
        return jobs ? [{ shard, ...jobs }] : [];
      }),
    };
  });
  return { items, shards: servedHere(parts) };
}

/** What all nodes know, put together, by name. */
export function queuesOf(shares: readonly QueueShare[]): readonly QueueView[] {
  const names = new Set(shares.map(({ queue }) => queue));
  return [...names].toSorted().map((queue) => {
    const all = shares.filter((share) => share.queue === queue);
    // Two nodes may both speak for a shard that goes from one to the other.
    const shards = new Map(all.flatMap((share) => share.shards).map((one) => [one.shard, one]));
    const workers = all.flatMap((share) => share.workers).toSorted((a, b) => (a.node < b.node ? -1 : 1));
    return { queue, ...together([...shards.values()]), workers };
  });
}

/** The jobs of a queue that are begun next, of the shards that are served here. */
export function jobsHere(parts: Parts, queue: string, limit: number): Part<JobView> {
  const type = queueType(queue);
  const found: { readonly view: JobView; readonly job: Job }[] = [];
  for (const shard of parts.shards.all) {
    if (shard.held === undefined) continue;
    const now = shard.now();
    for (const task of shard.fold.agenda.tasks.values()) {
      if (task.type !== type || !isJob(task) || task.due === undefined) continue;
      if (task.due <= now || !isLeased(task)) found.push({ view: view(shard.number, task, task.due, now), job: task });
    }
  }
  const first = found.toSorted((a, b) => byTurn(a.view, b.view)).slice(0, limit);
  return {
    items: first.map((one) => ({ ...one.view, input: one.job.input.length === 0 ? null : unpack(one.job.input) })),
    shards: servedHere(parts),
  };
}

const view = (shard: ShardNumber, { key, at, attempts, cause, job }: Job, due: Instant, now: Instant): JobView => ({
  id: job.name,
  shard,
  key,
  state: due <= now ? "ready" : "delayed",
  priority: job.priority,
  due,
  at,
  attempts,
  cause,
  input: null,
});

const rank = ({ state, priority }: JobView): number => (state === "ready" ? -priority : Infinity);
/** Ready ones by priority, then what is due first. */
function byTurn(a: JobView, b: JobView): number {
  const [first, second] = [rank(a), rank(b)];
  if (first !== second) return first < second ? -1 : 1;
  return a.due - b.due || a.at - b.at || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}

/** What all nodes found, as many as are wanted. Throws NOT_FOUND for a queue that neither the application nor any job has. */
export function nextJobs({ compiled }: Parts, queue: string, found: Found<JobView>, limit: number): Found<JobView> {
  const { items, warnings } = found;
  if (items.length === 0 && !compiled.queues.has(queue)) {
    const near = nearest(queue, [...compiled.queues.keys()]);
    throw new SheafError("NOT_FOUND", `there is no queue "${queue.slice(0, 80)}"`, {
      hint: near.length === 0 ? "There are no queues." : `There is ${near.join(", ")}.`,
    });
  }
  const once = new Map(items.map((one) => [`${one.shard}/${one.id}`, one]));
  return { items: [...once.values()].toSorted(byTurn).slice(0, limit), warnings };
}

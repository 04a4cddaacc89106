// The operator's side of queues: how many jobs wait at which shard, which come next, and which nodes do them; and having a queue rest,
// or what waits in it dropped.

import type { Found, JobView, QueueAsk, QueueChange, QueueView } from "../admin/index.ts";
import { type Instant, nearest, type Shard as ShardNumber, SheafError } from "../base/index.ts";
import { queueNamed, queueType } from "../model/index.ts";
import { isJob, isLeased, type Job, type Shard } from "../shards/index.ts";
import { unpack } from "../wire/index.ts";
import type { Placed } from "./membership.ts";
import { each, type Part, servedHere } from "./operate-parts.ts";
import type { Parts } from "./parts.ts";

/** Jobs of one queue at one shard. */
export type JobCounts = Pick<QueueView, "ready" | "leased" | "delayed" | "dead" | "waitMs">;

/** What one node knows of a queue. */
export type QueueShare = Pick<QueueView, "queue" | "workers"> & {
  readonly shards: readonly (JobCounts & { readonly shard: ShardNumber })[];
  readonly paused: readonly ShardNumber[];
};
/** What one shard did, or would do, for a queue. */
export type QueueChangeShare = QueueChange & { readonly shard: ShardNumber; readonly isKnown: boolean };

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
  const paused = held.map(({ number, fold }) => ({ shard: number, types: fold.agenda.paused }));
  const names = new Set([
    ...compiled.queues.keys(),
    ...counts.flatMap(({ queues }) => [...queues.keys()]),
    ...paused.flatMap(({ types }) => Array.from(types, (type) => queueNamed(type) ?? type)),
  ]);
  const items = Array.from(names, (queue) => {
    const hands = compiled.services.get(queueType(queue))?.concurrency ?? 0;
    return {
      queue,
      workers: hands > 0 ? [{ node, hands }] : [],
      shards: counts.flatMap(({ shard, queues }) => {
        const jobs = queues.get(queue);
        return jobs ? [{ shard, ...jobs }] : [];
      }),
      paused: paused.filter(({ types }) => types.has(queueType(queue))).map(({ shard }) => shard),
    };
  });
  return { items, shards: servedHere(parts) };
}

/** What all nodes know, put together, by name. */
export function queuesOf(parts: Parts, shares: readonly QueueShare[]): readonly QueueView[] {
  const names = new Set(shares.map(({ queue }) => queue));
  return [...names].toSorted().map((queue) => {
    const all = shares.filter((share) => share.queue === queue);
    // Two nodes may both speak for a shard that goes from one to the other.
    const shards = new Map(all.flatMap((share) => share.shards).map((one) => [one.shard, one]));
    const workers = all.flatMap((share) => share.workers).toSorted((a, b) => (a.node < b.node ? -1 : 1));
    const paused = new Set(all.flatMap((share) => share.paused)).size;
    const state = paused === 0 ? "open" : paused < parts.shards.all.length ? "partly" : "paused";
    return { queue, state, ...together([...shards.values()]), workers };
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
  if (items.length === 0 && !compiled.queues.has(queue)) throw missing(compiled, queue);
  const once = new Map(items.map((one) => [`${one.shard}/${one.id}`, one]));
  return { items: [...once.values()].toSorted(byTurn).slice(0, limit), warnings };
}

/** Changes a queue at each shard that is served here, or tells what would change. */
export const changeQueueHere = (parts: Parts, queue: string, ask: QueueAsk): Promise<Part<QueueChangeShare>> =>
  each(parts, async (shard) => {
    const type = queueType(queue);
    const { agenda } = shard.fold;
    const isKnown = parts.compiled.queues.has(queue) || agenda.paused.has(type) || jobsAt(shard).has(queue);
    const jobs = await change(parts, shard, type, ask);
    return [{ shard: shard.number, isKnown, jobs }];
  });

async function change({ work }: Parts, shard: Shard, type: string, ask: QueueAsk): Promise<number> {
  if (ask.act === "purge") return work.purge(shard, type, ask.dryRun);
  const paused = ask.act === "pause";
  if (shard.fold.agenda.paused.has(type) !== paused) await work.pause(shard, type, paused);
  return 0;
}

/** Changes a queue everywhere, or tells what would change. `all` asks each node. Throws NOT_FOUND as `nextJobs` does. */
export async function changeQueue(
  { compiled }: Parts,
  all: (queue: string, ask: QueueAsk) => Promise<Found<QueueChangeShare>>,
  queue: string,
  ask: QueueAsk,
): Promise<Found<QueueChange>> {
  // Nothing is noted of a queue that nobody knows.
  if (!compiled.queues.has(queue)) {
    const { items } = await all(queue, { act: "purge", dryRun: true });
    if (!items.some(({ isKnown }) => isKnown)) throw missing(compiled, queue);
  }
  const { items, warnings } = await all(queue, ask);
  const once = new Map(items.map((one) => [one.shard, one]));
  return { items: [{ jobs: [...once.values()].reduce((sum, { jobs }) => sum + jobs, 0) }], warnings };
}

function missing({ queues }: Parts["compiled"], queue: string): SheafError {
  const near = nearest(queue, [...queues.keys()]);
  return new SheafError("NOT_FOUND", `there is no queue "${queue.slice(0, 80)}"`, {
    hint: near.length === 0 ? "There are no queues." : `There is ${near.join(", ")}.`,
  });
}

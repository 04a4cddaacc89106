// What callers and operators do in the gate with queues, and what must be true afterwards (PROMISES §4.4, W8 queues): what was added is
// done, purged or a dead letter, dead letters are the poison, and of a key jobs begin in the order in which they were added.

import type { Operator, QueueAsk, RedriveAsk } from "../admin/index.ts";
import { keyIn, type SheafError } from "../base/index.ts";
import { type Client, type LeasedJob, queueType } from "../model/index.ts";
import { unpack } from "../wire/index.ts";
import { type Chore, Chores, Clerk, type Errand, Errands } from "./jobs-app.ts";
import { calmly, openCalls, perClient, type Stage, type Workload } from "./stage.ts";
import { Watch } from "./workloads-messages.ts";
import type { WorkAudit } from "./work-audit.ts";
import type { World } from "./world.ts";

/** `direct`: by a caller who waited until it was there; what a commit leaves is on its way for a while. */
type Added = { readonly id: string; readonly poison: boolean; readonly direct: boolean };
type Kept = { readonly watch: Watch; readonly added: Added[]; readonly leases: Set<string>; readonly wrong: string[] };

const kept = new WeakMap<World, Kept>();
const drainEveryMs = 10;

/** A consumer: it acknowledges, rejects, vanishes, or comes too late. */
async function consume({ world, random }: Stage, client: Client, state: Kept): Promise<void> {
  const [job] = await take(client, state, { waitMs: random.below(20) });
  if (!job) return;
  const fate = random.float();
  if (fate < 0.15) return; // It died.
  if (fate < 0.3) await world.sleep(30 + random.below(60));
  else if (fate < 0.4) await client.queue(Errands).extend(job, 20 + random.below(60));
  if (!(await finish(client, job, fate > 0.85))) return;
  // What it has ended is over: the same lease ends nothing more.
  if (random.chance(0.2)) await client.queue(Errands).ack(job, 2);
}

/** No two takers have one lease. */
async function take(
  client: Client,
  { leases, wrong }: Kept,
  options: { readonly waitMs?: number; readonly max?: number },
): Promise<readonly LeasedJob<Errand>[]> {
  const taken = await client.queue(Errands).take(options);
  for (const { id, attempt } of taken) {
    const lease = `${id} in attempt ${attempt}`;
    if (leases.has(lease)) wrong.push(`${lease} was handed out twice`);
    leases.add(lease);
  }
  return taken;
}

async function finish(client: Client, job: LeasedJob<Errand>, rejects: boolean): Promise<boolean> {
  const { ack, reject } = client.queue(Errands);
  if (job.input.poison || rejects) await reject(job, "bad", { delayMs: 3, final: job.input.poison && job.attempt > 1 });
  else await ack(job, 1);
  return true;
}

/** An operator: has a queue rest and go on, or drops what waits in it. What he could not do everywhere he leaves. */
async function operate({ world, random }: Stage): Promise<void> {
  const state = random.pick(world.machines).state();
  if (state.kind !== "up") return;
  const queue = random.pick([Chores.name, Errands.name]);
  const act = random.float();
  if (act < 0.1) await change(world, state.node, queue, { act: "purge", dryRun: act < 0.03 });
  else if (act < 0.5) await change(world, state.node, queue, { act: act < 0.3 ? "pause" : "resume" });
  else
    await redrive(world, state.node, act < 0.9 ? { act: "start", perSecond: 1 + random.below(50) } : { act: "cancel" });
}

async function redrive(world: World, node: Operator, ask: RedriveAsk): Promise<void> {
  await Promise.race([node.redriveMany({}, ask).catch(() => undefined), world.sleep(operatorMs)]);
}

/** What a node was asked that ended meanwhile is never answered. */
async function change(world: World, node: Operator, queue: string, ask: QueueAsk): Promise<void> {
  await Promise.race([node.changeQueue(queue, ask).catch(() => undefined), world.sleep(operatorMs)]);
}
const operatorMs = 300;

/** In a healed world nothing stays paused, and nothing more is tried again. */
async function resumeAll(world: World, watch: Watch): Promise<void> {
  const until = world.schedule.now() + resumeMs;
  for (;;) {
    await watch.look();
    const isCalm = ({ paused, chores }: WorkAudit): boolean =>
      paused.size === 0 && [...chores.values()].every(({ again }) => typeof again !== "number");
    if (watch.audits.every(isCalm) || world.schedule.now() >= until) return;
    for (const machine of world.machines) {
      const state = machine.state();
      if (state.kind !== "up") continue;
      for (const { name } of [Chores, Errands]) await change(world, state.node, name, { act: "resume" });
      await redrive(world, state.node, { act: "cancel" });
    }
    await world.sleep(drainEveryMs);
  }
}
const resumeMs = 5_000;

export const jobs: Workload = {
  async run(stage) {
    const { world, random, keys } = stage;
    const state: Kept = { watch: new Watch(world), added: [], leases: new Set(), wrong: [] };
    kept.set(world, state);
    void state.watch.run();
    await perClient({ ...stage, rounds: 2 * stage.rounds }, async (client, index, round) => {
      if (random.chance(0.1)) return operate(stage);
      if (random.chance(0.3)) return consume(stage, client, state);
      const own = `${index}.${round}`;
      const poison = random.chance(0.1);
      const options = { id: own, priority: random.below(3), delayMs: random.chance(0.3) ? random.below(30) : 0 };
      if (random.chance(0.4)) {
        const id = await client.queue(Errands).add({ poison }, options);
        return void state.added.push({ id: `jqueue errands/${id}`, poison, direct: true });
      }
      const fails = poison ? -1 : random.chance(0.3) ? 1 + random.below(2) : 0;
      const chore: Chore = { key: random.pick(keys), fails, hangs: random.chance(0.1) };
      const id = `jqueue chores/${chore.key}/${own}`;
      const direct = random.chance(0.7);
      if (!direct) await client.entity(Clerk, random.pick(keys)).leave({ id: own, chore });
      else await client.queue(Chores).add(chore, { id: own });
      state.added.push({ id, poison, direct });
    });
  },
  async check({ world }) {
    const state = kept.get(world)!;
    const { watch, added } = state;
    const client = calmly(world);
    // A shard whose only node was fenced is served again once somebody asks for it.
    const { shards } = world.options;
    for (let shard = 0; shard < shards; shard++)
      await client
        .queue(Errands)
        .result(keyIn(queueType("errands"), shard, shards))
        .catch(() => undefined);
    await resumeAll(world, watch);
    const draining = { over: false };
    const drained = drain(world, client, state, draining);
    const open = await watch.settle();
    draining.over = true;
    await drained;
    const problems = [...openCalls(world), ...open, ...state.wrong, ...watch.found()];
    watch.end();
    const chores = new Map(watch.audits.flatMap((audit) => [...audit.chores]));
    const ended = new Set(watch.audits.flatMap((audit) => [...audit.ended.keys()]));
    const purged = new Set(watch.audits.flatMap((audit) => [...audit.purged]));
    for (const { id, poison } of added) {
      if (purged.has(id)) {
        const name = id.slice(id.indexOf("/") + 1);
        const of = id.startsWith("jqueue errands/") ? Errands : Chores;
        const told = await client
          .queue(of)
          .result(name)
          .then(
            ({ state: where }) => where,
            (error: SheafError) => error.code,
          );
        if (told !== "PURGED") problems.push(`${id} was purged, and is told as ${told}`);
        continue;
      }
      if (poison ? chores.get(id)?.due === undefined && chores.has(id) : ended.has(id)) continue;
      problems.push(`${id} was added, and is ${ended.has(id) ? "done" : chores.has(id) ? "a dead letter" : "gone"}`);
    }
    for (const [id, { message }] of chores)
      if (id.startsWith("j") && !isPoison(message.input)) problems.push(`${id} is a dead letter, and is no poison`);
    problems.push(...outOfOrder(watch, added));
    for (const { id } of added.filter((one) => ended.has(one.id) && one.id.startsWith("jqueue chores/"))) {
      const result = await client.queue(Chores).result(id.slice("jqueue chores/".length));
      if (result.state !== "done" || result.output !== id.slice("jqueue chores/".length))
        problems.push(`${id} is done, and is told as ${JSON.stringify(result)}`);
    }
    return problems;
  },
};

async function drain(world: World, client: Client, state: Kept, draining: { readonly over: boolean }): Promise<void> {
  while (!draining.over) {
    const taken = await take(client, state, { max: 8 }).catch(() => []);
    for (const job of taken) await finish(client, job, false).catch(() => undefined);
    await world.sleep(drainEveryMs);
  }
}

const isPoison = (input: Uint8Array): boolean => {
  const given = unpack(input) as Partial<Chore & Errand>;
  return given.poison === true || (given.fails ?? 0) < 0;
};

/** Of each key, what one caller added one after the other is begun so. */
function outOfOrder(watch: Watch, added: readonly Added[]): string[] {
  const known = new Set(added.filter(({ direct }) => direct).map(({ id }) => id));
  const last = new Map<string, { readonly id: string; readonly round: number }>();
  const problems: string[] = [];
  for (const id of watch.audits.flatMap(({ begun }) => begun)) {
    const [, key, index, round] = /^jqueue chores\/(.*)\/(\d+)\.(\d+)$/.exec(id) ?? [];
    if (key === undefined || !known.has(id)) continue;
    const line = `${key} ${index}`;
    const before = last.get(line);
    if (before && before.round > Number(round)) problems.push(`${id} was begun behind ${before.id}`);
    last.set(line, { id, round: Number(round) });
  }
  return problems;
}

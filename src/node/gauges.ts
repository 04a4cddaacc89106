// What a node measures of itself. Gauges cost a walk over the shards and are
// brought up to date when somebody is about to read them.

import type { Backlog } from "../admin/index.ts";
import { type Standing, standings } from "../cluster/index.ts";
import { queueType } from "../model/index.ts";
import type { Placed } from "./membership.ts";
import { type JobCounts, jobsAt, together } from "./operate-queues.ts";
import { countsAt } from "./operate-topics.ts";
import { backlogOf } from "./operate-tasks.ts";

const states = ["serving", "releasing", "following", "opening", "fenced", "quarantined", "closed"] as const;

/** Returns what brings the gauges up to date. */
export function nodeGauges(parts: Placed): () => void {
  const { shards, entities, services, options, membership } = parts;
  const { meter, clock } = options.host;
  const by = <Name extends string>(name: string, help: string, label: string, values: readonly Name[]) =>
    values.map((value) => [value, meter.gauge(name, help, { [label]: value })] as const);
  const inState = by("sheaf_shards", "Shards, by what this node does for them.", "state", states);
  const nodes = by(
    "sheaf_nodes",
    "Nodes of the cluster as this one sees them, itself included.",
    "standing",
    standings,
  );
  const lag = meter.gauge(
    "sheaf_shard_follower_lag_seconds",
    "For how long the oldest copy that this node follows has not been at the end of its journal.",
  );
  const waiting = meter.gauge("sheaf_commands_waiting", "Commands that wait for their turn at an entity.");
  const open = by("sheaf_calls_open", "Calls that this node carries out at the moment.", "of", [
    "entities",
    "services",
  ]);
  const queued = meter.gauge("sheaf_journal_queue_commits", "Commits that are not durable yet.");
  const outgoing = meter.gauge("sheaf_messages_outgoing", "Messages on their way to other shards.");
  const tasks = meter.gauge("sheaf_tasks_waiting", "Messages that have come and timers, not carried out yet.");
  const dead = meter.gauge(
    "sheaf_dead_letters_kept",
    "Messages and timers that failed for good, and wait for an operator.",
  );
  const outgoingAge = meter.gauge("sheaf_messages_outgoing_oldest_seconds", "Age of the oldest message on its way.");
  const late = meter.gauge("sheaf_tasks_late_seconds", "How late the latest message or timer is that is due.");
  const work = (): void => {
    const held = shards.all.filter((shard) => shard.held !== undefined).map(backlogOf);
    const sum = (of: (one: Backlog) => number): number => held.reduce((all, one) => all + of(one), 0);
    const most = (of: (one: Backlog) => number): number => held.reduce((all, one) => Math.max(all, of(one)), 0);
    outgoing.set(sum((one) => one.outgoing));
    tasks.set(sum((one) => one.tasks));
    dead.set(sum((one) => one.deadLetters));
    outgoingAge.set(most((one) => one.outgoingMs) / 1000);
    late.set(most((one) => one.lateMs) / 1000);
  };
  const queues = queueGauges(parts);
  const topics = topicGauges(parts);
  return () => {
    work();
    queues();
    topics();
    const now = clock.tick();
    for (const [state, gauge] of inState) gauge.set(shards.all.filter(({ tenure }) => tenure.kind === state).length);
    const members = membership?.view.members;
    const seen = (standing: Standing): number =>
      members ? members.filter((member) => member.standing === standing).length : standing === "alive" ? 1 : 0;
    for (const [standing, gauge] of nodes) gauge.set(seen(standing));
    const followed = shards.all.filter(({ tenure }) => tenure.kind === "following");
    lag.set(followed.reduce((most, shard) => Math.max(most, shard.staleMs(now)), 0) / 1000);
    waiting.set(entities.waiting);
    for (const [of, gauge] of open) gauge.set((of === "entities" ? entities : services).inFlight);
    queued.set(shards.all.reduce((sum, { pending }) => sum + pending, 0));
  };
}

/** Of each queue that the application has, or a job was left in, as far as its jobs are at shards that are owned here. */
function queueGauges(parts: Placed): () => void {
  const { meter } = parts.options.host;
  const known = new Map<string, (counts: JobCounts, isPaused: boolean) => void>();
  const gaugesOf = (queue: string): ((counts: JobCounts, isPaused: boolean) => void) => {
    const inState = (["ready", "leased", "delayed", "dead"] as const).map(
      (state) =>
        [state, meter.gauge("sheaf_queue_jobs", "Jobs of queues that are not done.", { queue, state })] as const,
    );
    const oldest = meter.gauge(
      "sheaf_queue_oldest_seconds",
      "For how long the oldest job has been due that nobody has begun.",
      { queue },
    );
    const paused = meter.gauge("sheaf_queue_paused", "1 where an operator has paused the queue.", { queue });
    return (counts, isPaused) => {
      paused.set(isPaused ? 1 : 0);
      for (const [state, gauge] of inState) gauge.set(counts[state]);
      oldest.set(counts.waitMs / 1000);
    };
  };
  return () => {
    const shards = parts.shards.all.filter((shard) => shard.held !== undefined);
    const held = shards.map(jobsAt);
    for (const queue of [...parts.compiled.queues.keys(), ...held.flatMap((jobs) => [...jobs.keys()])])
      if (!known.has(queue)) known.set(queue, gaugesOf(queue));
    for (const [queue, set] of known)
      set(
        together(held.flatMap((jobs) => jobs.get(queue) ?? [])),
        shards.some(({ fold }) => fold.agenda.paused.has(queueType(queue))),
      );
  };
}

/** Of each topic, and of each subscription of the application, as far as they are at shards that are owned here. */
function topicGauges(parts: Placed): () => void {
  const { meter } = parts.options.host;
  type Known = { readonly set: (value: number) => void };
  const known = new Map<string, Known>();
  const gauge = (name: string, help: string, labels: Readonly<Record<string, string>>): Known => {
    const id = JSON.stringify([name, labels]);
    let found = known.get(id);
    if (!found) known.set(id, (found = meter.gauge(name, help, labels)));
    return found;
  };
  return () => {
    // What is at other nodes now is not counted here any more.
    for (const one of known.values()) one.set(0);
    const held = parts.shards.all.filter((shard) => shard.held !== undefined).map((shard) => countsAt(parts, shard));
    const sums = new Map<Known, number>();
    const add = (one: Known, value: number): void => void sums.set(one, (sums.get(one) ?? 0) + value);
    for (const { topics, groups } of held) {
      for (const [topic, { events, bytes }] of topics) {
        add(gauge("sheaf_topic_events", "Events of topics that are kept, about.", { topic }), events);
        add(gauge("sheaf_topic_bytes", "What kept events of topics take, about.", { topic }), bytes);
      }
      for (const [group, { topic, lag, isStuck }] of groups) {
        add(gauge("sheaf_subscription_lag_events", "Events before subscriptions, about.", { group, topic }), lag);
        const still = gauge("sheaf_subscription_still_shards", "Shards where a subscription stands still.", {
          group,
          topic,
        });
        add(still, isStuck ? 1 : 0);
      }
    }
    for (const [one, sum] of sums) one.set(sum);
  };
}

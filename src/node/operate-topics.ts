// The operator's side of topics: what is kept of them, how far groups are, and where these are to go on.

import type { Found, GroupAsk, GroupChange, GroupView, SeekTo, TopicView } from "../admin/index.ts";
import { type Instant, type Millis, type Shard as ShardNumber, SheafError } from "../base/index.ts";
import type { SubscriptionShape } from "../model/index.ts";
import { eventsWithin, type Shard } from "../shards/index.ts";
import { each, type Part } from "./operate-parts.ts";
import type { Parts } from "./parts.ts";

type Counted = { readonly events: number; readonly atLeast: boolean };

/** A topic at one shard. */
export type TopicShare = TopicView & { readonly shard: ShardNumber };
/** A group at one shard. */
export type GroupShare = Omit<GroupView, "state" | "stuck" | "consumers"> & {
  readonly shard: ShardNumber;
  readonly paused: boolean;
  /** The consumer that has the shard. */
  readonly consumer: string | null;
  readonly stuck: GroupView["stuck"][number] | null;
};
/** What one shard did, or would do, for a group. */
export type ChangeShare = GroupChange & { readonly shard: ShardNumber; readonly isKnown: boolean };

/** Topics at a shard: those of the application, and those that an earlier one has left events in. */
const topicsAt = ({ compiled }: Parts, { fold }: Shard): ReadonlySet<string> =>
  new Set([...compiled.topics.keys(), ...fold.logs.topics]);

/** Subscriptions of the application with their topics, and other groups that have a place at the shard. */
function* groupsAt({ compiled }: Parts, { fold }: Shard): Iterable<readonly [group: string, topic: string]> {
  const own = new Set(compiled.subscriptions.map(({ contract }) => `${contract.name}\n${contract.topic.name}`));
  for (const { contract } of compiled.subscriptions) yield [contract.name, contract.topic.name];
  for (const [group, topic] of fold.logs.groups()) if (!own.has(`${group}\n${topic}`)) yield [group, topic];
}

/** Events of a topic behind the number `after`, up to `through`. `atLeast`: there may be some of before a restore, whose numbers
 *  are far below. */
async function between(
  { shards }: Parts,
  shard: Shard,
  topic: string,
  after: number,
  through: number,
): Promise<Counted> {
  const { floor } = shard.fold.logs.of(topic);
  const from = Math.max(after, floor - 1);
  const sure = eventsWithin(shard.fold.generation, from, through);
  if (!sure.atLeast) return sure;
  const [first] = await shards.events(shard, topic, from, 1);
  return eventsWithin(shard.fold.generation, (first?.n ?? from + 1) - 1, through);
}

export async function topicsHere(parts: Parts): Promise<Part<TopicShare>> {
  return each(parts, async (shard) =>
    Promise.all(
      Array.from(topicsAt(parts, shard), async (topic) => {
        const { last, at, floor, bytes } = shard.fold.logs.of(topic);
        const [oldest] =
          last < floor || last === 0 ? [] : await parts.shards.events(shard, topic, Math.max(0, floor - 1), 1);
        const kept = oldest ? eventsWithin(shard.fold.generation, oldest.n - 1, last) : nothing;
        return { shard: shard.number, topic, ...kept, bytes, oldest: oldest?.at ?? null, newest: oldest ? at : null };
      }),
    ),
  );
}

const nothing: Counted = { events: 0, atLeast: false };

export async function groupsHere(parts: Parts): Promise<Part<GroupShare>> {
  return each(parts, (shard) =>
    Promise.all(Array.from(groupsAt(parts, shard), ([group, topic]) => shareOf(parts, shard, group, topic))),
  );
}

async function shareOf(parts: Parts, shard: Shard, group: string, topic: string): Promise<GroupShare> {
  const { logs } = shard.fold;
  const { last } = logs.of(topic);
  const through = placeOf(parts, shard, group, topic);
  const behind = await between(parts, shard, topic, through, last);
  const [next] = behind.events > 0 ? await parts.shards.events(shard, topic, through, 1) : [];
  const contract = subscriptionOf(parts, group, topic);
  const stuck = contract && parts.topics.stuck(shard, group);
  return {
    shard: shard.number,
    group,
    topic,
    kind: contract ? "subscription" : "reader",
    lag: behind.events,
    atLeast: behind.atLeast,
    lagMs: next ? Math.max(0, shard.now() - next.at) : 0,
    batch: contract?.batch?.events ?? null,
    concurrency: contract?.concurrency ?? null,
    paused: logs.place(group, topic)?.paused ?? false,
    consumer: logs.place(group, topic)?.held?.by ?? null,
    stuck: stuck ? { shard: shard.number, event: stuck.at, since: stuck.since, cause: stuck.cause } : null,
  };
}

const subscriptionOf = ({ compiled }: Parts, group: string, topic: string): SubscriptionShape | undefined =>
  compiled.subscriptions.find(({ contract }) => contract.name === group && contract.topic.name === topic)?.contract;

/** Up to where a group has been at a shard; where it has no place, up to where it begins. */
function placeOf({ compiled }: Parts, { fold }: Shard, group: string, topic: string): number {
  const place = fold.logs.place(group, topic);
  const { last, floor } = fold.logs.of(topic);
  const contract = compiled.subscriptions.find((one) => one.contract.name === group)?.contract;
  const begins = contract === undefined || contract.from === "beginning" ? 0 : last;
  return Math.max(place?.through ?? begins, floor - 1, 0);
}

/** A topic at one shard, as far as that is known without reading. Events of before a restore are not counted. */
export type TopicCounts = { readonly events: number; readonly bytes: number };
/** How far behind a subscription is at one shard, as far as that is known without reading, and whether it stands still there. */
export type GroupCounts = { readonly topic: string; readonly lag: number; readonly isStuck: boolean };

export function countsAt(
  parts: Parts,
  shard: Shard,
): { readonly topics: ReadonlyMap<string, TopicCounts>; readonly groups: ReadonlyMap<string, GroupCounts> } {
  const { generation, logs } = shard.fold;
  const topics = Array.from(topicsAt(parts, shard), (topic) => {
    const { last, floor, bytes } = logs.of(topic);
    return [topic, { events: eventsWithin(generation, floor - 1, last).events, bytes }] as const;
  });
  const groups = parts.compiled.subscriptions.map(({ contract: { name, topic } }) => {
    const after = placeOf(parts, shard, name, topic.name);
    const lag = eventsWithin(generation, after, logs.of(topic.name).last).events;
    return [name, { topic: topic.name, lag, isStuck: parts.topics.stuck(shard, name) !== undefined }] as const;
  });
  return { topics: new Map(topics), groups: new Map(groups) };
}

/** Changes a group at each shard that is served here, or tells what would change. */
export async function changeGroupHere(
  parts: Parts,
  topic: string,
  group: string,
  ask: GroupAsk,
): Promise<Part<ChangeShare>> {
  const has = subscriptionOf(parts, group, topic) !== undefined;
  if (ask.act === "remove" && has)
    throw new SheafError("IN_USE", `${group} is a subscription of the app`, {
      hint: "Take it out of the app first, or move it with: sheaf group seek",
    });
  return each(parts, async (shard) => {
    const isKnown = has || shard.fold.logs.place(group, topic) !== undefined;
    if (isKnown && !has && (ask.act === "pause" || ask.act === "resume"))
      throw new SheafError("BAD_INPUT", `${group} is read from outside: it rests when its readers do`);
    const after = placeOf(parts, shard, group, topic);
    const through = ask.act === "seek" ? await target(parts, shard, topic, ask.to) : after;
    const low = Math.min(after, through);
    const [again, over] = await Promise.all([
      between(parts, shard, topic, low, after),
      between(parts, shard, topic, low, through),
    ]);
    const isMeant = isKnown || (ask.act === "seek" && shard.fold.logs.of(topic).last > 0);
    if (isMeant && !("dryRun" in ask && ask.dryRun)) await change(parts, shard, topic, group, ask, through);
    const atLeast = again.atLeast || over.atLeast;
    return [{ shard: shard.number, isKnown, again: again.events, over: over.events, atLeast }];
  });
}

function change(
  { topics }: Parts,
  shard: Shard,
  topic: string,
  group: string,
  ask: GroupAsk,
  through: number,
): Promise<void> {
  switch (ask.act) {
    case "pause":
      return topics.set(shard, group, topic, "paused");
    case "resume":
      return topics.set(shard, group, topic, "open");
    case "remove":
      return topics.set(shard, group, topic, "gone");
    case "seek":
      return topics.seek(shard, group, topic, through);
  }
}

async function target({ topics }: Parts, shard: Shard, topic: string, to: SeekTo): Promise<number> {
  const { last, floor } = shard.fold.logs.of(topic);
  if (to === "now") return last;
  return to === "beginning" ? Math.max(0, floor - 1) : topics.before(shard, topic, to);
}

const earliest = (a: Instant | null, b: Instant | null): Instant | null =>
  a === null || b === null ? (a ?? b) : Math.min(a, b);
const latest = (a: Instant | null, b: Instant | null): Instant | null =>
  a === null || b === null ? (a ?? b) : Math.max(a, b);

/** All shares, each shard once: two nodes may both speak for one that goes from one to the other. */
function together<T extends { readonly shard: ShardNumber }>(
  shares: readonly T[],
  of: (one: T) => string,
): readonly (readonly [string, readonly T[]])[] {
  const groups = new Map<string, Map<ShardNumber, T>>();
  for (const share of shares) {
    const name = of(share);
    groups.set(name, (groups.get(name) ?? new Map<ShardNumber, T>()).set(share.shard, share));
  }
  return [...groups].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, all]) => [name, [...all.values()]] as const);
}

export const topicsOf = (shares: readonly TopicShare[]): readonly TopicView[] =>
  together(shares, ({ topic }) => topic).map(([topic, all]) => ({
    topic,
    events: all.reduce((sum, one) => sum + one.events, 0),
    atLeast: all.some(({ atLeast }) => atLeast),
    bytes: all.reduce((sum, one) => sum + one.bytes, 0),
    oldest: all.reduce<Instant | null>((found, one) => earliest(found, one.oldest), null),
    newest: all.reduce<Instant | null>((found, one) => latest(found, one.newest), null),
  }));

export const groupsOf = (shares: readonly GroupShare[]): readonly GroupView[] =>
  together(shares, ({ group, topic }) => `${group}\n${topic}`).map(([, all]) => {
    const { group, topic, kind, batch, concurrency } = all[0]!;
    const paused = all.filter((one) => one.paused).length;
    return {
      group,
      topic,
      kind,
      lag: all.reduce((sum, one) => sum + one.lag, 0),
      atLeast: all.some(({ atLeast }) => atLeast),
      lagMs: all.reduce<Millis>((most, one) => Math.max(most, one.lagMs), 0),
      batch,
      concurrency,
      consumers: consumersOf(all),
      state: paused === 0 ? ("open" as const) : paused === all.length ? ("paused" as const) : ("partly" as const),
      stuck: all.flatMap(({ stuck }) => (stuck ? [stuck] : [])),
    };
  });

function consumersOf(shares: readonly GroupShare[]): GroupView["consumers"] {
  const found = new Map<string, { shards: number; lag: number }>();
  for (const { consumer, lag } of shares) {
    if (consumer === null) continue;
    const one = found.get(consumer) ?? { shards: 0, lag: 0 };
    found.set(consumer, { shards: one.shards + 1, lag: one.lag + lag });
  }
  return [...found]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([consumer, { shards, lag }]) => ({ consumer, shards, lag }));
}

/** Changes a group everywhere, or tells what would change. `all` asks each node. */
export async function changeGroup(
  all: (topic: string, group: string, ask: GroupAsk) => Promise<Found<ChangeShare>>,
  topic: string,
  group: string,
  ask: GroupAsk,
): Promise<Found<GroupChange>> {
  // It is given a place where it has none: so it is looked for before.
  if (ask.act === "seek" && !ask.dryRun)
    changeOf(topic, group, (await all(topic, group, { ...ask, dryRun: true })).items);
  const { items, warnings } = await all(topic, group, ask);
  return { items: [changeOf(topic, group, items)], warnings };
}

function changeOf(topic: string, group: string, shares: readonly ChangeShare[]): GroupChange {
  if (!shares.some(({ isKnown }) => isKnown))
    throw new SheafError("NOT_FOUND", `no group of ${topic} is called "${group}"`, { hint: "See: sheaf group ls" });
  const all = [...new Map(shares.map((one) => [one.shard, one])).values()];
  return {
    again: all.reduce((sum, one) => sum + one.again, 0),
    over: all.reduce((sum, one) => sum + one.over, 0),
    atLeast: all.some(({ atLeast }) => atLeast),
  };
}

// The operator's side of dead letters that are tried again together, in the course of time.

import type { Found, LetterFilter, Redrive, RedriveAsk } from "../admin/index.ts";
import { type Instant, type Millis, type Shard as ShardNumber, SheafError } from "../base/index.ts";
import { refOf, type Shard, type Task } from "../shards/index.ts";
import { each, type Part } from "./operate-parts.ts";
import type { Parts } from "./parts.ts";

/** Groups at one shard. */
export type RedriveShare = Redrive & { readonly shard: ShardNumber };

/** What one node is asked. `total`: how many there are at all shards. */
export type RedriveAskHere = RedriveAsk & { readonly total?: number | undefined };

/** Letters in one note, so that a record takes it. */
const atOnce = 64;

const lettersAt = ({ fold }: Shard, { entity, cause }: LetterFilter, isPlanned: boolean): Task[] =>
  [...fold.agenda.tasks.values()]
    .filter(
      (task) =>
        task.due === undefined &&
        (entity === undefined || task.type === entity) &&
        (cause === undefined || task.cause.includes(cause)) &&
        (!isPlanned || task.again !== undefined),
    )
    .toSorted((a, b) => a.at - b.at || a.order - b.order);

/** Does it at each shard that is served here. */
export const redriveHere = (parts: Parts, filter: LetterFilter, ask: RedriveAskHere): Promise<Part<RedriveShare>> =>
  each(parts, async (shard) => {
    shard.serving();
    const isPlanned = ask.act === "told" || ask.act === "cancel";
    const letters = lettersAt(shard, filter, isPlanned);
    if (ask.act === "cancel") await plan(shard, letters, undefined, 0);
    if (ask.act === "start") {
      const { perSecond, total = letters.length } = ask;
      const everyMs = perSecond === null || letters.length === 0 ? 0 : (total * 1000) / perSecond / letters.length;
      // Shards take turns, rather than all at once.
      const first = shard.now() + (everyMs * (shard.number + 1)) / parts.shards.all.length;
      await plan(shard, letters, Math.ceil(first), everyMs);
    }
    const after = ask.act === "start" ? letters.map(({ id }) => shard.fold.agenda.tasks.get(id) ?? gone) : letters;
    return groups(letters.map((letter, i) => ({ ...letter, again: after[i]?.again }))).map((group) => ({
      ...group,
      shard: shard.number,
    }));
  });

const gone = { again: undefined };

async function plan(shard: Shard, letters: readonly Task[], at: Instant | undefined, everyMs: Millis): Promise<void> {
  const notes: Promise<void>[] = [];
  for (let from = 0; from < letters.length; from += atOnce) {
    const tasks = letters.slice(from, from + atOnce).map(refOf);
    const first = at === undefined ? {} : { at: at + from * everyMs };
    notes.push(
      new Promise((resolve, reject) =>
        shard.note({ kind: "again", tasks, ...first, everyMs }, (error) => (error ? reject(error) : resolve())),
      ),
    );
  }
  await Promise.all(notes);
}

function groups(letters: readonly Pick<Task, "type" | "cause" | "again">[]): Redrive[] {
  const found = new Map<string, Redrive>();
  for (const { type: entity, cause, again = null } of letters) {
    const one = { entity, cause, count: 1, first: again, last: again };
    const name = `${entity}\n${cause}`;
    const group = found.get(name);
    found.set(name, group ? joined(group, one) : one);
  }
  return [...found.values()];
}

const joined = (a: Redrive, b: Redrive): Redrive => ({
  ...a,
  count: a.count + b.count,
  first: a.first === null || b.first === null ? (a.first ?? b.first) : Math.min(a.first, b.first),
  last: a.last === null || b.last === null ? (a.last ?? b.last) : Math.max(a.last, b.last),
});

/** Does it everywhere. `all` asks each node. */
export async function redriveMany(
  all: (filter: LetterFilter, ask: RedriveAskHere) => Promise<Found<RedriveShare>>,
  filter: LetterFilter,
  ask: RedriveAsk,
): Promise<Found<Redrive>> {
  if (ask.act === "start" && ask.perSecond !== null && !(ask.perSecond > 0))
    throw new SheafError("BAD_INPUT", "perSecond is above 0, or null");
  const total =
    ask.act === "start"
      ? onceEach((await all(filter, { act: "tell" })).items).reduce((sum, { count }) => sum + count, 0)
      : undefined;
  const { items, warnings } = await all(filter, { ...ask, ...(total !== undefined && { total }) });
  const found = new Map<string, Redrive>();
  for (const { shard: _, ...share } of onceEach(items)) {
    const name = `${share.entity}\n${share.cause}`;
    const group = found.get(name);
    found.set(name, group ? joined(group, share) : share);
  }
  return { items: [...found.values()].toSorted((a, b) => b.count - a.count), warnings };
}

/** Two nodes may both speak for a shard that goes from one to the other. */
const onceEach = (shares: readonly RedriveShare[]): readonly RedriveShare[] => [
  ...new Map(shares.map((one) => [`${one.shard}\n${one.entity}\n${one.cause}`, one])).values(),
];

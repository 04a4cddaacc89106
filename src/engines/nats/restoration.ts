// Filling an empty space with a cluster that was kept elsewhere.
//
// Nobody else writes to its streams, so the positions that messages will get are known before they are sent: a window of them
// is under way at once, each stored only directly behind the one before it. Where an answer is missing, the last message of
// the subject says how far it came; a late copy finds its place in the stream taken.

import type { Generation, Seq, Shard } from "../../base/index.ts";
import { checkContinues, type Cluster, type Entry, type Restoration } from "../../journal/index.ts";
import type { Begun, Identity } from "./identity.ts";
import { lastOf } from "./last-of.ts";
import { journalSubjects, type Layout } from "./layout.ts";
import { type Link, unavailable } from "./link.ts";
import { parseRecordHeader } from "./mirror.ts";
import { type Deadline, deadlineIn, persist } from "./patience.ts";
import { snapshotsOf } from "./snapshots.ts";

const windowRecords = 256;
const windowBytes = 2 * 1024 * 1024;
/** For one window, however the servers are doing. */
const windowPatience = 10;

export type RestorationOptions = {
  readonly link: Link;
  readonly layout: Layout;
  readonly identity: Identity;
  readonly streams: number;
  readonly patienceMs: number;
  readonly whileOpen: () => void;
};

/** As `Engine.restore`. */
export async function beginRestoration(
  options: RestorationOptions,
  cluster: Cluster,
  again: boolean,
): Promise<Restoration> {
  const { link, layout, identity, streams, patienceMs, whileOpen } = options;
  const begun: Begun = await identity.begin(cluster, streams, again);
  const ends = new Map<Shard, Seq>();
  const lanes = new Map<number, Promise<unknown>>();

  /** Sends some entries, which follow what is there. Returns the new end, or undefined when that has to be looked for. */
  async function send(entries: readonly Entry[], generation: Generation, deadline: Deadline): Promise<Seq | undefined> {
    const { shard } = entries[0] as Entry;
    const stream = layout.journal(shard % streams);
    const subject = journalSubjects(layout.space, shard % streams).of(shard);
    const sight = await link.look(stream, subject, deadline.tryMs());
    if (sight === "missing") throw unavailable(`stream ${stream} is not there`);
    const sent = await Promise.all(
      entries.map(({ seq, epoch, record }, i) =>
        link.publish({
          stream,
          subject,
          bytes: record,
          behind: sight.last + i,
          record: `${generation} ${epoch} ${seq}`,
          timeoutMs: deadline.tryMs(),
        }),
      ),
    );
    for (const one of sent) if (one.kind === "full") throw one.error;
    return sent.every(({ kind }) => kind === "stored") ? (entries.at(-1) as Entry).seq : undefined;
  }

  async function endOf(shard: Shard): Promise<Seq> {
    const subject = journalSubjects(layout.space, shard % streams).of(shard);
    const [found] = await lastOf(link, layout.journal(shard % streams), subject, patienceMs);
    const parts = found && parseRecordHeader(found.record);
    return parts?.[2] ?? 0;
  }

  async function store(shard: Shard, generation: Generation, window: readonly Entry[]): Promise<void> {
    const deadline = deadlineIn(windowPatience * patienceMs);
    const last = (window.at(-1) as Entry).seq;
    let end: Seq | undefined = ends.get(shard) ?? 0;
    await persist(`restored shard ${shard}`, deadline, async () => {
      if (end === undefined) {
        await begun.check();
        end = await endOf(shard);
      }
      const from = end;
      const left = from === 0 ? window : window.filter(({ seq }) => seq > from);
      if (left.length > 0) end = await send(left, generation, deadline);
      if (end !== last) return undefined;
      ends.set(shard, end);
      return end;
    });
  }

  async function load(shard: Shard, generation: Generation, entries: readonly Entry[]): Promise<void> {
    whileOpen();
    if (entries.length === 0) return;
    await begun.check();
    checkContinues({ shard, seq: ends.get(shard) ?? 0 }, entries);
    for (const window of windowsOf(entries)) await store(shard, generation, window);
  }

  return {
    load(shard, generation, entries) {
      const lane = shard % streams;
      const mine = (lanes.get(lane) ?? Promise.resolve()).then(() => load(shard, generation, entries));
      lanes.set(
        lane,
        mine.catch(() => {}),
      );
      return mine;
    },
    put: snapshotsOf(link, layout, patienceMs, async () => whileOpen()).put,
    finish: begun.finish,
    abandon: begun.abandon,
  };
}

function* windowsOf(entries: readonly Entry[]): Generator<readonly Entry[]> {
  for (let at = 0; at < entries.length;) {
    const from = at;
    for (let bytes = 0; at < entries.length && at - from < windowRecords; at++) {
      bytes += entries[at]!.record.length;
      if (at > from && bytes > windowBytes) break;
    }
    yield entries.slice(from, at);
  }
}

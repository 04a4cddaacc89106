// Reads entries of shards. Direct gets are answered by any replica, so a page that ends before what is known to be stored is
// asked for again; what a page shows is stored.

import { type Seq, type Shard, SheafError } from "../../base/index.ts";
import { type Ask, type Entry, hasNews, type Head, maxPageBytes, type Page } from "../../journal/index.ts";
import { type JournalStream, sound } from "./journal-stream.ts";
import { type Link, type Stored } from "./link.ts";
import { parseRecordHeader } from "./mirror.ts";
import type { Place } from "./places.ts";
import { type Deadline, deadlineIn, limited, persist } from "./patience.ts";

export type Reader = {
  read(shard: Shard, from: Seq, limit: number): Promise<Page>;
  tail(asks: readonly Ask[], limit: number): Promise<readonly Page[]>;
  trim(shard: Shard, through: Seq): Promise<void>;
};

export type ReaderOptions = {
  readonly link: Link;
  readonly patienceMs: number;
  readonly streamOf: (shard: Shard) => JournalStream;
};

/** Asked for at once; a page of large records is half as large again, and a server holds what its client has not taken. */
const getBytes = 4 * 1024 * 1024;
const getsAtOnce = 4;
/** A gap between known places that is read through rather than searched in. */
const nearEnough = 16;
const mostPerGet = 1000;
/** Messages of all kinds that are read for each one that is wanted, at most. */
const mostBetween = 4;
/** Followers are told of growth; streams are looked at this often all the same. */
const lookEveryMs = 500;

type Found = {
  readonly entries: readonly Entry[];
  /** What was asked for first; a higher one when that was trimmed. */
  readonly first: Seq;
  /** Where it lies. */
  readonly position: number;
};

export function reader({ link, patienceMs, streamOf }: ReaderOptions): Reader {
  const inTurn = limited(getsAtOnce);
  const lookedAt = new Map<JournalStream, number>();

  async function look(stream: JournalStream): Promise<void> {
    await stream.look();
    lookedAt.set(stream, performance.now());
  }

  /** One message of the shard at or after `position`. */
  async function next(
    stream: JournalStream,
    shard: Shard,
    position: number,
    deadline: Deadline,
  ): Promise<Place | undefined> {
    const ask = { seq: position, next_by_subj: stream.subjects.of(shard), batch: 1, max_bytes: 1 };
    const { messages } = await link.get(stream.name, ask, deadline.tryMs());
    const [message] = messages;
    return message && { seq: noted(stream, shard, message).seq, position: message.position };
  }

  /** The place of `seq` or one shortly before, by interpolation between known places and by halving. */
  async function place(stream: JournalStream, shard: Shard, seq: Seq, deadline: Deadline): Promise<Place> {
    const places = stream.mirror.places(shard);
    let low = places.atOrBelow(seq) ?? { seq: 0, position: 0 };
    const first = stream.mirror.first(shard);
    // Nothing is kept below the first one, so it is the next there is.
    if (low.seq < first - 1) low = { seq: first - 1, position: low.position };
    let high = places.above(seq);
    for (let turn = 0; high && seq - low.seq > nearEnough && high.position - low.position > nearEnough; turn++) {
      const share: number = turn % 2 === 0 ? (seq - low.seq) / (high.seq - low.seq) : 0.5;
      const guess: number = low.position + Math.max(1, Math.floor((high.position - low.position) * share) - 1);
      const found = await next(stream, shard, guess, deadline);
      if (found === undefined) break;
      if (found.seq <= seq) low = found;
      else high = { seq: found.seq, position: guess };
    }
    return low;
  }

  /** Entries from `from` to at most `to`; none and a higher `first` when `from` was trimmed. */
  async function entries(stream: JournalStream, shard: Shard, from: Seq, to: Seq): Promise<Found> {
    const deadline = deadlineIn(patienceMs);
    const found: Entry[] = [];
    let bytes = 0;
    let firstAt = 0;
    const near = await place(stream, shard, from, deadline);
    const isExact = near.seq === from;
    let position = isExact ? near.position : near.position + 1;
    let passed = isExact ? from - 1 : near.seq;
    const subject = stream.subjects.of(shard);
    return persist(`read shard ${shard} from ${from}`, deadline, async () => {
      const ask = {
        seq: position,
        next_by_subj: subject,
        batch: Math.min(mostPerGet, to - passed),
        max_bytes: getBytes,
      };
      const { messages } = await link.get(stream.name, ask, deadline.tryMs());
      for (const message of messages) {
        const { seq, epoch } = noted(stream, shard, message);
        position = message.position + 1;
        passed = seq;
        const wanted = from + found.length;
        if (seq < wanted) continue;
        if (found.length === 0) firstAt = message.position;
        // Trimmed before this page, or while it was read.
        if (seq > wanted) return { entries: found, first: found.length === 0 ? seq : from, position: firstAt };
        const isFull = found.length > 0 && bytes + message.bytes.length > maxPageBytes;
        if (isFull) return { entries: found, first: from, position: firstAt };
        bytes += message.bytes.length;
        found.push({ shard, seq, epoch, record: message.bytes });
        if (seq === to) return { entries: found, first: from, position: firstAt };
      }
      // A page that was cut is followed by the next one. One that just ends is of a replica that is behind.
      return undefined;
    });
  }

  /** What shards of one stream got lately lies close together: it is read at once, whatever else lies between. Entries per
   *  shard, from where asked; none for a shard when they are not worth it or were not all found. */
  async function together(
    stream: JournalStream,
    asks: readonly Ask[],
    limit: number,
  ): Promise<ReadonlyMap<Shard, Entry[]>> {
    const found = new Map<Shard, Entry[]>();
    const nexts = new Map<string, Ask>();
    let [low, high, wanted] = [Infinity, 0, 0];
    for (const ask of asks) {
      const { head, position, says } = stream.mirror.known(ask.shard);
      if (says !== undefined) continue; // `read` says why.
      const near = stream.mirror.places(ask.shard).atOrBelow(ask.from);
      if (near === undefined || near.seq < ask.from - 1 || head.seq < ask.from) continue;
      if (ask.from < stream.mirror.first(ask.shard)) continue;
      low = Math.min(low, near.seq === ask.from ? near.position : near.position + 1);
      high = Math.max(high, position);
      wanted += Math.min(limit, head.seq - ask.from + 1);
      nexts.set(stream.subjects.of(ask.shard), ask);
    }
    const batch = high - low + 1;
    if (nexts.size < 2 || batch > Math.min(mostPerGet, mostBetween * wanted)) return found;
    const get = { seq: low, batch, max_bytes: getBytes };
    const { messages } = await inTurn(() => link.get(stream.name, get, deadlineIn(patienceMs).tryMs()));
    for (const message of messages) {
      const { shard, from } = nexts.get(message.subject) ?? {};
      if (shard === undefined || from === undefined || parseRecordHeader(message.record) === undefined) continue;
      const { seq, epoch } = noted(stream, shard, message);
      const mine = found.get(shard) ?? [];
      if (seq !== from + mine.length || mine.length >= limit) continue;
      mine.push({ shard, seq, epoch, record: message.bytes });
      found.set(shard, mine);
    }
    return found;
  }

  async function pageOf(stream: JournalStream, shard: Shard, from: Seq, limit: number): Promise<Page> {
    let { head } = sound(stream.mirror.known(shard));
    const first = stream.mirror.first(shard);
    if (head.seq < from || limit < 1) return { entries: [], first, head };
    const start = Math.max(1, from, first);
    const to = Math.min(head.seq, start + limit - 1);
    const found = await inTurn(() => entries(stream, shard, start, to));
    if (found.first > start && found.entries.length === 0) {
      stream.mirror.noteFirst(shard, found.first);
      return pageOf(stream, shard, from, limit);
    }
    ({ head } = sound(stream.mirror.known(shard)));
    return { entries: found.entries, first: stream.mirror.first(shard), head };
  }

  /** A journal is never said to end before what its reader has, on the word of a server that may have been deposed. */
  async function surely(stream: JournalStream, shard: Shard, from: Seq): Promise<Head> {
    if (stream.mirror.known(shard).head.seq < from - 1) await stream.barrier();
    return sound(stream.mirror.known(shard)).head;
  }

  return {
    async read(shard, from, limit) {
      const stream = streamOf(shard);
      await look(stream);
      await surely(stream, shard, from);
      return pageOf(stream, shard, from, limit);
    },
    async tail(asks, limit) {
      const streams = new Map<JournalStream, Ask[]>();
      for (const ask of asks) {
        const stream = streamOf(ask.shard);
        const mine = streams.get(stream);
        if (mine) mine.push(ask);
        else streams.set(stream, [ask]);
      }
      const isNews = (stream: JournalStream, { shard, from }: Ask): boolean => {
        const { head, says } = stream.mirror.known(shard);
        return says !== undefined || hasNews(from, { head, first: stream.mirror.first(shard) });
      };
      await Promise.all(
        [...streams].map(async ([stream, mine]) => {
          const isOld = performance.now() - (lookedAt.get(stream) ?? -Infinity) > lookEveryMs;
          if (isOld || !mine.some((ask) => isNews(stream, ask))) await look(stream);
          for (const { shard, from } of mine) if (!stream.mirror.known(shard).says) await surely(stream, shard, from);
        }),
      );
      const news = [...streams].map(([stream, mine]) =>
        together(
          stream,
          mine.filter((ask) => isNews(stream, ask)),
          limit,
        ),
      );
      const found = new Map((await Promise.all(news)).flatMap((one) => [...one]));
      const asked = asks.filter((ask) => isNews(streamOf(ask.shard), ask));
      return gathered(asked, async (ask) => {
        const entries = found.get(ask.shard);
        if (entries === undefined) return pageOr(ask.shard, ask.from, limit);
        const { mirror } = streamOf(ask.shard);
        return { entries, first: mirror.first(ask.shard), head: mirror.known(ask.shard).head };
      });
    },
    async trim(shard, through) {
      const stream = streamOf(shard);
      await look(stream);
      const { head } = sound(stream.mirror.known(shard));
      const last = Math.min(through, head.seq - 1);
      if (last < stream.mirror.first(shard)) return;
      const kept = await entries(stream, shard, last + 1, last + 1);
      if (kept.first > last + 1) return stream.mirror.noteFirst(shard, kept.first);
      // Purging is up to this position and without it; at the latest it is the head's, so the head stays.
      const { position } = kept;
      await persist(`trimmed shard ${shard}`, deadlineIn(patienceMs), async () => {
        const { success } = await link.streams.purge(stream.name, { filter: stream.subjects.of(shard), seq: position });
        return success || undefined;
      });
      stream.mirror.noteFirst(shard, last + 1);
    },
  };

  /** Pages in the order asked until they hold enough in all. */
  async function gathered(asks: readonly Ask[], page: (ask: Ask) => Promise<Page>): Promise<readonly Page[]> {
    const pages: Page[] = [];
    let left = maxPageBytes;
    for (let at = 0; at < asks.length && left > 0; at += getsAtOnce) {
      const some = asks.slice(at, at + getsAtOnce);
      for (const one of await Promise.all(some.map(page))) {
        const room = pages.some(({ entries }) => entries.length > 0) ? left : Math.max(left, firstBytes(one));
        const cut = within(one, room);
        left -= bytesOf(cut);
        if (cut.entries.length === 0 && one.entries.length > 0) return pages;
        pages.push(cut);
      }
    }
    return pages;
  }

  /** The page, or one that says nothing when the shard cannot be read: `read` says why. */
  async function pageOr(shard: Shard, from: Seq, limit: number): Promise<Page> {
    const stream = streamOf(shard);
    try {
      return await pageOf(stream, shard, from, limit);
    } catch (error) {
      if (!(error instanceof SheafError) || error.code !== "CORRUPT") throw error;
      const { head } = stream.mirror.known(shard);
      return { entries: [], first: stream.mirror.first(shard), head: { ...head, seq: Math.max(head.seq, from) } };
    }
  }
}

function noted(stream: JournalStream, shard: Shard, message: Stored): { readonly seq: Seq; readonly epoch: number } {
  stream.mirror.note(shard, message.position, message.record);
  const parts = parseRecordHeader(message.record);
  if (parts === undefined) throw new SheafError("CORRUPT", stream.mirror.known(shard).says);
  return { seq: parts[2], epoch: parts[1] };
}

const bytesOf = ({ entries }: Page): number => entries.reduce((sum, { record }) => sum + record.length, 0);
const firstBytes = ({ entries }: Page): number => entries[0]?.record.length ?? 0;

/** The page with as many of its entries as fit. */
function within(page: Page, bytes: number): Page {
  let left = bytes;
  const end = page.entries.findIndex(({ record }) => (left -= record.length) < 0);
  return end < 0 ? page : { ...page, entries: page.entries.slice(0, end) };
}

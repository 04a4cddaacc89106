// Reads a topic's log from where its events are: the newest in memory, older ones in the local store.

import { type Logged, loggedBytes, loggedOf, logRows, type Logs, behind, rowKey } from "./logs.ts";
import type { Cell } from "./store.ts";

/** Gives rows of that type behind that key, in order, and no more than so many. */
export type Rows = (type: string, after: string, limit: number) => Promise<readonly Cell[]>;

/** More of them are asked of the store as long as they are small. */
const firstPage = 32;
const pageBytes = 1024 * 1024;

/** Events of a topic behind the one numbered `after`, in order: none when there is none, and no more than `limit`, nor many more
 *  than a megabyte of older ones. What is trimmed meanwhile may be missing, and nothing else. */
export async function readLog(
  logs: Logs,
  topic: string,
  after: number,
  limit: number,
  rows: Rows,
): Promise<readonly Logged[]> {
  for (;;) {
    const { last, floor } = logs.of(topic);
    if (after >= last) return [];
    const recent = logs.recent(topic);
    const first = recent[0]?.n ?? Infinity;
    const from = behind(recent, after);
    if (from > 0 || after >= Math.max(floor, first) - 1) return recent.slice(from, from + limit);
    const old = await stored(topic, Math.max(after, floor - 1), first, limit, rows);
    const now = logs.of(topic).floor;
    const kept = old.filter(({ n }) => n >= now);
    if (kept.length > 0) return kept;
    // Else all that is kept is in memory, unless it was trimmed, or has left memory, while the store was read.
    const newest = logs.recent(topic);
    if (old.length === 0 && (newest[0]?.n ?? Infinity) === first) return newest.slice(0, limit);
  }
}

/** What the store has behind the event numbered `after` and before the one numbered `end`. */
async function stored(topic: string, after: number, end: number, limit: number, rows: Rows): Promise<Logged[]> {
  const found: Logged[] = [];
  let bytes = 0;
  for (let page = firstPage; found.length < limit && bytes < pageBytes; page *= 4) {
    const wanted = Math.min(page, limit - found.length);
    const cells = await rows(logRows(topic), rowKey(found.at(-1)?.n ?? after), wanted);
    const events = cells.map(loggedOf).filter(({ n }) => n < end);
    for (const event of events) bytes += loggedBytes(event);
    found.push(...events);
    if (events.length < wanted) break;
  }
  return found;
}

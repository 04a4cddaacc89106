// Telling other processes that journals have grown. NOTIFY takes a lock that all commits of a database share, so it is kept
// out of appends: one every few milliseconds at most, on another connection, for all shards that grew meanwhile.

import type { Millis, Shard } from "../../base/index.ts";
import type { Lane } from "./lane.ts";
import type { Link, Statement } from "./link.ts";

const notifyEveryMs = 3;
const redialMs = 200;
/** PostgreSQL takes 7999 bytes of payload; with more shards than fit none is named. */
const maxPayload = 7000;

const notify: Statement = { name: "notify", text: "SELECT pg_notify($1, $2)" };

export type OnGrown = (shards: readonly Shard[] | undefined) => void;

/** Returns what to call with the shards that have grown. */
export function announcer(lane: Lane, channel: string): (shards: readonly Shard[]) => void {
  const grown = new Set<Shard>();
  let due: NodeJS.Timeout | undefined;
  function announce(): void {
    due = undefined;
    const payload = [...grown].join(",");
    grown.clear();
    // A hint that is lost is found by those who poll.
    lane.ask(notify, [channel, payload.length > maxPayload ? "" : payload]).catch(() => {});
  }
  return (shards) => {
    for (const shard of shards) grown.add(shard);
    due ??= setTimeout(announce, notifyEveryMs);
  };
}

export type Listener = {
  watch(onGrown: OnGrown): () => void;
  close(): Promise<void>;
};

/** Listens on a connection of its own while anyone watches. After each connect it calls `onGrown(undefined)`: what was said
 *  before was missed. */
export function listener(dial: () => Promise<Link>, channel: string, patienceMs: Millis): Listener {
  const watching = new Set<OnGrown>();
  let connecting: Promise<void> | undefined;
  let link: Link | undefined;
  let again: NodeJS.Timeout | undefined;
  let closed = false;

  const tell: OnGrown = (shards) => {
    for (const onGrown of watching) onGrown(shards);
  };

  async function connect(): Promise<void> {
    const next = await dial();
    next.onNotification((payload) => tell(payload === "" ? undefined : payload.split(",").map(Number)));
    next.onEnd(later);
    link = next;
    await next.ask(`LISTEN ${channel}`, [], patienceMs);
    if (closed || watching.size === 0) await drop();
    else tell(undefined);
  }
  function later(): void {
    link = undefined;
    if (closed || watching.size === 0) return;
    again ??= setTimeout(start, redialMs);
  }
  function start(): void {
    clearTimeout(again);
    again = undefined;
    if (closed || link || connecting || watching.size === 0) return;
    connecting = connect()
      .catch(async () => {
        await link?.end();
        later();
      })
      .finally(() => (connecting = undefined));
  }
  async function drop(): Promise<void> {
    clearTimeout(again);
    again = undefined;
    await link?.end();
  }

  return {
    watch(onGrown) {
      const mine: OnGrown = (shards) => onGrown(shards);
      watching.add(mine);
      start();
      return () => {
        watching.delete(mine);
        if (watching.size === 0 && !connecting) void drop();
      };
    },
    async close() {
      closed = true;
      watching.clear();
      await connecting;
      await drop();
    },
  };
}

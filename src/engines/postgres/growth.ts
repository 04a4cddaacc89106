// Telling other processes that journals have grown. NOTIFY takes a lock that all commits of a database share, so it is kept
// out of appends, waits for no disk, and is sent every few milliseconds at most, for all shards that grew meanwhile: after a
// rest right behind an append, on its connection, so that it is heard as soon as there is something to read; else a little later.

import type { Millis, Shard } from "../../base/index.ts";
import type { Lane } from "./lane.ts";
import type { Link, Statement } from "./link.ts";

const notifyEveryMs = 3;
const redialMs = 200;
/** PostgreSQL takes 7999 bytes of payload; with more shards than fit none is named. */
const maxPayload = 7000;

const notify: Statement = {
  name: "notify",
  text: "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)",
};

export type OnGrown = (shards: readonly Shard[] | undefined) => void;

export type Announcer = {
  /** An append of these shards has just been sent on that lane. True when it is announced behind it. */
  sent(lane: Lane, shards: readonly Shard[]): boolean;
  /** These have grown, and that was not announced. */
  stored(shards: readonly Shard[]): void;
};

/** `lane` is for what is announced later. */
export function announcer(lane: Lane, channel: string): Announcer {
  const grown = new Set<Shard>();
  let due: NodeJS.Timeout | undefined;
  let announcedAt = -Infinity;
  function announce(on: Lane, shards: Iterable<Shard>): void {
    announcedAt = performance.now();
    const payload = [...shards].join(",");
    // A hint that is lost is found by those who poll.
    on.ask(notify, [channel, payload.length > maxPayload ? "" : payload]).catch(() => {});
  }
  function announceLater(): void {
    due = undefined;
    announce(lane, grown);
    grown.clear();
  }
  return {
    sent(on, shards) {
      const isDue = due === undefined && performance.now() - announcedAt >= notifyEveryMs;
      if (isDue) announce(on, shards);
      return isDue;
    },
    stored(shards) {
      for (const shard of shards) grown.add(shard);
      due ??= setTimeout(announceLater, Math.max(0, announcedAt + notifyEveryMs - performance.now()));
    },
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

// S4: an event published by a client in another process, acknowledged when it is durable, in order for each of 1,000 keys; and until
// a reader of the whole topic has it.

import { embedded, ours } from "../ours.ts";
import { sqliteCommit } from "../limits.ts";
import { rateCheck, timeCheck } from "../outcome.ts";
import { peer } from "../peer.ts";
import type { Row } from "../row.ts";
import { ensureRedis, startJetStream, startRedis } from "../servers.ts";
import { Ticks, topicAppFile } from "../topic-app.ts";

const levels = [1, 64, 512];
const keys = 1000;
const memo = "x".repeat(80);

const us = ours(
  "Sheaf, embedded",
  () => embedded,
  { app: topicAppFile },
  (client, n) => client.topic(Ticks).publish({ key: `k${n % keys}`, n, memo }),
);

type Client = Parameters<Parameters<typeof ours>[3]>[0];
const over = new AbortController();
/** Whoever waits for an event to be read, by its number. */
const readers = new WeakMap<Client, Map<number, () => void>>();

function readingOf(client: Client): Map<number, () => void> {
  let waiting = readers.get(client);
  if (!waiting) {
    readers.set(client, (waiting = new Map<number, () => void>()));
    void read(client, waiting).catch(() => {}); // It is over.
  }
  return waiting;
}

async function read(client: Client, waiting: Map<number, () => void>): Promise<void> {
  for await (const { value } of client.topic(Ticks).events({ signal: over.signal })) {
    waiting.get(value.n)?.();
    waiting.delete(value.n);
  }
}

const toTheEnd = ours(
  "Sheaf, embedded, until it is read",
  () => embedded,
  { app: topicAppFile },
  async (client, n) => {
    const isRead = new Promise<void>((resolve) => void readingOf(client).set(n, resolve));
    await client.topic(Ticks).publish({ key: `k${n % keys}`, n, memo });
    await isRead;
  },
);
const redis = peer("Redis Streams, appendfsync always", "redis-streams", startRedis);
const jetstream = peer("JetStream, sync always", "jetstream", startJetStream);

export const publish: Row = {
  id: "S4",
  title: "event published with durable acknowledgement, 1,000 keys, one node",
  async run({ sideBySide, note }) {
    const hasRedis = ensureRedis();
    if (!hasRedis) note("there is no redis-server and it could not be installed");
    const figures = await sideBySide([us, jetstream, ...(hasRedis ? [redis] : []), toTheEnd, sqliteCommit], levels);
    const at = (to: string, inFlight: number): { ours: string; to: string; inFlight: number } => ({
      ours: us.name,
      to,
      inFlight,
    });
    const checks = [64, 512].flatMap((inFlight) => [
      rateCheck(figures, at(jetstream.name, inFlight), 5),
      rateCheck(figures, at(redis.name, inFlight), 0.5),
    ]);
    over.abort();
    const commits = timeCheck(figures, { ours: toTheEnd.name, to: sqliteCommit.name, inFlight: 1 }, 3);
    return { figures, checks: [...checks, commits] };
  },
};

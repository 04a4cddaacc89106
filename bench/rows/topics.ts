// S4: an event published by a client in another process, acknowledged when it is durable, in order for each of 1,000 keys.

import { embedded, ours } from "../ours.ts";
import { rateCheck } from "../outcome.ts";
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
const redis = peer("Redis Streams, appendfsync always", "redis-streams", startRedis);
const jetstream = peer("JetStream, sync always", "jetstream", startJetStream);

export const publish: Row = {
  id: "S4",
  title: "event published with durable acknowledgement, 1,000 keys, one node",
  async run({ sideBySide, note }) {
    const hasRedis = ensureRedis();
    if (!hasRedis) note("there is no redis-server and it could not be installed");
    const figures = await sideBySide([us, jetstream, ...(hasRedis ? [redis] : [])], levels);
    const at = (to: string, inFlight: number): { ours: string; to: string; inFlight: number } => ({
      ours: us.name,
      to,
      inFlight,
    });
    const checks = [64, 512].flatMap((inFlight) => [
      rateCheck(figures, at(jetstream.name, inFlight), 5),
      rateCheck(figures, at(redis.name, inFlight), 0.5),
    ]);
    return { figures, checks };
  },
};

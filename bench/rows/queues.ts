// S3: a job put in a queue by a client in another process, until the client hears that it is done; the job and its end are durable.

import { embedded, ours } from "../ours.ts";
import { rateCheck } from "../outcome.ts";
import { type Beside, peer } from "../peer.ts";
import { Jobs, queueAppFile } from "../queue-app.ts";
import type { Row } from "../row.ts";
import { emptyDatabase, ensureRedis, postgresServer, startJetStream, startRedis } from "../servers.ts";

const levels = [1, 64, 512];
const memo = "x".repeat(80);

const us = ours(
  "Sheaf, embedded",
  () => embedded,
  { app: queueAppFile },
  async (client, n) => {
    const jobs = client.queue(Jobs);
    const id = await jobs.add({ n, memo });
    const { state } = await jobs.result(id, { waitMs: 9_000 });
    if (state !== "done") throw new Error(`job ${id} is ${state}`);
  },
);
const bullmq = peer("BullMQ, appendfsync always", "bullmq", startRedis);
const jetstream = peer("JetStream, sync always", "jetstream-queue", startJetStream);

async function freshPostgres(): Promise<Beside> {
  const postgres = await postgresServer();
  const { url, pids } = await emptyDatabase(postgres);
  return { given: url, pids, stop: () => postgres.server.destroy() };
}
const pgBoss = peer("pg-boss", "pg-boss", freshPostgres);

export const jobs: Row = {
  id: "S3",
  title: "job in a durable queue, until its end is known, one node",
  async run({ sideBySide, note }) {
    const hasRedis = ensureRedis();
    if (!hasRedis) note("there is no redis-server and it could not be installed");
    const figures = await sideBySide([us, ...(hasRedis ? [bullmq] : []), pgBoss, jetstream], levels);
    const at = (to: string, inFlight: number): { ours: string; to: string; inFlight: number } => ({
      ours: us.name,
      to,
      inFlight,
    });
    const checks = [64, 512].flatMap((inFlight) => [
      rateCheck(figures, at(bullmq.name, inFlight), inFlight === 64 ? 5 : 3),
      rateCheck(figures, at(pgBoss.name, inFlight), 10),
      rateCheck(figures, at(jetstream.name, inFlight), 10),
    ]);
    return { figures, checks };
  },
};

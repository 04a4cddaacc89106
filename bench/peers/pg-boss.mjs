// pg-boss: jobs in tables of PostgreSQL, fetched in batches by a worker of this very process, as often as it may.

import { PgBoss } from "pg-boss";
import { message } from "./message.mjs";

export const serve = async (given) => given;

export async function open(url) {
  const boss = new PgBoss({ connectionString: url, max: 20 });
  await boss.start();
  await boss.createQueue("jobs");
  const waiting = new Map();
  await boss.work("jobs", { batchSize: 512, pollingIntervalSeconds: 0.5 }, async (jobs) => {
    for (const { id } of jobs) setImmediate(() => waiting.get(id)?.());
  });
  return {
    async once(n) {
      const id = await boss.send("jobs", { n, memo: message.memo });
      await new Promise((resolve) => waiting.set(id, resolve));
      waiting.delete(id);
    },
    close: () => boss.stop({ graceful: false }),
  };
}

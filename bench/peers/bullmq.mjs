// BullMQ on a Redis that syncs its append-only file before it answers: a worker in a process of its own, and events that tell of
// the end of each job.

import { Queue, QueueEvents, Worker } from "bullmq";
import { message } from "./message.mjs";

const patienceMs = 30_000;

export async function serve(port) {
  const worker = new Worker("jobs", async ({ data }) => data.n, {
    connection: { host: "127.0.0.1", port, maxRetriesPerRequest: null },
    concurrency: 512,
  });
  await worker.waitUntilReady();
  return port;
}

export async function open(port) {
  const connection = { host: "127.0.0.1", port, maxRetriesPerRequest: null };
  const queue = new Queue("jobs", { connection });
  const events = new QueueEvents("jobs", { connection });
  events.setMaxListeners(0);
  await events.waitUntilReady();
  return {
    async once(n) {
      const job = await queue.add("job", { n, memo: message.memo }, { removeOnComplete: 1000 });
      await job.waitUntilFinished(events, patienceMs);
    },
    async close() {
      await events.close();
      await queue.close();
    },
  };
}

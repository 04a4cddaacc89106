// A work queue of JetStream on one nats-server that syncs before it acknowledges: a consumer in a process of its own, which
// tells the caller when its acknowledgement is kept.

import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { message } from "./message.mjs";

export async function serve(servers) {
  const link = await connect({ servers });
  const manager = await jetstreamManager(link);
  await manager.streams.add({ name: "jobs", subjects: ["jobs"], storage: "file", retention: "workqueue" });
  await manager.consumers.add("jobs", {
    durable_name: "worker",
    ack_policy: AckPolicy.Explicit,
    max_ack_pending: 1024,
  });
  const consumer = await jetstream(link).consumers.get("jobs", "worker");
  await consumer.consume({
    max_messages: 1024,
    callback(job) {
      void job.ackAck().then(() => link.publish(job.json().to));
    },
  });
  return servers;
}

export async function open(servers) {
  const link = await connect({ servers });
  const stream = jetstream(link);
  return {
    async once(n) {
      const to = `done.${n}`;
      const ends = link.subscribe(to, { max: 1 });
      await stream.publish("jobs", JSON.stringify({ n, to, memo: message.memo }));
      for await (const end of ends) return void end;
    },
    close: () => link.close(),
  };
}

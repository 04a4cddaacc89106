// One nats-server that syncs before it acknowledges: a stream in files, a subject for each key.

import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { keyOf } from "./keys.mjs";
import { message } from "./message.mjs";

export const serve = async (given) => given;

export async function open(servers) {
  const link = await connect({ servers });
  const manager = await jetstreamManager(link);
  await manager.streams.add({ name: "ticks", subjects: ["ticks.>"], storage: "file" });
  const stream = jetstream(link);
  return {
    once(n) {
      const key = keyOf(n);
      return stream.publish(`ticks.${key}`, JSON.stringify({ key, n, memo: message.memo }));
    },
    close: () => link.close(),
  };
}

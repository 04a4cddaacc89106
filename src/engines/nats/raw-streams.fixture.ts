// Streams as the engine's own, filled by nobody but a bench: what the engine is held against.

import { type JetStreamClient, jetstream, jetstreamManager, type StreamConfig } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { layoutOf } from "./layout.ts";

export type RawStreams = {
  readonly client: JetStreamClient;
  /** The subject of a shard. */
  subject(shard: number): string;
  end(): Promise<void>;
};

export async function rawStreams(servers: readonly string[], streams: number): Promise<RawStreams> {
  const link = await connect({ servers: [...servers], noAsyncTraces: true });
  const manager = await jetstreamManager(link);
  for (const config of layoutOf("raw", 3).all(streams).slice(2)) {
    const { republish: _, ...plain } = config as StreamConfig;
    await manager.streams.add(plain);
  }
  return {
    client: jetstream(link),
    subject: (shard) => `raw.journal.${shard % streams}.${shard}`,
    end: () => link.close(),
  };
}

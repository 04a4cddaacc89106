// The engines that are tortured, each with servers of its own on the tortured disk, and what can be done to those servers.

import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { natsCluster, withoutNats } from "../../src/engines/nats/nats-cluster.fixture.ts";
import { startServer } from "../../src/engines/postgres/server.fixture.ts";
import type { World } from "./private-world.ts";

export const engineNames = ["embedded", "postgres", "nats"] as const;
export type EngineName = (typeof engineNames)[number];

export interface Servers {
  /** As `--engine` takes it. */
  readonly url: string;
  /** Reached over the network, so that the way to them can be cut. */
  readonly remote: boolean;
  /** Undefined for the embedded engine, which has none. Kills one as a crash would: that which matters most. */
  readonly crashOne: (() => Promise<void>) | undefined;
  /** Kills all of them, as a power cut would. */
  crash(): Promise<void>;
  /** Starts those that do not run, and those that run without working. */
  revive(): Promise<void>;
  end(): Promise<void>;
}

/** Their files are in `folder`. */
export async function startServers(name: EngineName, folder: string, world: World): Promise<Servers> {
  // Where the fixtures make their folders.
  process.env["TMPDIR"] = folder;
  switch (name) {
    case "embedded":
      return embedded(folder);
    case "postgres":
      return postgres(world);
    case "nats":
      return nats(world);
  }
}

const nothing = (): Promise<void> => Promise.resolve();

const embedded = (folder: string): Servers => ({
  url: `sqlite:${join(folder, "journal")}`,
  remote: false,
  crashOne: undefined,
  crash: nothing,
  revive: nothing,
  end: nothing,
});

async function postgres({ cables, engineAddress }: World): Promise<Servers> {
  const remote = cables !== undefined;
  const server = await startServer(remote ? { listen_addresses: engineAddress } : {});
  if (remote) appendFileSync(join(server.dir, "data", "pg_hba.conf"), "\nhost all all 10.77.0.0/24 trust\n");
  await server.sql("SELECT pg_reload_conf()");
  const crash = (): Promise<void> => server.stop("immediate");
  return {
    url: remote ? `postgres://sheaf@${engineAddress}:5432/postgres` : server.url(),
    remote,
    crashOne: crash,
    crash,
    async revive() {
      const works = await server.sql("SELECT 1").then(
        () => true,
        () => false,
      );
      if (works) return;
      await crash();
      await server.start();
    },
    end: () => server.destroy(),
  };
}

async function nats({ cables, engineAddress }: World): Promise<Servers> {
  if (withoutNats !== false) throw new Error(withoutNats);
  const remote = cables !== undefined;
  const cluster = await natsCluster(remote ? { host: engineAddress } : {});
  return {
    url: `nats://${cluster.addresses.join(",")}/torture`,
    remote,
    async crashOne() {
      const link = await connect({ servers: [...cluster.addresses], timeout: 2_000 });
      let leads: string | undefined;
      try {
        const { streams } = await jetstreamManager(link, { timeout: 2_000 });
        leads = (await streams.info("torture_journal_0")).cluster?.leader;
      } finally {
        await link.close();
      }
      await (leads === undefined ? cluster.servers[0]! : cluster.server(leads)).kill();
    },
    async crash() {
      await Promise.all(cluster.servers.map((server) => server.kill()));
    },
    async revive() {
      await Promise.all(cluster.servers.map((server) => server.start()));
      // A server whose disk was full has given up JetStream until it is started again.
      const soon = AbortSignal.timeout(3_000);
      for (const server of cluster.servers) {
        const healthy = await fetch(`${server.monitor}/healthz`, { signal: soon }).then(
          ({ ok }) => ok,
          () => false,
        );
        if (healthy) continue;
        await server.kill();
        await server.start();
      }
      await cluster.ready();
    },
    end: () => cluster.end(),
  };
}

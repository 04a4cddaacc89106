// The NATS engine: journals in a few replicated JetStream streams with a subject per shard. Where things lie: layout.ts. How
// an append is fenced: appender.ts. Why a barrier is linearizable: journal-stream.ts.
//
// This file opens a connection, finds out which cluster it leads to, and joins the parts. Until a cluster was found or
// created, everything about journals rejects NO_CLUSTER.

import { readFileSync } from "node:fs";
import {
  connect,
  type ConnectionOptions,
  credsAuthenticator,
  errors,
  type NatsConnection,
} from "@nats-io/transport-node";
import { defaultLimits, type Shard, SheafError } from "../../base/index.ts";
import type { Append, AppendResult, Cluster, Engine } from "../../journal/index.ts";
import { appender } from "./appender.ts";
import { growth } from "./growth.ts";
import { type Found, identityOf } from "./identity.ts";
import { type JournalStream, journalStream, sound } from "./journal-stream.ts";
import { layoutOf } from "./layout.ts";
import { linkOn, unavailable } from "./link.ts";
import { recordHeader } from "./mirror.ts";
import { checkedSpace, type NatsOptions } from "./options.ts";
import { reader } from "./reader.ts";
import { registryOf } from "./registry.ts";
import { beginRestoration } from "./restoration.ts";
import { checkJetStream, checkServer, checkSync } from "./server-check.ts";
import { snapshotsOf } from "./snapshots.ts";

const maxStreams = 16;

function connectionOptions(options: NatsOptions): ConnectionOptions {
  const { servers, user, password, token, credentialsFile, caFile, certFile, keyFile, tls } = options;
  const { discover = true, pingMs = 2000 } = options;
  const files = { ...(caFile && { caFile }), ...(certFile && { certFile }), ...(keyFile && { keyFile }) };
  return {
    servers: [...servers],
    name: "sheaf",
    timeout: 3000,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
    reconnectJitter: 50,
    // A server that is frozen, or behind a broken network, is left after two of these.
    pingInterval: pingMs,
    maxPingOut: 2,
    noAsyncTraces: true,
    ignoreClusterUpdates: !discover,
    ...(user !== undefined && { user, pass: password ?? "" }),
    ...(token !== undefined && { token }),
    ...(credentialsFile !== undefined && { authenticator: credsAuthenticator(readFileSync(credentialsFile)) }),
    ...((tls === true || Object.keys(files).length > 0) && { tls: files }),
  };
}

async function connected(options: NatsOptions): Promise<NatsConnection> {
  try {
    return await connect(connectionOptions(options));
  } catch (error) {
    if (error instanceof errors.AuthorizationError || error instanceof errors.UserAuthenticationExpiredError)
      throw new SheafError("ENGINE_REFUSED", "NATS: the servers do not let this user in", { cause: error });
    if (error instanceof Error && (error as NodeJS.ErrnoException).code === "ENOENT")
      throw new SheafError("ENGINE_REFUSED", `NATS: ${error.message}`, { cause: error });
    throw unavailable(`no server answers at ${options.servers.join(", ")}`, error);
  }
}

/** What a handle uses once its cluster is known. */
type Ground = {
  readonly streams: readonly JournalStream[];
  readonly append: (one: Append) => Promise<AppendResult>;
  readonly reader: ReturnType<typeof reader>;
};

/** Resolves once connected to a server that can keep journals. Rejects ENGINE_UNAVAILABLE when none answers, ENGINE_REFUSED,
 *  with the reason, for one that is too old or not safely set up. */
export async function natsEngine(options: NatsOptions): Promise<Engine> {
  const { maxRecordBytes = defaultLimits.maxRecordBytes, patienceMs = defaultLimits.appendPatienceMs * 0.8 } = options;
  const { replicas = 3, monitors = [] } = options;
  const streamsWanted = options.streams ?? 4;
  if (!(Number.isInteger(streamsWanted) && streamsWanted >= 1 && streamsWanted <= maxStreams))
    throw new SheafError("USAGE", `a cluster has 1 to ${maxStreams} journal streams`);
  if (!(Number.isInteger(replicas) && replicas >= 1 && replicas <= 5))
    throw new SheafError("USAGE", "a journal has 1 to 5 replicas");
  const space = checkedSpace(options.space ?? "sheaf");
  const connection = await connected(options);
  const link = await linkOn(connection);
  /** Why a server that this handle came to later cannot be used. */
  let refused: SheafError | undefined;
  let closed: Promise<void> | undefined;
  const checkNow = (): void => checkServer(connection.info as NonNullable<typeof connection.info>, maxRecordBytes);
  try {
    checkNow();
    await checkJetStream(connection, patienceMs);
    await checkSync(monitors, patienceMs);
  } catch (error) {
    await connection.close();
    throw error;
  }

  const layout = layoutOf(space, replicas);
  const identity = identityOf(link, layout, replicas, patienceMs);
  const grown = growth();
  const pending = new Set<Promise<unknown>>();
  let ground: Ground | undefined;
  let finding: Promise<Ground> | undefined;

  function groundOf({ cluster, streams: count }: Found): Ground {
    const shards = Array.from({ length: cluster.shards }, (_, shard) => shard);
    const streams = Array.from({ length: count }, (_, index) =>
      journalStream(
        link,
        layout,
        index,
        shards.filter((shard) => shard % count === index),
        patienceMs,
      ),
    );
    const streamOf = (shard: Shard): JournalStream => {
      const stream =
        Number.isInteger(shard) && shard >= 0 && shard < cluster.shards ? streams[shard % count] : undefined;
      if (stream) return stream;
      throw new SheafError("BAD_INPUT", `this cluster has no shard ${shard}`);
    };
    // The subject is SPACE.grown.INDEX.TOKEN.
    connection.subscribe(`${space}.grown.*.*`, {
      callback: (_, message) => {
        const [, , index, token] = message.subject.split(".") as [string, string, string, string];
        const position = Number(message.headers?.get("Nats-Sequence"));
        streams[Number(index)]?.republished(token, position, message.headers?.get(recordHeader) ?? "");
        if (/^\d+$/.test(token)) grown.tell(Number(token));
      },
    });
    return {
      streams,
      append: appender({ link, maxRecordBytes, patienceMs, streamOf }),
      reader: reader({ link, patienceMs, streamOf }),
    };
  }

  function whileOpen(): void {
    if (closed) throw unavailable("the engine is closed");
    if (refused) throw refused;
  }

  async function found(): Promise<Ground> {
    const present = await identity.identify();
    if (present === undefined) throw new SheafError("NO_CLUSTER");
    return (ground ??= groundOf(present));
  }

  /** What is needed to serve journals: found once, and then kept. */
  async function ready(): Promise<Ground> {
    whileOpen();
    if (ground) return ground;
    finding ??= found().finally(() => (finding = undefined));
    return finding;
  }

  link.onReconnect(() => {
    try {
      checkNow();
      refused = undefined;
    } catch (error) {
      refused = error as SheafError;
    }
    grown.tellAll();
  });

  async function appendOne(one: Append): Promise<AppendResult> {
    try {
      return await (ground ?? (await ready())).append(one);
    } catch (error) {
      return { kind: "refused", error };
    }
  }

  return {
    name: "nats",
    maxRecordBytes,
    async identify() {
      whileOpen();
      const present = await identity.identify();
      if (present) ground ??= groundOf(present);
      return present?.cluster;
    },
    async create(cluster: Cluster) {
      whileOpen();
      const present = await identity.create(cluster, streamsWanted);
      ground ??= groundOf(present);
    },
    async restore(cluster, again = false) {
      whileOpen();
      const options = { link, layout, identity, streams: streamsWanted, patienceMs, whileOpen };
      return beginRestoration(options, cluster, again);
    },
    append(batch) {
      try {
        whileOpen();
      } catch (error) {
        return Promise.resolve(batch.map(() => ({ kind: "refused", error })));
      }
      const results = Promise.all(batch.map(appendOne));
      pending.add(results);
      void results.then(() => pending.delete(results));
      return results;
    },
    async barrier(shards) {
      const { streams } = await ready();
      const mine = new Set(shards.map((shard) => streams[shard % streams.length] as JournalStream));
      await Promise.all([...mine].map((stream) => stream.barrier()));
      return shards.map((shard) => sound((streams[shard % streams.length] as JournalStream).mirror.known(shard)).head);
    },
    read: async (shard, from, limit) => (await ready()).reader.read(shard, from, limit),
    tail: async (asks, limit) => (await ready()).reader.tail(asks, limit),
    watch(onGrown) {
      if (closed) return () => {};
      if (!ground) ready().then(grown.tellAll, () => {});
      return grown.watch(onGrown);
    },
    trim: async (shard, through) => (await ready()).reader.trim(shard, through),
    snapshots: snapshotsOf(link, layout, patienceMs, ready),
    registry: registryOf(link, layout, patienceMs, ready),
    async describe() {
      whileOpen();
      const { server_name: server = "", version = "", cluster: name = "" } = connection.info ?? {};
      const streams = (await ready()).streams;
      const looks = await Promise.all(streams.map((stream) => link.streams.info(stream.name)));
      const spans: number[] = [];
      for (let i = 0; i < 5; i++) {
        const from = performance.now();
        await (streams[0] as JournalStream).barrier();
        spans.push(performance.now() - from);
      }
      const total = (part: (state: (typeof looks)[number]["state"]) => number): number =>
        looks.reduce((sum, { state }) => sum + part(state), 0);
      return {
        server,
        version,
        ...(name !== "" && { natsCluster: name }),
        space,
        streams: streams.length,
        replicas: Math.min(...looks.map(({ config }) => config.num_replicas)),
        records: total((state) => state.messages),
        bytes: total((state) => state.bytes),
        maxRecordBytes,
        syncEveryWrite: monitors.length > 0 ? "yes, as monitoring says" : "not known: no monitoring address was given",
        syncMs: Number((spans.sort((a, b) => a - b)[2] as number).toFixed(3)),
      };
    },
    close() {
      closed ??= (async () => {
        await Promise.all(pending);
        grown.end();
        await link.close();
      })();
      return closed;
    },
  };
}

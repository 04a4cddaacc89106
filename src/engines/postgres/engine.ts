// The PostgreSQL engine: journals as rows of one schema, written and read over a few pipelined connections. Any number of
// node processes share the schema; none of them is known to the server but by what it asks.

import { defaultLimits, type Millis, SheafError } from "../../base/index.ts";
import type { AppendResult, Engine } from "../../journal/index.ts";
import { addressOf } from "./address.ts";
import { appender } from "./appender.ts";
import { describe } from "./facts.ts";
import { announcer, listener } from "./growth.ts";
import { identityOf } from "./identity.ts";
import { openLane } from "./lane.ts";
import { checkNotPooled, dial, type Link } from "./link.ts";
import { reader } from "./reader.ts";
import { tableRegistry } from "./registry.ts";
import { beginRestoration } from "./restoration.ts";
import { tableSnapshots } from "./snapshots.ts";
import { createCluster, identifyCluster } from "./tables.ts";
import { trimmer } from "./trimmer.ts";

export type PostgresOptions = {
  /** As pg takes it: postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…, and `schema=NAME` for ours. */
  readonly url: string;
  /** Where the tables are; "sheaf" when neither this nor the address names one. */
  readonly schema?: string | undefined;
  readonly maxRecordBytes?: number | undefined;
  /** How long an append, a barrier or a connection is waited for. */
  readonly patienceMs?: Millis | undefined;
  /** Connections that append. Two let the server sync for one while the other is under way. */
  readonly appendConnections?: number | undefined;
};

/** For what moves megabytes: pages, snapshots, trims. */
const bulkPatienceMs = 30_000;

/** Resolves once the server was reached and found sound. Rejects USAGE for an address that is not understood, ENGINE_REFUSED
 *  for a server that cannot be used as it is set up, ENGINE_UNAVAILABLE when it does not answer. */
export async function postgresEngine(options: PostgresOptions): Promise<Engine> {
  const { maxRecordBytes = defaultLimits.maxRecordBytes, appendConnections = 2 } = options;
  const patienceMs = options.patienceMs ?? defaultLimits.appendPatienceMs * 0.8;
  const address = addressOf(options.url, options.schema);
  const dialOne = (ms: Millis): Promise<Link> => dial(address, ms);
  const looks = openLane(dialOne, patienceMs);
  const bulk = openLane(dialOne, bulkPatienceMs);
  const appends = Array.from({ length: Math.max(1, appendConnections) }, () => openLane(dialOne, patienceMs));
  const lanes = [...appends, looks, bulk];
  const closeLanes = (): Promise<unknown> => Promise.all(lanes.map((lane) => lane.close()));

  try {
    await checkNotPooled(await looks.link(), await appends[0]!.link(), patienceMs);
  } catch (error) {
    await closeLanes();
    throw error;
  }

  const channel = `${address.schema}_grown`;
  const identity = identityOf(() => identifyCluster(looks.ask, address.schema, patienceMs), address.schema);
  const growth = listener(() => dialOne(patienceMs), channel, patienceMs);
  const append = appender({ lanes: appends, identity, maxRecordBytes, announcer: announcer(looks, channel) });
  const { heads, page, pages } = reader(looks, bulk, identity);
  const underWay = new Set<Promise<unknown>>();
  let closed: Promise<void> | undefined;

  async function apart<T>(act: (link: Link) => Promise<T>): Promise<T> {
    const link = await dialOne(patienceMs);
    try {
      return await act(link);
    } finally {
      await link.end();
    }
  }
  async function create(cluster: Parameters<Engine["create"]>[0]): Promise<void> {
    await apart((link) => createCluster(link, address.schema, cluster, patienceMs));
    await identity.identify();
  }
  async function close(): Promise<void> {
    await Promise.allSettled(underWay);
    await growth.close();
    await closeLanes();
  }

  return {
    name: "postgres",
    maxRecordBytes,
    identify: identity.identify,
    async create(cluster) {
      if (closed) throw closedError();
      await create(cluster);
    },
    async restore(cluster, again = false) {
      if (closed) throw closedError();
      const { schema } = address;
      const options = { lane: bulk, schema, patienceMs, apart, onFinished: identity.identify };
      return beginRestoration(options, cluster, again);
    },
    append(batch) {
      if (closed) return Promise.resolve(batch.map((): AppendResult => ({ kind: "refused", error: closedError() })));
      const results = append(batch);
      underWay.add(results);
      void results.then(() => underWay.delete(results));
      return results;
    },
    barrier: heads,
    read: page,
    tail: pages,
    watch: growth.watch,
    trim: trimmer(bulk, identity),
    snapshots: tableSnapshots(bulk, identity),
    registry: tableRegistry(looks, identity),
    describe: () => describe(looks, address),
    close: () => (closed ??= close()),
  };
}

const closedError = (): SheafError => new SheafError("ENGINE_UNAVAILABLE", "the engine is closed");

// The limits: the least that a program can do which does the same, on the same machine in the same run. Nothing is checked,
// kept for later or told to anybody.

import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import pg from "pg";
import { type Certificates, openLimit } from "../src/cli/bench-limit.ts";
import { rawStreams } from "../src/engines/nats/raw-streams.fixture.ts";
import { ensureCa, issuedIdentity, realHost } from "../src/platform/index.ts";
import { secureContextOf } from "../src/platform/peer-trust.ts";
import type { Contender } from "./contender.ts";
import { freshFolder } from "./folders.ts";
import { natsServers, type Postgres } from "./servers.ts";

const record = Buffer.alloc(200, 7);
const shards = 64;

const echo = (name: string, kind: () => Parameters<typeof openLimit>[0]): Contender => ({
  name,
  role: "limit",
  async start() {
    const { pid, send, stop } = await openLimit(kind());
    return { once: send, pids: [pid], stop };
  },
});

function certificates(): Certificates {
  const dir = freshFolder();
  const world = realHost({ dir, log: { debug() {}, info() {}, warn() {}, error() {} } });
  const ca = ensureCa(dir, { cluster: "bench", now: Date.now() });
  const contextOf = (name: string): Certificates["server"] => secureContextOf(issuedIdentity(ca, { name, world }));
  return { server: contextOf("server"), client: contextOf("client") };
}

export const rawTcp = echo("raw TCP echo", () => ({}));
export const rawTls = echo("raw TLS echo", () => ({ tls: certificates() }));
export const rawDurable = echo("raw durable", () => ({ folder: freshFolder() }));

/** One transaction for each command, in this process. */
export const sqliteCommit: Contender = {
  name: "SQLite, one commit each",
  role: "peer",
  async start() {
    const db = new DatabaseSync(join(freshFolder(), "limit.db"));
    db.exec(
      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE record (seq INTEGER PRIMARY KEY, bytes BLOB)",
    );
    const insert = db.prepare("INSERT INTO record (bytes) VALUES (?)");
    // Waiting for the next turn is what lets the loop look at the time.
    const commit = async (): Promise<void> => {
      insert.run(record);
      await new Promise<void>((resolve) => void setImmediate(resolve));
    };
    return { once: commit, pids: [], stop: () => db.close() };
  },
};

/** The rows that wait are inserted together, `shards` at most as one flush of a node is, over one connection. */
export const unnestAppend = (postgres: Postgres): Contender => ({
  name: "unnest append, one connection",
  role: "limit",
  async start() {
    const client = new pg.Client({ connectionString: postgres.server.url() });
    await client.connect();
    await client.query(
      "CREATE TABLE IF NOT EXISTS raw (shard int, seq bigint, record bytea, PRIMARY KEY (shard, seq))",
    );
    let [seq, writing] = [Date.now() * 1000, false];
    let waiting: (() => void)[] = [];
    const write = async (): Promise<void> => {
      writing = true;
      while (waiting.length > 0) {
        const flush = waiting.slice(0, shards);
        waiting = waiting.slice(shards);
        const [at, count] = [seq++, flush.map((_, n) => n)];
        const values = [count, count.map(() => at), count.map(() => record)];
        const text = "INSERT INTO raw SELECT * FROM unnest($1::int4[], $2::int8[], $3::bytea[])";
        await client.query({ name: "raw", text, values });
        for (const done of flush) done();
      }
      writing = false;
    };
    return {
      once: () =>
        new Promise<void>((resolve) => {
          waiting.push(resolve);
          if (!writing) setImmediate(() => void (writing || write()));
        }),
      pids: postgres.pids,
      stop: () => client.end(),
    };
  },
});

/** One publish each to subjects that expect their last position, one at a time for each subject, over one connection. */
export const subjectAppend: Contender = {
  name: "per-subject append, one connection",
  role: "limit",
  async start() {
    const { cluster, pids } = await natsServers();
    const { client, subject, end } = await rawStreams(cluster.addresses, 4);
    const lasts = new Map<string, number>();
    const free = Array.from({ length: shards }, (_, n) => subject(n));
    const waiting: ((subject: string) => void)[] = [];
    return {
      async once() {
        const subject = free.pop() ?? (await new Promise<string>((resolve) => void waiting.push(resolve)));
        const expect = { lastSubjectSequence: lasts.get(subject) ?? 0 };
        lasts.set(subject, (await client.publish(subject, record, { expect })).seq);
        const next = waiting.shift();
        if (next) next(subject);
        else free.push(subject);
      },
      pids,
      async stop() {
        await end();
        await cluster.end();
      },
    };
  },
};

// The tables of a cluster, in a schema of its own, and who it is. They are made once, by `create`; what is missing later
// is a loss that people must decide about (F8), never made again.
//
// One row of `head` per shard is what fences (engine.ts); `first` is the lowest sequence that was not trimmed, so that
// records which are missing above it are known to be lost.

import { type Apart, type Millis, SheafError } from "../../base/index.ts";
import { type Cluster, unfinishedRestoration } from "../../journal/index.ts";
import type { Link } from "./link.ts";

/** Version of the tables. A newer one is refused. */
export const format = 1;
/** In place of the format while a restoration is under way: above any, so that no build takes the cluster for whole. */
export const leastMark = 2 ** 30;
const names = ["chunk", "cluster", "head", "member", "record", "snapshot"];

// Rows of `head` and `member` are rewritten all the time: room in their pages lets each stay on its own.
const tables = `
  CREATE TABLE cluster (one boolean PRIMARY KEY DEFAULT true CHECK (one), format int NOT NULL, id text NOT NULL,
    name text NOT NULL, shards int NOT NULL, created_at bigint NOT NULL, key_check bytea, apart text);
  CREATE TABLE head (shard int PRIMARY KEY, generation bigint NOT NULL, epoch bigint NOT NULL, seq bigint NOT NULL,
    first bigint NOT NULL) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
  CREATE TABLE record (shard int NOT NULL, seq bigint NOT NULL, epoch bigint NOT NULL, record bytea NOT NULL,
    PRIMARY KEY (shard, seq));
  ALTER TABLE record ALTER record SET STORAGE EXTERNAL;
  CREATE TABLE snapshot (put bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, shard int NOT NULL, generation bigint NOT NULL,
    epoch bigint NOT NULL, seq bigint NOT NULL, hash text NOT NULL, begun timestamptz NOT NULL DEFAULT now(), chunks int);
  CREATE INDEX ON snapshot (shard, seq);
  CREATE TABLE chunk (put bigint NOT NULL REFERENCES snapshot ON DELETE CASCADE, number int NOT NULL, part int NOT NULL,
    bytes bytea NOT NULL, PRIMARY KEY (put, number, part));
  ALTER TABLE chunk ALTER bytes SET STORAGE EXTERNAL;
  CREATE UNLOGGED TABLE member (key text PRIMARY KEY, value bytea NOT NULL) WITH (fillfactor = 50);`;

/** What a look at the registry asks for. Where it is there already it changes nothing. */
export const numberMembers = `DO $$ BEGIN
    ALTER TABLE member ADD COLUMN IF NOT EXISTS told bigint NOT NULL DEFAULT 0;
    CREATE INDEX IF NOT EXISTS member_told ON member (told);
  END $$`;

const found = `SELECT c.relname::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')`;

const restore = "restore the database from a backup";

/** The cluster in this schema; undefined when the schema is empty or not there. Rejects ENGINE_REFUSED when the schema is
 *  somebody else's or of a newer version, CORRUPT when a part of it is missing. */
export async function identifyCluster(ask: Link["ask"], schema: string, ms: Millis): Promise<Cluster | undefined> {
  const here = new Set((await ask<{ name: string }>(found, [schema], ms)).map(({ name }) => name));
  if (here.size === 0) return undefined;
  const missing = names.filter((name) => !here.has(name));
  if (missing.length === names.length) throw foreign(schema);
  if (missing.length > 0)
    throw new SheafError("CORRUPT", `schema ${schema} has lost its tables ${missing.join(", ")}`, { hint: restore });
  type Row = {
    format: number;
    id: string;
    name: string;
    shards: number;
    created_at: string;
    key_check: Uint8Array | null;
    /** Tables made before there was this column have it not. */
    apart?: string | null;
  };
  const [row] = await ask<Row>("SELECT * FROM cluster", [], ms);
  if (!row) throw new SheafError("CORRUPT", `schema ${schema} has lost the identity of its cluster`, { hint: restore });
  if (typeof row.format !== "number") throw foreign(schema);
  if (row.format >= leastMark) throw unfinishedRestoration(`schema ${schema}`, row.name);
  if (row.format > format) {
    const hint = "start the version of Sheaf that made it, or a newer one";
    throw new SheafError("ENGINE_REFUSED", `schema ${schema} has format ${row.format}; this build reads ${format}`, {
      hint,
    });
  }
  return {
    id: row.id,
    name: row.name,
    shards: row.shards,
    createdAt: Number(row.created_at),
    ...(row.apart && { apart: JSON.parse(row.apart) as Apart[] }),
    ...(row.key_check && { keyCheck: new Uint8Array(row.key_check) }),
  };
}

const foreign = (schema: string): SheafError =>
  new SheafError("ENGINE_REFUSED", `schema ${schema} holds tables that are not Sheaf's`, {
    hint: "name another schema in the engine's address: ?schema=NAME",
  });

/** `mark` is the format, or a restoration's mark; `again` removes what an unfinished one has left. */
export type Making = { readonly mark: number; readonly again: boolean };

/** Makes the tables and the cluster, in one transaction. The connection is this call's alone. */
export async function createCluster(
  link: Link,
  schema: string,
  cluster: Cluster,
  ms: Millis,
  { mark, again }: Making = { mark: format, again: false },
): Promise<void> {
  const { ask } = link;
  await ask("BEGIN", [], ms);
  await ask("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [`sheaf ${schema}`], ms);
  if (again && (await markOf(ask, schema, ms)) !== undefined) await dropTables(ask, ms);
  const held = await identifyCluster(ask, schema, ms);
  if (held) throw new SheafError("WRONG_CLUSTER", `this engine holds the cluster ${held.name} (${held.id})`);
  const [there] = await ask("SELECT 1 FROM pg_namespace WHERE nspname = $1", [schema], ms);
  if (!there) await ask(`CREATE SCHEMA ${schema}`, [], ms);
  await ask(tables, [], ms);
  await ask(numberMembers, [], ms);
  const { id, name, shards, createdAt, keyCheck, apart } = cluster;
  await ask(
    "INSERT INTO cluster (format, id, name, shards, created_at, key_check, apart) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    [mark, id, name, shards, createdAt, keyCheck ? Buffer.from(keyCheck) : null, apart ? JSON.stringify(apart) : null],
    ms,
  );
  await ask("INSERT INTO head SELECT n, 1, 0, 0, 1 FROM generate_series(0, $1::int - 1) AS n", [shards], ms);
  await ask("COMMIT", [], ms);
}

/** The mark of the restoration that is under way in this schema, if one is. */
async function markOf(ask: Link["ask"], schema: string, ms: Millis): Promise<number | undefined> {
  const [there] = await ask("SELECT 1 FROM pg_tables WHERE schemaname = $1 AND tablename = 'cluster'", [schema], ms);
  if (!there) return undefined;
  const [row] = await ask<{ format: unknown }>("SELECT format FROM cluster", [], ms);
  return typeof row?.format === "number" && row.format >= leastMark ? row.format : undefined;
}

const dropTables = (ask: Link["ask"], ms: Millis): Promise<unknown> => ask(`DROP TABLE ${names.join(", ")}`, [], ms);

/** Takes away what a restoration has made, unless another has taken its place: then it rejects IN_USE. */
export async function dropRestoration({ ask }: Link, schema: string, mark: number, ms: Millis): Promise<void> {
  await ask("BEGIN", [], ms);
  await ask("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [`sheaf ${schema}`], ms);
  if ((await markOf(ask, schema, ms)) !== mark) throw replaced();
  await dropTables(ask, ms);
  await ask("COMMIT", [], ms);
}

export const replaced = (): SheafError => new SheafError("IN_USE", "another restoration has taken this one's place");

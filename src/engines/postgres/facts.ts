// What `doctor` and `status` show of a PostgreSQL engine.

import type { Address } from "./address.ts";
import type { Lane } from "./lane.ts";

const facts = `SELECT current_setting('server_version') AS version, current_setting('fsync') AS fsync,
  current_setting('full_page_writes') AS "fullPageWrites", current_setting('synchronous_commit') AS "synchronousCommit",
  current_setting('synchronous_standby_names') AS "synchronousStandbys", current_setting('data_checksums') AS "dataChecksums",
  (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS "clockMs",
  current_setting('max_connections')::int AS "maxConnections",
  (SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database()) AS connections,
  (SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'sheaf')
    AS "connectionsOfSheaf",
  coalesce((SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relkind = 'r'), 0)::float8 AS bytes,
  coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS tls`;
/** A commit that writes to the log and nowhere else. */
const probe = { name: "probe", text: "SELECT pg_logical_emit_message(true, 'sheaf', '')" };
const probes = 9;

/** As `Engine.describe`. `commitMs` is the median of a few commits, the way there and back included. */
export async function describe(
  lane: Lane,
  { shown, schema }: Address,
): Promise<Readonly<Record<string, string | number | boolean>>> {
  const [row] = await lane.ask<Record<string, string | number | boolean>>(facts, [schema]);
  const spans: number[] = [];
  for (let i = 0; i < probes; i++) {
    const from = performance.now();
    await lane.ask(probe, []);
    spans.push(performance.now() - from);
  }
  const commitMs = Number(spans.sort((a, b) => a - b)[probes >> 1]?.toFixed(3));
  return { server: shown, schema, ...row, commitMs };
}

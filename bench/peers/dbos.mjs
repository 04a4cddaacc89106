// DBOS on PostgreSQL: a durable workflow of one step that updates a row, called over HTTP as its users would.

import { createServer } from "node:http";
import { once } from "node:events";
import { DBOS } from "@dbos-inc/dbos-sdk";
import pg from "pg";
import { httpCalls } from "./http-calls.mjs";
import { keyOf, keys } from "./keys.mjs";

export async function serve(url) {
  const pool = new pg.Pool({ connectionString: url, max: 20 });
  await pool.query("CREATE TABLE counter (key text PRIMARY KEY, total bigint NOT NULL, memo text)");
  await pool.query("INSERT INTO counter SELECT 'k' || n, 0, '' FROM generate_series(0, $1::int) n", [keys - 1]);
  DBOS.setConfig({ name: "bench", systemDatabaseUrl: url, logLevel: "error" });
  const text = "UPDATE counter SET total = total + $2 WHERE key = $1 RETURNING total";
  const add = DBOS.registerWorkflow(
    async (key, by) =>
      DBOS.runStep(async () => (await pool.query({ name: "add", text, values: [key, by] })).rows[0].total, {
        name: "add",
      }),
    { name: "add" },
  );
  await DBOS.launch();
  const server = createServer((request, response) => {
    request.resume();
    add(decodeURIComponent(request.url.slice(1)), 1).then(
      (total) => response.end(JSON.stringify({ total })),
      (error) => response.writeHead(500).end(String(error)),
    );
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return `http://127.0.0.1:${server.address().port}`;
}

export const open = async (url) => httpCalls(url, (n) => `/${keyOf(n)}`, { by: 1 });

// A plain table on PostgreSQL: one UPDATE … RETURNING for each command, over a pool of 20 connections.

import pg from "pg";
import { keyOf, keys } from "./keys.mjs";

export async function serve(url) {
  const pool = new pg.Pool({ connectionString: url, max: 1 });
  await pool.query("CREATE TABLE counter (key text PRIMARY KEY, total bigint NOT NULL, memo text)");
  await pool.query("INSERT INTO counter SELECT 'k' || n, 0, '' FROM generate_series(0, $1::int) n", [keys - 1]);
  await pool.end();
  return url;
}

export async function open(url) {
  const pool = new pg.Pool({ connectionString: url, max: 20 });
  const text = "UPDATE counter SET total = total + 1, memo = $2 WHERE key = $1 RETURNING total";
  const memo = "x".repeat(80);
  return { once: (n) => pool.query({ name: "add", text, values: [keyOf(n), memo] }), close: () => pool.end() };
}

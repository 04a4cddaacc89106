// The registry: one unlogged table. A crash of the server empties it, and members write themselves in again.
//
// Each put is numbered, in `told`. The last number is in the row of `counter`, which is no key: who puts holds that row's lock
// until the put is seen, so that no number is seen before a lower one. Its value is drawn by lot when it is made: numbers of a
// table that was emptied since mean nothing.

import { SheafError } from "../../base/index.ts";
import { checkRegistryEntry, checkRegistryKey, type Registry } from "../../journal/index.ts";
import type { Identity } from "./identity.ts";
import type { Lane } from "./lane.ts";
import type { Statement, Value } from "./link.ts";
import { numberMembers } from "./tables.ts";

const counter = "#";
const put: Statement = {
  name: "put-member",
  text: `WITH next AS (INSERT INTO member (key, value, told)
      SELECT '${counter}', decode(replace(gen_random_uuid()::text, '-', ''), 'hex'), 1 WHERE EXISTS (SELECT FROM cluster WHERE id = $3)
      ON CONFLICT (key) DO UPDATE SET told = member.told + 1 RETURNING told)
    INSERT INTO member (key, value, told) SELECT $1::text, $2::bytea, told FROM next
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, told = excluded.told`,
};
const renew: Statement = {
  name: "renew-member",
  text: "UPDATE member SET value = $2 WHERE key = $1 AND EXISTS (SELECT FROM cluster WHERE id = $3)",
};
const remove: Statement = {
  name: "delete-member",
  text: "DELETE FROM member WHERE key = $1 AND EXISTS (SELECT FROM cluster WHERE id = $2)",
};
const list: Statement = {
  name: "list-members",
  text: `SELECT (SELECT id FROM cluster) AS cluster, key, value FROM (VALUES (1)) AS one
    LEFT JOIN member ON key <> '${counter}'`,
};
const look: Statement = {
  name: "look-at-members",
  text: `SELECT (SELECT id FROM cluster) AS cluster, key, value, told FROM (VALUES (1)) AS one
    LEFT JOIN member ON told > $1::bigint OR key = '${counter}' OR key = ANY ($2::text[])`,
};

type Row = { readonly cluster: string | null; readonly key: string | null; readonly value: Uint8Array };
type Seen = Row & { readonly key: string; readonly told: string };

/** PostgreSQL's code for a column that is not there. */
const noColumn = "42703";

export function tableRegistry(lane: Lane, identity: Identity): Registry {
  const asked = async <Row>(statement: Statement, values: readonly Value[]): Promise<readonly Row[]> => {
    try {
      return await lane.ask<Row>(statement, values);
    } catch (error) {
      throw identity.blame(error);
    }
  };
  /** A schema of an earlier build is given what numbers the puts. */
  const ask = async <Row>(statement: Statement, values: readonly Value[]): Promise<readonly Row[]> => {
    try {
      return await asked<Row>(statement, values);
    } catch (error) {
      if (!isMissingColumn(error)) throw error;
      await asked({ name: "number-members", text: numberMembers }, []);
      return asked<Row>(statement, values);
    }
  };
  const write = async (statement: Statement, key: string, value: Uint8Array): Promise<void> => {
    checkRegistryEntry(key, value);
    await ask(statement, [key, Buffer.from(value), (await identity.known()).id]);
  };
  const seen = async (from: number, keys: readonly string[]): Promise<readonly Seen[]> => {
    const rows = await ask<Seen>(look, [String(from), `{${keys.map((key) => `"${key}"`).join()}}`]);
    identity.check(rows[0]?.cluster);
    return rows.filter(({ key }) => key !== null);
  };
  return {
    put: (key, value) => write(put, key, value),
    renew: (key, value) => write(renew, key, value),
    async delete(key) {
      checkRegistryKey(key);
      await ask(remove, [key, (await identity.known()).id]);
    },
    async list() {
      await identity.known();
      const rows = await ask<Row>(list, []);
      identity.check(rows[0]?.cluster);
      return new Map(rows.flatMap(({ key, value }) => (key === null ? [] : [[key, new Uint8Array(value)] as const])));
    },
    async look(since, keys) {
      keys.forEach(checkRegistryKey);
      await identity.known();
      const [table, number] = (since ?? "").split(".");
      let from = /^\d+$/.test(number ?? "") ? Number(number) : -1;
      let rows = await seen(from, keys);
      let last = rows.find(({ key }) => key === counter);
      const name = (row: Seen | undefined): string => (row ? Buffer.from(row.value).toString("hex") : "");
      if (from >= 0 && name(last) !== table) {
        [from, rows] = [-1, await seen(-1, keys)];
        last = rows.find(({ key }) => key === counter);
      }
      const wanted = new Set(keys);
      const values = (some: readonly Seen[]): Map<string, Uint8Array> =>
        new Map(some.flatMap(({ key, value }) => (key === counter ? [] : [[key, new Uint8Array(value)] as const])));
      return {
        cursor: `${name(last)}.${last?.told ?? 0}`,
        told: values(rows.filter(({ told }) => Number(told) > from)),
        found: values(rows.filter(({ key }) => wanted.has(key))),
      };
    },
  };
}

const isMissingColumn = (error: unknown): boolean =>
  error instanceof SheafError && (error.cause as { code?: unknown } | undefined)?.code === noColumn;

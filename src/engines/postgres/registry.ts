// The registry: one unlogged table. A crash of the server empties it, and members write themselves in again.

import { SheafError } from "../../base/index.ts";
import type { Registry } from "../../journal/index.ts";
import type { Identity } from "./identity.ts";
import type { Lane } from "./lane.ts";
import type { Statement, Value } from "./link.ts";

const maxValueBytes = 8 * 1024;

const put: Statement = {
  name: "put-member",
  text: `INSERT INTO member (key, value) SELECT $1::text, $2::bytea WHERE EXISTS (SELECT FROM cluster WHERE id = $3)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
};
const remove: Statement = {
  name: "delete-member",
  text: "DELETE FROM member WHERE key = $1 AND EXISTS (SELECT FROM cluster WHERE id = $2)",
};
const list: Statement = {
  name: "list-members",
  text: `SELECT (SELECT id FROM cluster) AS cluster, key, value FROM (VALUES (1)) AS one LEFT JOIN member ON true`,
};

type Row = { readonly cluster: string | null; readonly key: string | null; readonly value: Uint8Array };

export function tableRegistry(lane: Lane, identity: Identity): Registry {
  const ask = async <Row>(statement: Statement, values: readonly Value[]): Promise<readonly Row[]> => {
    try {
      return await lane.ask<Row>(statement, values);
    } catch (error) {
      throw identity.blame(error);
    }
  };
  return {
    async put(key, value) {
      checkKey(key);
      if (value.length > maxValueBytes)
        throw new SheafError("TOO_LARGE", `a value of ${value.length} bytes is over ${maxValueBytes}`);
      await ask(put, [key, Buffer.from(value), (await identity.known()).id]);
    },
    async delete(key) {
      checkKey(key);
      await ask(remove, [key, (await identity.known()).id]);
    },
    async list() {
      await identity.known();
      const rows = await ask<Row>(list, []);
      identity.check(rows[0]?.cluster);
      return new Map(rows.flatMap(({ key, value }) => (key === null ? [] : [[key, new Uint8Array(value)] as const])));
    },
  };
}

function checkKey(key: string): void {
  if (!/^[a-z0-9._-]{1,200}$/.test(key)) throw new SheafError("BAD_INPUT", "a key is 1 to 200 of a-z, 0-9, . _ and -");
}

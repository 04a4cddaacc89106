// Snapshots as rows. Chunks are put one by one under a number of their own; the last statement makes them a snapshot, and
// takes an older one of the same name away, at once. What never came to that is swept an hour later.

import { SheafError } from "../../base/index.ts";
import type { SnapshotName, Snapshots } from "../../journal/index.ts";
import type { Identity } from "./identity.ts";
import type { Lane } from "./lane.ts";
import type { Statement, Value } from "./link.ts";

/** Most bytes in one row: what one statement carries. */
const partBytes = 1024 * 1024;

const isNamed = "shard = $1 AND generation = $2 AND epoch = $3 AND seq = $4 AND hash = $5";
const statement = (name: string, text: string): Statement => ({ name, text });

const begin = statement(
  "begin-put",
  `WITH swept AS (DELETE FROM snapshot WHERE chunks IS NULL AND begun < now() - interval '1 hour')
    INSERT INTO snapshot (shard, generation, epoch, seq, hash)
    SELECT $1::int4, $2::int8, $3::int8, $4::int8, $5::text WHERE EXISTS (SELECT FROM cluster WHERE id = $6) RETURNING put`,
);
const add = statement("put-chunk", "INSERT INTO chunk (put, number, part, bytes) VALUES ($1, $2, $3, $4)");
const finish = statement(
  "finish-put",
  `WITH older AS (DELETE FROM snapshot WHERE ${isNamed} AND chunks IS NOT NULL AND put <> $6)
    UPDATE snapshot SET chunks = $7 WHERE put = $6 RETURNING put`,
);
const abandon = statement("abandon-put", "DELETE FROM snapshot WHERE put = $1");
const find = statement(
  "find-snapshot",
  `SELECT put, chunks FROM snapshot WHERE ${isNamed} AND chunks IS NOT NULL ORDER BY put DESC LIMIT 1`,
);
const take = statement("get-chunk", "SELECT bytes FROM chunk WHERE put = $1 AND number = $2 ORDER BY part");
const list = statement(
  "list-snapshots",
  `SELECT DISTINCT generation, seq, epoch, hash FROM snapshot WHERE shard = $1 AND chunks IS NOT NULL
    ORDER BY generation DESC, seq DESC, epoch DESC, hash`,
);
const remove = statement("delete-snapshot", `DELETE FROM snapshot WHERE ${isNamed} AND chunks IS NOT NULL`);

const keyOf = ({ shard, generation, epoch, seq, hash }: SnapshotName): readonly Value[] => [
  shard,
  generation,
  epoch,
  seq,
  hash,
];

export function tableSnapshots(lane: Lane, identity: Identity): Snapshots {
  const ask = async <Row>(what: Statement, values: readonly Value[]): Promise<readonly Row[]> => {
    try {
      return await lane.ask<Row>(what, values);
    } catch (error) {
      throw identity.blame(error);
    }
  };
  const gone = ({ shard, seq }: SnapshotName): SheafError =>
    new SheafError("NOT_FOUND", `there is no such snapshot of shard ${shard} at ${seq}`);

  async function putChunks(put: string, chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<number> {
    let number = 0;
    for await (const chunk of chunks) {
      for (let at = 0, part = 0; part === 0 || at < chunk.length; at += partBytes, part++)
        await ask(add, [put, number, part, Buffer.from(chunk.subarray(at, at + partBytes))]);
      number++;
    }
    return number;
  }

  return {
    async put(name, chunks) {
      const { id } = await identity.known();
      const [begun] = await ask<{ put: string }>(begin, [...keyOf(name), id]);
      if (!begun) return identity.check(undefined);
      try {
        const count = await putChunks(begun.put, chunks);
        const [finished] = await ask(finish, [...keyOf(name), begun.put, count]);
        if (!finished) throw new SheafError("ENGINE_UNAVAILABLE", "the snapshot took over an hour to put");
      } catch (error) {
        await ask(abandon, [begun.put]).catch(() => {}); // Swept later.
        throw error;
      }
    },
    async *get(name) {
      const [found] = await ask<{ put: string; chunks: number }>(find, keyOf(name));
      if (!found) throw gone(name);
      for (let number = 0; number < found.chunks; number++) {
        const parts = await ask<{ bytes: Uint8Array }>(take, [found.put, number]);
        if (parts.length === 0) throw gone(name); // Replaced or deleted meanwhile.
        yield new Uint8Array(Buffer.concat(parts.map(({ bytes }) => bytes)));
      }
    },
    async list(shard) {
      type Row = { generation: string; seq: string; epoch: string; hash: string };
      const rows = await ask<Row>(list, [shard]);
      return rows.map(({ generation, seq, epoch, hash }) => ({
        shard,
        generation: Number(generation),
        epoch: Number(epoch),
        seq: Number(seq),
        hash,
      }));
    },
    async delete(name) {
      await ask(remove, keyOf(name));
    },
  };
}

// Appends: one statement for all shards of a flush.
//
// A1. The head row of a shard is what fences: it is moved only from exactly the generation and sequence that the append
//     expects, and to no lower epoch. The record is inserted for the rows that moved, in the same transaction.
// A2. Rows are locked in the order of shards before any is moved, so that statements that meet cannot deadlock. One that had
//     to wait looks at the row again as it then is (READ COMMITTED); the moved row was locked so, and cannot change.
// A3. Nothing moves in a cluster other than the one that this engine has identified.

import { SheafError } from "../../base/index.ts";
import type { Append, AppendResult } from "../../journal/index.ts";
import { byteaArray, int4Array, int8Array } from "./arrays.ts";
import type { Announcer } from "./growth.ts";
import type { Identity } from "./identity.ts";
import type { Lane } from "./lane.ts";
import type { Statement } from "./link.ts";

/** Most bytes of records in one statement, but for a single larger record. */
const statementBytes = 32 * 1024 * 1024;

const statement: Statement = {
  name: "append",
  text: `
    WITH asked AS MATERIALIZED (
      SELECT * FROM unnest($2::int4[], $3::int8[], $4::int8[], $5::int8[])
        WITH ORDINALITY AS a (shard, generation, epoch, expected, n)
      WHERE EXISTS (SELECT FROM cluster WHERE id = $1)
    ), locked AS MATERIALIZED (
      SELECT h.shard FROM head h JOIN asked a USING (shard)
      WHERE h.generation = a.generation AND h.seq = a.expected AND h.epoch <= a.epoch
      ORDER BY h.shard FOR NO KEY UPDATE OF h
    ), moved AS (
      UPDATE head h SET seq = a.expected + 1, epoch = a.epoch FROM asked a JOIN locked USING (shard)
      WHERE h.shard = a.shard AND h.generation = a.generation AND h.seq = a.expected AND h.epoch <= a.epoch
      RETURNING h.shard, h.seq, h.epoch, a.n
    ), stored AS (
      INSERT INTO record (shard, seq, epoch, record)
      SELECT shard, seq, epoch, ($6::bytea[])[n] FROM moved RETURNING shard
    )
    SELECT (SELECT id FROM cluster) AS cluster, (SELECT string_agg(shard::text, ',') FROM stored) AS shards`,
};

type Answer = { readonly cluster: string | null; readonly shards: string | null };

export type AppenderOptions = {
  readonly lanes: readonly Lane[];
  readonly identity: Identity;
  readonly maxRecordBytes: number;
  readonly announcer: Announcer;
};

export function appender(options: AppenderOptions): (batch: readonly Append[]) => Promise<readonly AppendResult[]> {
  const { lanes, identity, maxRecordBytes, announcer } = options;
  const quietest = (): Lane => lanes.reduce((best, lane) => (lane.waiting() < best.waiting() ? lane : best));

  async function store(group: readonly Append[]): Promise<ReadonlySet<number>> {
    const { id } = await identity.known();
    const lane = quietest();
    const shards = group.map(({ shard }) => shard);
    const answered = lane.ask<Answer>(statement, [
      id,
      int4Array(shards),
      int8Array(group.map(({ generation }) => generation)),
      int8Array(group.map(({ epoch }) => epoch)),
      int8Array(group.map(({ expected }) => expected)),
      byteaArray(group.map(({ record }) => record)),
    ]);
    const isAnnounced = announcer.sent(lane, shards);
    const [answer] = await answered;
    identity.check(answer?.cluster);
    const stored = new Set(answer?.shards?.split(",").map(Number));
    if (!isAnnounced && stored.size > 0) announcer.stored([...stored]);
    return stored;
  }

  async function send(group: readonly Append[]): Promise<readonly AppendResult[]> {
    try {
      const stored = await store(group);
      return group.map(({ shard }) => ({ kind: stored.has(shard) ? "durable" : "fenced" }));
    } catch (thrown) {
      const error = identity.blame(thrown);
      // A shard with records above its head spoils the statement, not its neighbours: alone, it is refused alone.
      if (error.code === "CORRUPT" && error.outcome === "not-applied" && group.length > 1)
        return (await Promise.all(group.map((one) => send([one])))).flat();
      return group.map(() => ({ kind: error.outcome === "not-applied" ? "refused" : "unknown", error }));
    }
  }

  return async (batch) => {
    const results = new Map<Append, AppendResult>();
    const fits: Append[] = [];
    for (const one of batch) {
      if (one.record.length <= maxRecordBytes) fits.push(one);
      else results.set(one, { kind: "refused", error: tooLarge(one, maxRecordBytes) });
    }
    await Promise.all(
      groupsOf(fits).map(async (group) => {
        const answers = await send(group);
        for (const [i, one] of group.entries()) results.set(one, answers[i] as AppendResult);
      }),
    );
    return batch.map((one) => results.get(one) as AppendResult);
  };
}

function groupsOf(batch: readonly Append[]): readonly (readonly Append[])[] {
  const groups: Append[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const one of batch) {
    bytes += one.record.length;
    if (bytes > statementBytes) {
      groups.push([]);
      bytes = one.record.length;
    }
    groups.at(-1)?.push(one);
  }
  return groups;
}

const tooLarge = ({ shard, record }: Append, max: number): SheafError =>
  new SheafError("TOO_LARGE", `the record of shard ${shard} has ${record.length} bytes; the engine takes ${max}`);

// Filling an empty schema with a cluster that was kept elsewhere. The cluster's row bears a mark in place of its format until
// all is there; each statement asks whether the mark is still its own.

import { randomInt } from "node:crypto";
import { type Millis, SheafError } from "../../base/index.ts";
import type { Cluster, Restoration } from "../../journal/index.ts";
import { byteaArray, int8Array } from "./arrays.ts";
import type { Identity } from "./identity.ts";
import type { Lane } from "./lane.ts";
import type { Link, Statement } from "./link.ts";
import { asStatementError } from "./pg-error.ts";
import { tableSnapshots } from "./snapshots.ts";
import { createCluster, dropRestoration, format, leastMark, replaced } from "./tables.ts";

/** $1 mark, $2 shard, $3 generation, $4 and $5 first and last sequence, $6 epochs, $7 records. */
const load: Statement = {
  name: "load",
  text: `
    WITH moved AS (
      UPDATE head SET generation = $3::int8, seq = $5::int8, epoch = ($6::int8[])[array_upper($6::int8[], 1)],
        first = CASE WHEN seq = 0 THEN $4::int8 ELSE first END
      WHERE shard = $2::int4 AND (seq = 0 OR seq = $4::int8 - 1) AND EXISTS (SELECT FROM cluster WHERE format = $1::int4)
      RETURNING shard
    ), stored AS (
      INSERT INTO record (shard, seq, epoch, record)
      SELECT shard, $4::int8 + n - 1, e, r
      FROM moved, unnest($6::int8[], $7::bytea[]) WITH ORDINALITY AS a (e, r, n) RETURNING shard
    )
    SELECT (SELECT format FROM cluster) AS mark, (SELECT count(*)::int FROM stored) AS count`,
};
const finish: Statement = {
  name: "finish-restoration",
  text: "UPDATE cluster SET format = $2::int4 WHERE format = $1::int4 RETURNING id",
};

export type RestorationOptions = {
  readonly lane: Lane;
  readonly schema: string;
  readonly patienceMs: Millis;
  /** A connection for one transaction. */
  readonly apart: <T>(act: (link: Link) => Promise<T>) => Promise<T>;
  /** Called when the cluster is there. */
  readonly onFinished: () => Promise<unknown>;
};

/** As `Engine.restore`. */
export async function beginRestoration(
  { lane, schema, patienceMs, apart, onFinished }: RestorationOptions,
  cluster: Cluster,
  again: boolean,
): Promise<Restoration> {
  const mark = randomInt(leastMark, 2 ** 31);
  await apart((link) => createCluster(link, schema, cluster, patienceMs, { mark, again }));
  let over = false;
  const identity: Identity = {
    known: () => (over ? Promise.reject(replaced()) : Promise.resolve(cluster)),
    identify: () => Promise.resolve(cluster),
    check: () => {},
    blame: asStatementError,
  };
  return {
    async load(shard, generation, entries) {
      const [first, last] = [entries[0], entries.at(-1)];
      if (!first || !last) return;
      const broken = entries.findIndex(({ seq }, i) => seq !== first.seq + i);
      if (broken >= 0) throw unfit(shard, first.seq + broken);
      const epochs = int8Array(entries.map(({ epoch }) => epoch));
      const records = byteaArray(entries.map(({ record }) => record));
      const values = [mark, shard, generation, first.seq, last.seq, epochs, records];
      const [answer] = await lane.ask<{ mark: number | null; count: number }>(load, values);
      if (answer?.mark !== mark) throw replaced();
      if (answer.count !== entries.length) throw unfit(shard, first.seq);
    },
    put: tableSnapshots(lane, identity).put,
    async finish() {
      const [done] = await lane.ask(finish, [mark, format]);
      if (!done) throw replaced();
      over = true;
      await onFinished();
    },
    async abandon() {
      await apart((link) => dropRestoration(link, schema, mark, patienceMs));
      over = true;
    },
  };
}

const unfit = (shard: number, seq: number): SheafError =>
  new SheafError("CORRUPT", `record ${seq} of shard ${shard} does not follow what was restored before it`);

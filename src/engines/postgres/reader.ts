// Looking at journals: heads, and pages of records. One statement each, so that what it shows is of one moment.

import { SheafError, type Seq, type Shard } from "../../base/index.ts";
import type { Entry, Head, Page } from "../../journal/index.ts";
import { int4Array, int8Array } from "./arrays.ts";
import type { Identity } from "./identity.ts";
import type { Lane } from "./lane.ts";
import type { Statement } from "./link.ts";

const pageBytes = 8 * 1024 * 1024;

/** On a sole primary a new look is linearizable. Where there are standbys that commits wait for, one of them may have
 *  been made the primary meanwhile: then only a look that commits something, and so hears from a standby, is. */
const barrierStatement: Statement = {
  name: "barrier",
  text: `
    WITH written AS MATERIALIZED (
      SELECT CASE WHEN current_setting('synchronous_standby_names') <> ''
        THEN pg_logical_emit_message(true, 'sheaf', '') END
    )
    SELECT (SELECT id FROM cluster) AS cluster, pg_is_in_recovery() AS standby, (SELECT count(*) FROM written),
      a.shard, h.generation, h.epoch, h.seq
    FROM unnest($1::int4[]) WITH ORDINALITY AS a (shard, n) LEFT JOIN head h USING (shard) ORDER BY a.n`,
};

/** $3: most entries of one shard. $4: only shards with news. Entries are contiguous, so a limit is a range. OFFSET 0 keeps the
 *  server from joining what it would have to read whole: each shard is looked up by itself. */
const pagesStatement: Statement = {
  name: "pages",
  text: `
    SELECT (SELECT id FROM cluster) AS cluster, * FROM (
      SELECT a.n, a.shard, h.generation, h.epoch AS head_epoch, h.seq AS head, h.first, r.seq, r.epoch, r.record,
        coalesce(octet_length(r.record), 0) AS size,
        sum(coalesce(octet_length(r.record), 0)) OVER (ORDER BY a.n, r.seq ROWS UNBOUNDED PRECEDING) AS total
      FROM unnest($1::int4[], $2::int8[]) WITH ORDINALITY AS a (shard, start, n)
      LEFT JOIN head h USING (shard)
      LEFT JOIN LATERAL (
        SELECT seq, epoch, record FROM record
        WHERE shard = a.shard AND seq BETWEEN greatest(a.start, h.first) AND least(greatest(a.start, h.first) + $3::int8 - 1, h.seq)
        OFFSET 0
      ) r ON true
      WHERE NOT $4::bool OR h.seq IS NULL OR h.seq >= a.start OR h.seq < a.start - 1 OR h.first > a.start
    ) AS found
    WHERE total <= ${pageBytes} OR total = size
    ORDER BY n, seq`,
};

type HeadRow = {
  readonly cluster: string | null;
  readonly standby: boolean;
  readonly shard: number;
  readonly generation: string | null;
  readonly epoch: string;
  readonly seq: string;
};
type PageRow = {
  readonly cluster: string | null;
  readonly n: string;
  readonly shard: number;
  readonly generation: string | null;
  readonly head_epoch: string;
  readonly head: string;
  readonly first: string;
  readonly seq: string | null;
  readonly epoch: string;
  readonly record: Uint8Array;
};

export type Reader = {
  heads(shards: readonly Shard[]): Promise<readonly Head[]>;
  page(shard: Shard, from: Seq, limit: number): Promise<Page>;
  pages(asks: readonly { readonly shard: Shard; readonly from: Seq }[], limit: number): Promise<readonly Page[]>;
};

/** `looks` is for what must be quick, `bulk` for pages. */
export function reader(looks: Lane, bulk: Lane, identity: Identity): Reader {
  const ask = async <Row extends { readonly cluster: string | null }>(
    lane: Lane,
    statement: Statement,
    values: readonly (Buffer | number | boolean)[],
  ): Promise<readonly Row[]> => {
    await identity.known();
    try {
      const rows = await lane.ask<Row>(statement, values);
      if (rows[0]) identity.check(rows[0].cluster);
      return rows;
    } catch (error) {
      throw identity.blame(error);
    }
  };
  const rowsOf = (
    asks: readonly { readonly shard: Shard; readonly from: Seq }[],
    limit: number,
    newsOnly: boolean,
  ): Promise<readonly PageRow[]> =>
    ask<PageRow>(bulk, pagesStatement, [
      int4Array(asks.map(({ shard }) => shard)),
      int8Array(asks.map(({ from }) => from)),
      limit,
      newsOnly,
    ]);

  return {
    async heads(shards) {
      if (shards.length === 0) return [];
      const rows = await ask<HeadRow>(looks, barrierStatement, [int4Array(shards)]);
      if (rows[0]?.standby) throw new SheafError("ENGINE_UNAVAILABLE", "this PostgreSQL server is a standby");
      return rows.map(({ shard, generation, epoch, seq }) => headOf(shard, generation, epoch, seq));
    },
    async page(shard, from, limit) {
      const page = pageOf(await rowsOf([{ shard, from }], limit, false));
      checkContiguous(page, from, limit);
      return page;
    },
    async pages(asks, limit) {
      if (asks.length === 0) return [];
      const rows = await rowsOf(asks, limit, true);
      // A shard whose head is missing spoils only its own page: it looks fallen, and `heads` says what it is.
      const none = { generation: "1", head_epoch: "0", head: "0", first: "1" };
      const whole = rows.map((row) => (row.generation === null ? { ...row, ...none } : row));
      return [...Map.groupBy(whole, ({ n }) => n).values()].map(pageOf);
    },
  };
}

function headOf(shard: Shard, generation: string | null, epoch: string, seq: string): Head {
  if (generation !== null) return { shard, generation: Number(generation), epoch: Number(epoch), seq: Number(seq) };
  throw lost(shard, "its head is missing");
}

function pageOf(rows: readonly PageRow[]): Page {
  const { shard, generation, head_epoch, head, first } = rows[0] as PageRow;
  const entries = rows.flatMap(({ seq, epoch, record }): readonly Entry[] =>
    seq === null ? [] : [{ shard, seq: Number(seq), epoch: Number(epoch), record: plain(record) }],
  );
  return { entries, first: Number(first), head: headOf(shard, generation, head_epoch, head) };
}

const plain = ({ buffer, byteOffset, length }: Uint8Array): Uint8Array => new Uint8Array(buffer, byteOffset, length);

/** A page may end early, but not begin late, skip or be empty below the head. */
function checkContiguous({ entries, first, head }: Page, from: Seq, limit: number): void {
  const start = Math.max(from, first);
  if (limit > 0 && entries.length === 0 && start <= head.seq) throw lost(head.shard, `record ${start} is missing`);
  for (const [i, { seq }] of entries.entries())
    if (seq !== start + i) throw lost(head.shard, `record ${start + i} is missing`);
}

const lost = (shard: Shard, what: string): SheafError =>
  new SheafError("CORRUPT", `the journal of shard ${shard} is damaged: ${what}`, {
    hint: "restore the database from a backup",
  });

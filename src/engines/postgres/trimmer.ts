// Trims a journal: raises the floor in its head row first, so that what is below counts as trimmed from then on, and then
// deletes below it in slices, each short enough to stay out of anybody's way. What a crash leaves, the next trim deletes.

import type { Seq, Shard } from "../../base/index.ts";
import type { Identity } from "./identity.ts";
import type { Lane } from "./lane.ts";
import type { Statement } from "./link.ts";

const sliceRows = 1000;

const raise: Statement = {
  name: "raise",
  text: `UPDATE head SET first = least($2::int8 + 1, seq)
    WHERE shard = $1 AND first < least($2::int8 + 1, seq) AND EXISTS (SELECT FROM cluster WHERE id = $3)`,
};
const slice: Statement = {
  name: "trim",
  text: `WITH below AS (
      SELECT r.seq FROM record r WHERE r.shard = $1 AND r.seq < (SELECT first FROM head WHERE shard = $1)
        AND EXISTS (SELECT FROM cluster WHERE id = $2)
      ORDER BY r.seq LIMIT ${sliceRows}
    ), gone AS (DELETE FROM record r USING below WHERE r.shard = $1 AND r.seq = below.seq RETURNING 1)
    SELECT count(*)::int AS count FROM gone`,
};

/** As `Engine.trim`. */
export function trimmer(lane: Lane, identity: Identity): (shard: Shard, through: Seq) => Promise<void> {
  return async (shard, through) => {
    const { id } = await identity.known();
    try {
      await lane.ask(raise, [shard, through, id]);
      for (;;) {
        const [deleted] = await lane.ask<{ count: number }>(slice, [shard, id]);
        if ((deleted?.count ?? 0) < sliceRows) return;
      }
    } catch (error) {
      throw identity.blame(error);
    }
  };
}

// What shards count.

import type { Counter, Histogram, Meter } from "../host/index.ts";
import type { AppendResult } from "../journal/index.ts";

export type Meters = {
  readonly appends: Readonly<Record<AppendResult["kind"], Counter>>;
  readonly appendSeconds: Histogram;
  readonly recordCommits: Histogram;
  readonly recordBytes: Counter;
  readonly barriers: Counter;
  readonly fenced: Counter;
  readonly quarantined: Counter;
  readonly snapshots: Counter;
};

export function shardMeters(meter: Meter): Meters {
  const appends = (result: AppendResult["kind"]): Counter =>
    meter.counter("sheaf_journal_appends_total", "Records sent to the engine, by how it answered.", { result });
  return {
    appends: {
      durable: appends("durable"),
      fenced: appends("fenced"),
      unknown: appends("unknown"),
      refused: appends("refused"),
    },
    appendSeconds: meter.histogram(
      "sheaf_journal_append_seconds",
      "Time from sending a batch of records to the engine's answer.",
    ),
    recordCommits: meter.histogram("sheaf_journal_record_commits", "Commits in one durable record."),
    recordBytes: meter.counter("sheaf_journal_written_bytes_total", "Bytes of durable records."),
    barriers: meter.counter(
      "sheaf_journal_barriers_total",
      "Barriers asked of the engine, each for any number of waiting reads.",
    ),
    fenced: meter.counter("sheaf_shard_fenced_total", "Times this node found that another owns a shard it served."),
    quarantined: meter.counter("sheaf_shard_quarantined_total", "Times a shard was quarantined."),
    snapshots: meter.counter("sheaf_shard_snapshots_total", "Snapshots written and verified."),
  };
}

// Tells what checking an engine or a backup has found.

import type { Finding, Report } from "../backup/index.ts";
import { sizeOf } from "./kept-engine.ts";
import { type Column, type Output, table } from "./output.ts";

const columns: readonly Column<Finding>[] = [
  { title: "shard", value: ({ shard }) => shard, align: "right" },
  { title: "where", value: ({ place }) => place, style: () => "red" },
  { title: "what", value: ({ says }) => says },
];

/** Returns the exit code: 6 when something was found. */
export function tellReport(
  output: Output,
  schema: string,
  { shards, findings, opened }: Report,
  facts: Readonly<Record<string, unknown>>,
): 0 | 6 {
  const total = (count: (shard: Report["shards"][number]) => number): number =>
    shards.reduce((sum, shard) => sum + count(shard), 0);
  const records = total((shard) => shard.records);
  const snapshots = total((shard) => shard.snapshots);
  const bytes = total((shard) => shard.bytes);
  output.one(schema, { ...facts, opened, findings, shards }, (paint) => {
    const read = `${shards.length} shards  ${records} records  ${snapshots} whole snapshots  ${sizeOf(bytes)} of records`;
    if (findings.length === 0) return `${paint("green", "✓")} nothing is damaged  ${read}`;
    const fixes = [...new Set(findings.map(({ fix }) => fix))];
    return `${table(findings, columns, output.terminal)}\n${paint("red", "✗")} ${findings.length} found  ${read}\n  ${fixes.join("\n  ")}`;
  });
  if (!opened)
    output.note("Without the key only hashes were looked at: --encryption-key-file also looks into the records.");
  return findings.length === 0 ? 0 : 6;
}

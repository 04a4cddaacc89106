// Reads whole journals as a stranger would and says what is wrong with them (PROMISES W11).
//
// A1. Records are contiguous, each names the hash of the one before it, and epochs do not fall once void ones are left out.
// A2. An operation took effect at most once.
// A3. Folding the journal gives the state that the cluster serves.
// A4. What commands have left is done once, in order (work-audit.ts): of journals that are there from their first record.

import type { Epoch, Seq, Shard, Version } from "../base/index.ts";
import {
  type Decoded,
  type Engine,
  follow,
  noTip,
  type RecordCodec,
  type SnapshotName,
  type Tip,
} from "../journal/index.ts";
import { toHex } from "../base/index.ts";
import { WorkAudit } from "./work-audit.ts";

/** What is left of one entity after folding: state as it was journaled. */
export type Folded = {
  readonly type: string;
  readonly key: string;
  readonly version: Version;
  readonly state: Uint8Array;
  readonly schema: number;
};

export type Audit = {
  readonly shard: Shard;
  /** Problems in words, none when all is well. */
  readonly problems: readonly string[];
  readonly records: number;
  /** Records that are part of the chain but were written by an owner that had been replaced. */
  readonly voided: number;
  readonly claims: number;
  readonly epoch: Epoch;
  readonly head: Seq;
  /** The newest state of every entity whose last commit the journal still holds; by "type key". */
  readonly entities: ReadonlyMap<string, Folded>;
  /** Undefined where records were trimmed before what is there. */
  readonly work: WorkAudit | undefined;
};

/** Reads `shard` from its first kept record to its head. */
export async function auditJournal(engine: Engine, codec: RecordCodec, shard: Shard): Promise<Audit> {
  const records: Decoded[] = [];
  const problems: string[] = [];
  let from = 1;
  for (;;) {
    const page = await engine.read(shard, from, 512);
    if (page.entries.length === 0) break;
    for (const { seq, record } of page.entries) {
      try {
        records.push(codec.decode(record, { shard, seq }));
      } catch (error) {
        problems.push(`shard ${shard}, record ${seq}: ${(error as Error).message}`);
      }
      from = seq + 1;
    }
  }
  const snapshots = await engine.snapshots.list(shard);
  return judgeRecords(shard, records, snapshots, problems);
}

/** The pure part: records in journal order, and the snapshots that stand for what was trimmed before them. */
export function judgeRecords(
  shard: Shard,
  records: readonly Decoded[],
  snapshots: readonly SnapshotName[] = [],
  found: readonly string[] = [],
): Audit {
  const problems = [...found];
  const entities = new Map<string, Folded>();
  const ops = new Map<string, Seq>();
  let tip = before(shard, records[0], snapshots, problems);
  const work = tip === noTip ? new WorkAudit(shard) : undefined;
  let voided = 0;
  let claims = 0;
  for (const record of records) {
    const { seq } = record.header;
    const verdict = follow(tip, record);
    if (verdict.kind === "corrupt") {
      problems.push(`shard ${shard}: ${verdict.why}`);
      tip = { ...record.header, hash: record.hash };
      continue;
    }
    tip = verdict.tip;
    if (verdict.kind === "void") voided++;
    else {
      if (record.payload.kind === "claim") claims++;
      work?.apply(record);
      if (record.payload.kind === "batch") foldBatch(shard, record, entities, ops, problems);
    }
    for (const snapshot of snapshots)
      if (snapshot.seq === seq && snapshot.hash !== toHex(record.hash))
        problems.push(`shard ${shard}: the snapshot at ${seq} is of another record`);
  }
  if (work) problems.push(...work.problems);
  return { shard, problems, records: records.length, voided, claims, epoch: tip.epoch, head: tip.seq, entities, work };
}

/** Where the chain stood before the first kept record: at the beginning, or at the place a trim left, which a snapshot must cover. */
function before(shard: Shard, first: Decoded | undefined, snapshots: readonly SnapshotName[], problems: string[]): Tip {
  if (first === undefined || first.header.seq === 1) return noTip;
  const { generation, epoch, seq, prev } = first.header;
  const covered = snapshots.some((snapshot) => snapshot.seq >= seq - 1);
  if (!covered) problems.push(`shard ${shard}: records before ${seq} were trimmed and no snapshot stands for them`);
  // The first record kept may be a void one: of what it is a part tells the snapshot that was taken there.
  const there = snapshots.filter((snapshot) => snapshot.seq === seq - 1 || snapshot.seq === seq);
  const highest = Math.max(epoch, ...there.map((snapshot) => snapshot.epoch));
  return { generation, epoch: highest, seq: seq - 1, hash: prev };
}

type Batch = Extract<Decoded["payload"], { readonly kind: "batch" }>;

function foldBatch(
  shard: Shard,
  record: Decoded,
  entities: Map<string, Folded>,
  ops: Map<string, Seq>,
  problems: string[],
): void {
  const { seq } = record.header;
  const versions = new Map<string, Version>();
  for (const commit of (record.payload as Batch).commits) {
    const { type, key, version, state, schema, op } = commit;
    const name = `${type} ${key}`;
    const last = versions.get(name) ?? entities.get(name)?.version;
    if (last !== undefined && version !== last + 1)
      problems.push(`shard ${shard}, record ${seq}: ${name} goes from version ${last} to ${version}`);
    versions.set(name, version);
    if (state !== undefined) entities.set(name, { type, key, version, state, schema });
    if (op === undefined) continue;
    const earlier = ops.get(op.id);
    if (earlier !== undefined)
      problems.push(`shard ${shard}: operation ${op.id} took effect at ${earlier} and again at ${seq}`);
    ops.set(op.id, seq);
  }
}

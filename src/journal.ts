// `sheaf/journal`: for authors of engines. What an engine must be, the errors it speaks, and the kit it must pass.

export {
  type Append,
  type AppendResult,
  type Cluster,
  type Engine,
  type EngineBed,
  engineContract,
  type Entry,
  type Head,
  type KitTools,
  type Page,
  type SnapshotName,
  type Snapshots,
} from "./journal/index.ts";
export {
  type Epoch,
  type ErrorCode,
  type ErrorDetail,
  type Generation,
  type Instant,
  type Seq,
  type Shard,
  SheafError,
} from "./base/index.ts";

// `sheaf/journal`: for authors of engines. What an engine must be, the errors it speaks, and the kit it must pass.

export {
  type Append,
  type AppendResult,
  type Ask,
  checkRegistryEntry,
  checkRegistryKey,
  type Cluster,
  type Engine,
  type EngineBed,
  engineContract,
  type Entry,
  hasNews,
  type Head,
  type KitTools,
  maxPageBytes,
  maxRegistryBytes,
  type Page,
  type Registry,
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

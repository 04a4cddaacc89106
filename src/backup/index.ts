export type { Folder } from "./folder.ts";
export { bytesOf, type KeptShard, type Manifest, readManifest, recordsOf } from "./manifest.ts";
export type { Progress, Work } from "./pool.ts";
export { checkBackup, checkEngine, type Finding, type Report, type ShardReport } from "./check.ts";
export { takeBackup, type TakeOptions } from "./take.ts";
export { type Restored, restoreBackup, type RestoreOptions } from "./restore.ts";

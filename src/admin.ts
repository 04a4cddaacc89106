// The door for operators' tools: the shapes that the admin API answers with.

export type { EntityView, HistoryItem, NodeStatus, Parked, ShardState, ShardStatus, Status } from "./admin/index.ts";

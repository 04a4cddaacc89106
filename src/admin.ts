// The door for operators' tools: the shapes that the admin API answers with.

export type {
  Backlog,
  EntityDetail,
  EntityView,
  HistoryItem,
  NodeStatus,
  Parked,
  ShardState,
  ShardStatus,
  Status,
  TaskDetail,
  TaskView,
} from "./admin/index.ts";

export type { Agenda } from "./agenda.ts";
export { eventMessage, eventOf } from "./event-message.ts";
export { type Outgoing, refOf, type Task, timerId, timerName, messageBytes } from "./task.ts";
export { hasInput, isJob, isJobType, isLeased, type Job, jobMessage, jobOf, jobTaskId, revival } from "./jobs.ts";
export {
  eventsWithin,
  type GroupPlace,
  type Logged,
  type LogsMemo,
  loggedBytes,
  loggedOf,
  isLogRow,
  logRows,
  type Logs,
} from "./logs.ts";
export { type Fold, type Hot, type Value } from "./fold.ts";
export { within } from "./pause.ts";
export type { Settle } from "./notes.ts";
export { commitBytes } from "./bytes.ts";
export type { Shard } from "./shard.ts";
export * from "./shards.ts";
export * from "./store.ts";
export * from "./store-memory.ts";

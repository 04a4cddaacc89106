// What is counted of messages and timers.

import type { Instant } from "../base/index.ts";
import type { Meter } from "../host/index.ts";
import type { Task } from "../shards/index.ts";

export type TaskMeters = {
  done(task: Task, now: Instant): void;
  failed(dead: boolean): void;
};

export function taskMeters(meter: Meter): TaskMeters {
  const done = (kind: string) => meter.counter("sheaf_tasks_done_total", "Messages and timers carried out.", { kind });
  const counts = { message: done("message"), timer: done("timer") };
  const failed = meter.counter("sheaf_task_failures_total", "Attempts at messages and timers that failed.");
  const dead = meter.counter("sheaf_dead_letters_total", "Messages and timers that were given up.");
  const late = meter.histogram("sheaf_timer_late_seconds", "From when a timer was due until it was carried out.");
  return {
    done(task, now) {
      if (task.kind !== "job") counts[task.kind].add();
      if (task.kind === "timer" && task.due !== undefined) late.record(Math.max(0, now - task.due) / 1000);
    },
    failed(isDead) {
      failed.add();
      if (isDead) dead.add();
    },
  };
}

// What is counted of jobs.

import type { Instant } from "../base/index.ts";
import type { Meter } from "../host/index.ts";
import type { Job } from "../shards/index.ts";

export type JobMeters = {
  done(job: Job, now: Instant): void;
  failed(dead: boolean): void;
};

export function jobMeters(meter: Meter): JobMeters {
  const done = meter.counter("sheaf_jobs_done_total", "Jobs of queues that were done.");
  const failed = meter.counter("sheaf_job_failures_total", "Attempts at jobs that failed.");
  const dead = meter.counter("sheaf_dead_jobs_total", "Jobs that were given up: dead letters.");
  const took = meter.histogram("sheaf_job_seconds", "From when a job was added until it was done.");
  return {
    done({ at }, now) {
      done.add();
      took.record(Math.max(0, now - at) / 1000);
    },
    failed(isDead) {
      failed.add();
      if (isDead) dead.add();
    },
  };
}

// On what terms the jobs of a queue are done, and what comes of one that failed.

import { type ErrorCode, type Limits, type Millis, type SheafError } from "../base/index.ts";
import { type CompiledApp, queueNamed, usualVisibilityMs, workName } from "../model/index.ts";
import type { Target } from "../rpc/index.ts";
import { isLeased, type Job } from "../shards/index.ts";
import type { Rate } from "./pace.ts";

export type Terms = {
  readonly attempts: number;
  readonly visibilityMs: Millis;
  readonly firstMs: Millis;
  readonly longestMs: Millis;
  /** Jobs that one node does at the same time; 0 where no worker does them. */
  readonly hands: number;
  /** Over the whole cluster; none for as fast as can be. */
  readonly rate?: Rate | undefined;
};

const usualHands = 64;
const longestPause: Millis = 60_000;

/** Undefined for a queue that the application here does not have. */
export function termsOf(app: CompiledApp, limits: Limits, type: string): Terms | undefined {
  const usual = { attempts: limits.maxAttempts, visibilityMs: usualVisibilityMs, firstMs: limits.retryMs };
  const name = queueNamed(type);
  if (name === undefined) return { ...usual, longestMs: longestPause, hands: usualHands };
  const queue = app.queues.get(name);
  if (!queue) return undefined;
  const { attempts, visibilityMs, retry, rate } = queue.contract;
  return {
    attempts: attempts ?? usual.attempts,
    visibilityMs: visibilityMs ?? usual.visibilityMs,
    firstMs: retry?.firstMs ?? usual.firstMs,
    longestMs: retry?.longestMs ?? longestPause,
    hands: queue.concurrency,
    rate,
  };
}

/** The service that does jobs of this type. */
export const serviceOf = (type: string): string =>
  queueNamed(type) === undefined ? type.slice("service ".length) : type;

export const targetOf = ({ type, command }: Job): Target => ({
  kind: "procedure",
  service: serviceOf(type),
  name: queueNamed(type) === undefined ? command : workName,
});

/** Until the next attempt, behind so many. */
export const pauseAfter = (attempts: number, { firstMs, longestMs }: Terms, random: number): Millis =>
  Math.min(longestMs, firstMs * 4 ** (attempts - 1)) * (0.75 + random / 2);

/** Whoever had it for the last time has not told what came of it. */
export const isExhausted = (job: Job, { attempts }: Terms): boolean => isLeased(job) && attemptsOf(job) >= attempts;

/** Those that count. */
export const attemptsOf = ({ attempts, job }: Job): number => attempts - (job.forgiven ?? 0);
export const goneCause = "CALL_LOST: the node that had it is gone";
/** It may be what ends nodes: it was under way at two that are gone, or more. */
export const isSuspect = (job: Job): boolean => job.cause === goneCause && attemptsOf(job) >= 2;
export const lostCause = "DEADLINE: nobody acknowledged it before its lease ended";

/** It will not fit any better next time. */
const final: ReadonlySet<ErrorCode> = new Set(["DECLARED", "BAD_INPUT", "TOO_LARGE"]);
/** Said by who has not begun, where nothing was applied. */
const unbegun: ReadonlySet<ErrorCode> = new Set([
  "OVERLOADED",
  "NOT_HOSTED",
  "NOT_READY",
  "NOT_OWNER",
  "STOPPING",
  "UNREACHABLE",
  "CALL_LOST",
  "CANCELLED",
  "DEADLINE",
  "UNKNOWN_TARGET",
]);
/** Whoever had it may have it still. */
const vanished: ReadonlySet<ErrorCode> = new Set([
  "CALL_LOST",
  "OUTCOME_UNKNOWN",
  "STOPPING",
  "UNREACHABLE",
  "CANCELLED",
]);

/** What a worker's refusal says of the attempt. `open`: nothing, so that the lease stands until it ends. */
export function verdictOn({ code, outcome }: SheafError): "unbegun" | "open" | "failed" | "final" {
  if (outcome === "not-applied" && unbegun.has(code)) return "unbegun";
  if (vanished.has(code)) return "open";
  return final.has(code) ? "final" : "failed";
}

export const causeOf = ({ code, message }: SheafError): string => `${code}: ${message}`.slice(0, 1024);

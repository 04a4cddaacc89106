// Every limit, on one page, with its reason. `checkLimits` refuses a set whose members do not fit each other.

import { SheafError } from "./errors.ts";

export const defaultLimits = {
  /** One entity's encoded state. A larger keyed thing is several entities. */
  maxStateBytes: 1024 * 1024,
  /** One request body or call frame: an input is never larger than a state, with room for its envelope. */
  maxRequestBytes: 1024 * 1024 + 64 * 1024,
  /** Commits gathered into one record stop here, so that a batch of large states stays one reasonable write. */
  maxBatchBytes: 4 * 1024 * 1024,
  maxBatchCommits: 4096,
  /** What an engine takes at most per record: one batch, one more state that did not fit, envelope. */
  maxRecordBytes: 8 * 1024 * 1024,
  /** Calls waiting for one entity. Past it, a caller is better off elsewhere than in line. */
  maxMailbox: 1024,
  /** Calls this node has accepted and not answered. */
  maxInFlight: 16_384,
  /** Work of commands that wait for their turn at one node, in milliseconds of it. Past it more are refused, so that those that
   *  wait are answered in time. */
  maxBehindMs: 250,
  /** Calls of one service under way on one node. A quarter of all, so that one that hangs leaves room for the others. */
  maxServiceInFlight: 4096,
  /** An entity key, UTF-8 bytes: it is in every record and in URLs. */
  maxKeyBytes: 512,
  /** An idempotency key as the caller sends it, characters. */
  maxOperationIdLength: 256,
  /** Nesting of decoded values from outside; deeper overflows naive walkers. */
  maxDepth: 64,
  /** Map keys plus array items in one decoded value from outside. */
  maxItems: 100_000,
  /** A caller that names no deadline gets this one. */
  defaultDeadlineMs: 10_000,
  /** No caller waits longer than this. */
  maxDeadlineMs: 10 * 60_000,
  /** How long repeats of an operation are recognised, in journal time. */
  idempotencyWindowMs: 24 * 60 * 60_000,
  /** Remembered user-chosen keys per shard; past it a new key is refused rather than an old one forgotten early. */
  maxIdempotencyKeys: 20_000,
  /** Remembered operations that Sheaf numbered itself, per shard; a forgotten one is answered TOO_OLD. Clients say what
   *  they are done with, so this many are only reached by clients that vanish. */
  maxIssuedOperations: 4096,
  /** Entities a node keeps decoded in memory per shard before the least recently used rest. */
  maxHotEntities: 4096,
  /** Answers of queries that a node keeps in memory while the states that they follow from do not change. */
  queryCacheBytes: 16 * 1024 * 1024,
  /** Messages and timers that wait at one shard, dead letters among them. Past it commands that would leave more are refused, and
   *  other shards keep what they have for it. */
  maxTasks: 20_000,
  /** What these take of memory at one shard, about. */
  maxTaskBytes: 16 * 1024 * 1024,
  /** Attempts at a message or timer whose handler fails, before it becomes a dead letter. */
  maxAttempts: 5,
  /** The pause before the second attempt; each later one is four times as long, up to a minute. */
  retryMs: 250,
  /** Crashes of the process while a command ran, after which the command is parked. */
  maxCrashes: 5,
  /** Calls inside calls. */
  maxCallDepth: 16,
  /** Journal bytes between snapshots of a shard, at least; at least four times the last snapshot too, so that writing
   *  snapshots stays a small part of all writing. */
  snapshotEveryBytes: 4 * 1024 * 1024,
  /** How often changed cells are saved to the local store: what a restart replays. */
  saveEveryMs: 1000,
  /** An append that takes longer is treated as unknown and resolved by reading (F5). */
  appendPatienceMs: 5_000,
  /** Nodes give each other a sign of life this often; one that is silent for three is suspected. */
  beatMs: 150,
  /** How long handlers may go on at a shard that is being handed over, before they run again at its new owner. */
  handOverMs: 2_000,
  /** How often a follower looks for new records when the engine has given no hint of any. */
  followEveryMs: 100,
  /** A copy that has not reached the end of its journal for so long answers nothing: whoever asks it is sent to the owner. */
  maxStaleMs: 10_000,
  /** A gateway connection's unsent replies; past it reading from that connection stops. */
  maxUnsentBytes: 4 * 1024 * 1024,
  /** How often the owner of a shard looks for events that their topics no longer keep, about. */
  trimEveryMs: 30_000,
  /** Events published by one request. */
  maxEventsPerRequest: 1000,
  /** Streams of events that a gateway sends at the same time: each holds a connection, and some of its memory while it is read
   *  too slowly. */
  maxEventStreams: 512,
  /** How often a consumer of a group says that it is there. One that has not been heard of five times has lost its shards. */
  consumerBeatMs: 1_000,
  /** A consumer that has events, and has said of none for so long that it is done, is sent away: others get its shards. */
  consumerStallMs: 60_000,
  /** Open connections per listener. */
  maxConnections: 4096,
  /** A client that takes longer to send its headers, or its whole request, is cut off. */
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
} as const;

export type Limits = { readonly [name in keyof typeof defaultLimits]: number };

/** No limit on records goes beyond, so that what was written under any of them can be read under any other. */
export const mostRecordBytes = 256 * 1024 * 1024;

/** What the writers of one record had seen, of as many shards as there may be. */
const mostCausesBytes = 18 * 1024;

/** Rejects USAGE, naming the limits that contradict each other. */
export function checkLimits(given: Partial<Limits> = {}): Limits {
  const limits: Limits = { ...defaultLimits, ...given };
  const wrong: string[] = [];
  const need = (holds: boolean, says: string): void => void (holds || wrong.push(says));
  for (const [name, value] of Object.entries(limits))
    if (!(Number.isFinite(value) && value > 0)) wrong.push(`${name} must be above 0`);
  need(limits.maxStateBytes <= limits.maxRequestBytes, "maxStateBytes <= maxRequestBytes");
  need(
    limits.maxBatchBytes + limits.maxStateBytes <= limits.maxRecordBytes,
    "maxBatchBytes + maxStateBytes <= maxRecordBytes",
  );
  need(
    limits.maxBatchBytes + mostCausesBytes <= limits.maxRecordBytes,
    `maxBatchBytes + ${mostCausesBytes} <= maxRecordBytes`,
  );
  need(limits.maxRecordBytes <= mostRecordBytes, `maxRecordBytes <= ${mostRecordBytes}`);
  need(limits.defaultDeadlineMs <= limits.maxDeadlineMs, "defaultDeadlineMs <= maxDeadlineMs");
  need(limits.headersTimeoutMs <= limits.requestTimeoutMs, "headersTimeoutMs <= requestTimeoutMs");
  need(limits.followEveryMs <= limits.maxStaleMs, "followEveryMs <= maxStaleMs");
  need(limits.maxBatchBytes <= limits.maxTaskBytes, "maxBatchBytes <= maxTaskBytes");
  need(limits.maxMailbox <= limits.maxInFlight, "maxMailbox <= maxInFlight");
  if (wrong.length > 0) throw new SheafError("USAGE", `limits do not fit each other: ${wrong.join("; ")}`);
  return limits;
}

// JSON Schemas of what the admin API takes and answers; the types they describe are in operator.ts and in `control`.

import { defaultLimits } from "../base/index.ts";
import type { Node } from "../http/index.ts";
import { roles } from "../security/index.ts";

const text: Node = { type: "string" };
const whole: Node = { type: "integer", minimum: 0 };
const time: Node = { type: "number", description: "Milliseconds since 1970." };
const flag: Node = { type: "boolean" };
const anything: Node = {};
const orNull = (schema: Node): Node => ({ anyOf: [schema, { type: "null" }] });
const object = (properties: Readonly<Record<string, Node>>, optional: readonly string[] = []): Node => ({
  type: "object",
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
  properties,
});

export const listOf = (items: Node): Node => ({ type: "array", items });

export const entityView = object({
  type: text,
  key: text,
  version: whole,
  state: anything,
  schema: whole,
  shard: whole,
  bytes: whole,
});

export const entityDetail = object({
  type: text,
  key: text,
  version: whole,
  state: anything,
  schema: whole,
  shard: whole,
  bytes: whole,
  timers: listOf(object({ id: text, due: orNull(time), command: text, task: text })),
});

const event = object({ name: text, value: anything });
const historyItem = object({
  version: whole,
  at: time,
  command: text,
  principal: text,
  op: orNull(text),
  state: anything,
  events: listOf(event),
  seq: whole,
  epoch: whole,
});
export const history = object({ items: listOf(historyItem), complete: flag });

export const parked = object({ id: text, reason: text, shard: whole, at: time });

const task: Readonly<Record<string, Node>> = {
  id: text,
  shard: whole,
  kind: { type: "string", enum: ["message", "timer", "job"] },
  entity: text,
  key: text,
  command: text,
  due: orNull(time),
  at: time,
  attempts: whole,
  cause: text,
};
export const taskView = object(task);
export const taskDetail = object({ ...task, input: anything, principal: text, roles: listOf(text), from: whole });
const ms: Node = { type: "number", minimum: 0, description: "Milliseconds." };
export const backlog = object({
  shard: whole,
  tasks: whole,
  deadLetters: whole,
  outgoing: whole,
  outgoingMs: ms,
  lateMs: ms,
});
export const redrive = object({ entity: text, cause: text, count: whole, first: orNull(time), last: orNull(time) });
export const redriveAsk = object(
  {
    entity: text,
    cause: { ...text, description: "Only those with this in their cause." },
    perSecond: { type: "number", exclusiveMinimum: 0, description: "Over all shards; as fast as can be without." },
    dryRun: { ...flag, description: "Only tell which." },
  },
  ["entity", "cause", "perSecond", "dryRun"],
);
export const queueView = object({
  queue: text,
  state: { type: "string", enum: ["open", "paused", "partly"] },
  ready: whole,
  leased: whole,
  delayed: whole,
  dead: whole,
  waitMs: ms,
  workers: listOf(object({ node: text, hands: whole })),
});
export const queueChange = object({ jobs: whole });
export const jobView = object({
  id: text,
  shard: whole,
  key: text,
  state: { type: "string", enum: ["ready", "delayed"] },
  priority: { type: "integer" },
  due: time,
  at: time,
  attempts: whole,
  cause: text,
  input: anything,
});

export const topicView = object({
  topic: text,
  events: whole,
  atLeast: flag,
  bytes: whole,
  oldest: orNull(time),
  newest: orNull(time),
});
export const groupView = object({
  group: text,
  topic: text,
  kind: { type: "string", enum: ["subscription", "reader"] },
  lag: whole,
  atLeast: flag,
  lagMs: ms,
  batch: orNull(whole),
  concurrency: orNull(whole),
  consumers: listOf(object({ consumer: text, shards: whole, lag: whole })),
  state: { type: "string", enum: ["open", "paused", "partly"] },
  stuck: listOf(object({ shard: whole, event: text, since: time, cause: text })),
});
export const groupChange = object({ again: whole, over: whole, atLeast: flag });
export const seekTo = object(
  {
    to: { anyOf: [{ type: "string", enum: ["beginning", "now"] }, time] },
    dryRun: { ...flag, description: "Only tell what would come of it." },
  },
  ["dryRun"],
);

const nodeStatus = object({
  id: text,
  name: text,
  pid: whole,
  addresses: object({ gateway: orNull(text), admin: orNull(text) }),
  role: text,
  state: { type: "string", enum: ["starting", "ready", "draining", "stopping", "unreachable"] },
  zone: text,
  weight: { type: "number", minimum: 0 },
  entities: flag,
  services: listOf(text),
  cordoned: flag,
  peer: orNull(text),
  owns: whole,
  startedAt: time,
  version: text,
  rssBytes: whole,
});
const shardStatus = object({
  shard: whole,
  state: { type: "string", enum: ["opening", "serving", "releasing", "following", "fenced", "quarantined", "closed"] },
  owner: orNull(text),
  followers: listOf(text),
  epoch: whole,
  head: whole,
  applied: whole,
  hot: whole,
  reason: orNull(text),
  pinned: orNull(text),
  movingTo: orNull(text),
});
const span: Node = { type: "number", description: "Milliseconds." };
export const checkup = object({
  node: text,
  name: text,
  app: text,
  fingerprint: text,
  insecure: flag,
  certificates: orNull(object({ until: time, renewsAt: time, rootUntil: time })),
  clockSkewMs: span,
  clockWithinMs: span,
  engineError: orNull(text),
  engineSyncMs: orNull(span),
  engineSkewMs: orNull(span),
  engineSkewWithinMs: orNull(span),
  reaches: listOf(
    object({ node: text, name: text, peer: text, link: { type: "string", enum: ["up", "silent", "refused"] } }),
  ),
});
export const shardMove = object({
  shard: whole,
  from: orNull(text),
  to: orNull(text),
  state: { type: "string", enum: ["moving", "waiting", "pinned", "kept"] },
  why: text,
});
export const moveTo = object({ to: { ...text, description: "Id of the node." } });
export const status = object({
  cluster: object({ id: text, name: text, shards: whole, encrypted: flag }),
  app: text,
  engine: { type: "object", additionalProperties: { type: ["string", "number", "boolean"] } },
  nodes: listOf(nodeStatus),
  shards: listOf(shardStatus),
});

export const limits = object(Object.fromEntries(Object.keys(defaultLimits).map((name) => [name, { type: "number" }])));

const role: Node = { type: "string", enum: roles };
export const keyView = object({
  id: text,
  name: text,
  roles: listOf(role),
  createdAt: time,
  createdBy: text,
  expiresAt: orNull(time),
  revokedAt: orNull(time),
  lastUsedAt: orNull(time),
});
export const newKey = object({ name: text, roles: { ...listOf(role), minItems: 1 }, expiresAt: orNull(time) }, [
  "expiresAt",
]);
export const endpointView = object({ name: text, urls: listOf(text), private: flag, changedBy: text });
export const newEndpoint = object({ name: text, url: text, private: flag }, ["private"]);
export const scheduleView = object({
  name: text,
  cron: orNull(text),
  zone: orNull(text),
  everyMs: orNull(ms),
  missed: { type: "string", enum: ["skip", "one", "all"] },
  state: { type: "string", enum: ["on", "paused", "gone", "over"] },
  next: orNull(time),
  last: orNull(time),
  runs: whole,
  passedOver: whole,
  changedBy: text,
});
export const scheduledRun = object({ at: time, number: whole, asked: flag });
export const madeKey = object({ id: text, key: text });

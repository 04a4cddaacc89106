// A record's payload as msgpack and back. Positional lists rather than maps: the names would be most of the bytes.
// Fields are only ever added at the end of a list, and only with a new format version.

import { type Seen, SheafError } from "../base/index.ts";
import type { Put } from "../wire/index.ts";
import type { Commit, Message, Note, Op, Payload, Published, TimerChange, Work } from "./record.ts";

const CLAIM = 1;
const NOOP = 2;
const BATCH = 3;
const PARK = 4;
const GENERATION = 5;

const ACCEPTED = 1;
const ACKNOWLEDGED = 2;
const DONE = 3;
const FAILED = 4;
const PUBLISHED = 5;
const MOVED = 6;
const GROUP = 7;
const TRIMMED = 8;
const ADDED = 9;
const QUEUE = 10;
const PURGED = 11;
const AGAIN = 12;
const HELD = 13;

export function putPayload(put: Put, payload: Payload): void {
  switch (payload.kind) {
    case "claim":
      return put.value([CLAIM, payload.node]);
    case "noop":
      return put.value([NOOP]);
    case "batch":
      put.list(payload.notes ? 4 : payload.causes ? 3 : 2);
      put.value(BATCH);
      put.list(payload.commits.length);
      for (const commit of payload.commits) putCommit(put, commit);
      if (payload.causes || payload.notes) put.value(payload.causes ?? null);
      if (payload.notes) put.value(payload.notes.map(noteToValue));
      return;
    case "park":
      return put.value([PARK, payload.id, payload.reason, payload.parked]);
    case "generation":
      return put.value([GENERATION, payload.was, payload.why]);
  }
}

function putCommit(
  put: Put,
  { type, key, version, state, schema, command, principal, events, op, work }: Commit,
): void {
  put.list(work ? 10 : 9);
  put.value(type);
  put.value(key);
  put.value(version);
  put.value(state);
  put.value(schema);
  put.value(command);
  put.value(principal);
  put.list(events.length);
  for (const event of events) put.value([event.name, event.value]);
  if (op === undefined) put.value(null);
  else putOp(put, op);
  if (work) put.value(workToValue(work));
}

const opToValue = ({ id, fingerprint, issuedAt, settled, open, reply }: Op): unknown[] => [
  id,
  fingerprint,
  issuedAt,
  open?.length ? [settled, ...open] : settled,
  reply,
];

function putOp(put: Put, op: Op): void {
  put.list(5);
  for (const value of opToValue(op)) put.value(value);
}

const messageToValue = ({ type, key, command, input, by }: Message): unknown[] => [type, key, command, input, by];

const leftToValue = (message: Work["messages"][number]): unknown[] => [message.to, ...messageToValue(message)];

const workToValue = ({ messages, timers, done }: Work): unknown[] => [
  messages.map(leftToValue),
  timers.map(({ name, due, command, input, by }) => [name, due ?? null, command, input, by]),
  done ?? null,
];

function noteToValue(note: Note): unknown[] {
  switch (note.kind) {
    case "accepted":
      return [ACCEPTED, note.from, note.after, note.first, note.messages.map(messageToValue)];
    case "acknowledged":
      return [ACKNOWLEDGED, note.to, note.through];
    case "done":
      return note.result ? [DONE, note.task, note.attempts ?? 0, note.result] : [DONE, note.task];
    case "failed":
      return [FAILED, note.task, note.due ?? null, note.attempts, note.cause, ...(note.holder ? [note.holder] : [])];
    case "published": {
      const events = note.events.flatMap(({ schema, value }) => [schema, value]);
      return [PUBLISHED, note.topic, note.key, events, note.op ? opToValue(note.op) : null];
    }
    case "moved":
      return [MOVED, note.group, note.topic, note.through, note.messages.map(leftToValue)];
    case "group":
      return [GROUP, note.group, note.topic, groupStates.indexOf(note.state)];
    case "trimmed":
      return [TRIMMED, note.topic, note.below, note.bytes];
    case "added":
      return [ADDED, note.messages.map(messageToValue)];
    case "queue":
      return [QUEUE, note.type, note.paused];
    case "purged":
      return [PURGED, note.tasks];
    case "again":
      return [AGAIN, note.tasks, note.at ?? null, note.everyMs];
    case "held":
      return [HELD, note.group, note.topic, note.holder];
  }
}

/** Throws CORRUPT for a value that no build wrote. */
export function payloadFromValue(value: unknown): Payload {
  const [kind, ...rest] = list(value);
  switch (kind) {
    case CLAIM:
      return { kind: "claim", node: text(rest[0]) };
    case NOOP:
      return { kind: "noop" };
    case BATCH:
      return {
        kind: "batch",
        commits: list(rest[0]).map(commitFromValue),
        ...(rest.length > 1 && rest[1] !== null && { causes: seenFromValue(rest[1]) }),
        ...(rest.length > 2 && { notes: list(rest[2]).map(noteFromValue) }),
      };
    case PARK:
      return { kind: "park", id: text(rest[0]), reason: text(rest[1]), parked: truth(rest[2]) };
    case GENERATION:
      return { kind: "generation", was: number(rest[0]), why: text(rest[1]) };
    default:
      throw unfit(`an unknown kind ${String(kind)}`);
  }
}

/** The lowest format whose readers understand it: an older build is to refuse what it would only half read. */
export function formatOf(payload: Payload): number {
  if (payload.kind !== "batch") return 1;
  if (payload.notes || payload.commits.some(({ work }) => work)) return 3;
  return payload.causes ? 2 : 1;
}

function seenFromValue(value: unknown): Seen {
  const seen = list(value).map(number);
  const inOrder = seen.every((shard, i) => i % 3 > 0 || i === 0 || seen[i - 3]! < shard);
  if (seen.length % 3 > 0 || !inOrder) throw unfit("positions that are none");
  return seen;
}

function commitFromValue(value: unknown): Commit {
  const v = list(value);
  return {
    type: text(v[0]),
    key: text(v[1]),
    version: number(v[2]),
    state: v[3] === null ? undefined : binary(v[3]),
    schema: number(v[4]),
    command: text(v[5]),
    principal: text(v[6]),
    events: list(v[7]).map((event) => {
      const [name, bytes] = list(event);
      return { name: text(name), value: binary(bytes) };
    }),
    op: v[8] === null ? undefined : opFromValue(v[8]),
    ...(v.length > 9 && { work: workFromValue(v[9]) }),
  };
}

const messageFromValue = (value: unknown): Message => messageOf(list(value));

const messageOf = ([type, key, command, input, by]: readonly unknown[]): Message => ({
  type: text(type),
  key: text(key),
  command: text(command),
  input: binary(input),
  by: list(by).map(text),
});

function leftFromValue(value: unknown): Work["messages"][number] {
  const [to, ...rest] = list(value);
  return { to: number(to), ...messageOf(rest) };
}

function workFromValue(value: unknown): Work {
  const [messages, timers, done] = list(value);
  return {
    messages: list(messages).map(leftFromValue),
    timers: list(timers).map(timerFromValue),
    ...(done !== null && { done: text(done) }),
  };
}

function timerFromValue(value: unknown): TimerChange {
  const [name, due, command, input, by] = list(value);
  return {
    name: text(name),
    ...(due !== null && { due: number(due) }),
    command: text(command),
    input: binary(input),
    by: list(by).map(text),
  };
}

function noteFromValue(value: unknown): Note {
  const [kind, ...rest] = list(value);
  switch (kind) {
    case ACCEPTED:
      return {
        kind: "accepted",
        from: number(rest[0]),
        after: number(rest[1]),
        first: number(rest[2]),
        messages: list(rest[3]).map(messageFromValue),
      };
    case ACKNOWLEDGED:
      return { kind: "acknowledged", to: number(rest[0]), through: number(rest[1]) };
    case DONE:
      return {
        kind: "done",
        task: text(rest[0]),
        ...(rest.length > 1 && { attempts: number(rest[1]), result: binary(rest[2]) }),
      };
    case FAILED:
      return {
        kind: "failed",
        task: text(rest[0]),
        ...(rest[1] !== null && { due: number(rest[1]) }),
        attempts: number(rest[2]),
        cause: text(rest[3]),
        ...(rest.length > 4 && { holder: text(rest[4]) }),
      };
    case PUBLISHED:
      return {
        kind: "published",
        topic: text(rest[0]),
        key: text(rest[1]),
        events: publishedFromValue(rest[2]),
        ...(rest[3] !== null && { op: opFromValue(rest[3]) }),
      };
    case MOVED:
      return {
        kind: "moved",
        group: text(rest[0]),
        topic: text(rest[1]),
        through: number(rest[2]),
        messages: list(rest[3]).map(leftFromValue),
      };
    case GROUP: {
      const state = groupStates[number(rest[2])];
      if (state === undefined) throw unfit("a group in an unknown state");
      return { kind: "group", group: text(rest[0]), topic: text(rest[1]), state };
    }
    case TRIMMED:
      return { kind: "trimmed", topic: text(rest[0]), below: number(rest[1]), bytes: number(rest[2]) };
    case ADDED:
      return { kind: "added", messages: list(rest[0]).map(messageFromValue) };
    case QUEUE:
      return { kind: "queue", type: text(rest[0]), paused: truth(rest[1]) };
    case HELD:
      return { kind: "held", group: text(rest[0]), topic: text(rest[1]), holder: text(rest[2]) };
    case PURGED:
      return { kind: "purged", tasks: list(rest[0]).map(text) };
    case AGAIN:
      return {
        kind: "again",
        tasks: list(rest[0]).map(text),
        ...(rest[1] !== null && { at: number(rest[1]) }),
        everyMs: number(rest[2]),
      };
    default:
      throw unfit(`a note of an unknown kind ${String(kind)}`);
  }
}

const groupStates = ["paused", "open", "gone"] as const;

function publishedFromValue(value: unknown): Published[] {
  const all = list(value);
  return Array.from({ length: all.length / 2 }, (_, i) => ({
    schema: number(all[i * 2]),
    value: binary(all[i * 2 + 1]),
  }));
}

function opFromValue(value: unknown): Op {
  const [id, fingerprint, issuedAt, settled, reply] = list(value);
  const [below, ...open] = settled === null ? [] : Array.isArray(settled) ? settled.map(number) : [number(settled)];
  return {
    id: text(id),
    fingerprint: binary(fingerprint),
    issuedAt: issuedAt === null ? undefined : number(issuedAt),
    settled: below,
    ...(open.length > 0 && { open }),
    reply: binary(reply),
  };
}

const unfit = (says: string): SheafError => new SheafError("CORRUPT", `the record's payload holds ${says}`);

function list(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw unfit("something else where a list belongs");
}
function text(value: unknown): string {
  if (typeof value === "string") return value;
  throw unfit("something else where text belongs");
}
function number(value: unknown): number {
  if (typeof value === "number") return value;
  throw unfit("something else where a number belongs");
}
function truth(value: unknown): boolean {
  if (typeof value === "boolean") return value;
  throw unfit("something else where a truth value belongs");
}
function binary(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw unfit("something else where bytes belong");
}

// What things take of a record or a frame, at most: how much of them fits is decided before they are encoded.

import type { Commit, Note } from "../journal/index.ts";
import type { Hot, Value } from "./fold.ts";
import { messageBytes } from "./task.ts";

/** A large state is journaled once per record however many commits changed it; a small one with each, for its history. */
const coalesceAboveBytes = 1024;

type Changed = { readonly hot: Hot; readonly value: Value; readonly commit: Commit };

/** What a commit takes of a record, at most. One over `maxBatchBytes` might fit none. */
export function commitBytes({ type, key, command, principal, state, events, op, work }: Commit): number {
  let bytes = 128 + (state?.length ?? 0) + (op?.reply.length ?? 0);
  if (work) {
    bytes += 64 + 3 * (work.done?.length ?? 0);
    for (const message of work.messages) bytes += messageBytes(message);
    for (const timer of work.timers) bytes += messageBytes({ ...timer, type: "", key: timer.name });
  }
  for (const { name, value } of events) bytes += value.length + 3 * name.length + 16;
  return bytes + 3 * (type.length + key.length + command.length + principal.length + (op?.id.length ?? 0));
}

/** What a note takes of a record, at most. */
export function noteBytes(note: Note): number {
  switch (note.kind) {
    case "accepted":
      return note.messages.reduce((bytes, message) => bytes + messageBytes(message), 64);
    case "acknowledged":
      return 32;
    case "done":
      return 32 + 3 * note.task.length + (note.result?.length ?? 0);
    case "added":
      return note.messages.reduce((bytes, message) => bytes + messageBytes(message), 16);
    case "failed":
      return 64 + 3 * (note.task.length + note.cause.length + (note.holder?.length ?? 0));
    case "published": {
      const op = note.op ? 64 + 3 * note.op.id.length + note.op.reply.length : 0;
      return note.events.reduce((bytes, { value }) => bytes + value.length + 16, 64 + op + 3 * note.key.length);
    }
    case "moved":
      return note.messages.reduce((bytes, message) => bytes + messageBytes(message), 128);
    case "purged":
    case "again":
      return note.tasks.reduce((bytes, task) => bytes + 3 * task.length + 5, 32);
    case "group":
    case "held":
    case "trimmed":
    case "queue":
      return 128;
  }
}

/** The commits of one record: of a large state that several changed, only the last keeps it. */
export function coalesced(items: readonly Changed[]): Commit[] {
  const commits = items.map((item) => item.commit);
  if (!items.some(({ value }) => value.state.length > coalesceAboveBytes)) return commits;
  const later = new Set<Hot>();
  for (let i = items.length - 1; i >= 0; i--) {
    const { hot, value, commit } = items[i] as Changed;
    if (value.state.length <= coalesceAboveBytes) continue;
    if (later.has(hot)) commits[i] = { ...commit, state: undefined };
    else later.add(hot);
  }
  return commits;
}

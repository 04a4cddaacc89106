// What the local store and snapshots keep of an agenda: rows beside those of remembered operations.

import type { Instant, Shard } from "../base/index.ts";
import { pack, unpack } from "../wire/index.ts";
import { type Ended, endedRow, loadEnded, packEnded } from "./jobs.ts";
import type { SavedOp } from "./store.ts";
import type { Outgoing, Task } from "./task.ts";

export type Row = Task | Outgoing | Ended;

/** What ids of rows of the local store begin with that are no operations. */
export const taskRow = "~t";
const laneRow = "~l";
const nothing = new Uint8Array(0);

export const isAgendaId = (id: string): boolean => id.startsWith("~");
export const isAgendaRow = ({ id }: SavedOp): boolean => isAgendaId(id);

export const rowOf = ({ to, n }: Outgoing): string => `${laneRow}${to}.${n}`;

export const isEnded = (row: Row): row is Ended => "result" in row;

export function savedRow(id: string, row: Row): SavedOp {
  if (isEnded(row)) return packEnded(row);
  const packed = "n" in row ? packOutgoing(row) : packTask(row);
  return {
    id,
    seq: row.order,
    at: 0,
    issuedAt: undefined,
    fingerprint: nothing,
    reply: packed,
    version: 0,
  };
}

const packOutgoing = ({ to, n, after, at, message: { type, key, command, input, by } }: Outgoing): Uint8Array =>
  pack([to, n, after, type, key, command, input, by, at]);

function packTask({ kind, type, key, command, input, by, due, at, attempts, cause, job, again }: Task): Uint8Array {
  const fields = [kind, type, key, command, input, by, due ?? null, at, attempts, cause];
  const rest = [job?.name, job?.chosen, job?.priority, again, job?.holder, job?.forgiven];
  while (rest.length > 0 && rest.at(-1) === undefined) rest.pop();
  return pack([...fields, ...rest.map((value) => value ?? null)]);
}

type PackedOutgoing = [Shard, number, number, string, string, string, Uint8Array, string[], Instant];
type PackedTask = [
  ...[Task["kind"], string, string, string, Uint8Array, string[], Instant | null, Instant, number, string],
  ...[(string | null)?, (boolean | null)?, (number | null)?, (Instant | null)?, (string | null)?, number?],
];

export function loadedRow(saved: SavedOp): Row {
  const { id, seq: order, reply } = saved;
  if (id.startsWith(endedRow)) return loadEnded(saved);
  if (id.startsWith(laneRow)) {
    const [to, n, after, type, key, command, input, by, at] = unpack(reply) as PackedOutgoing;
    return { to, n, after, order, at, message: { type, key, command, input, by } };
  }
  const [kind, type, key, command, input, by, due, at, attempts, cause, ...rest] = unpack(reply) as PackedTask;
  const [name, chosen, priority, again, holder, forgiven] = rest;
  return {
    id: id.slice(taskRow.length),
    kind,
    type,
    key,
    command,
    input,
    by,
    due: due ?? undefined,
    at,
    order,
    attempts,
    cause,
    ...(typeof again === "number" && { again }),
    ...(typeof name === "string" && {
      job: {
        name,
        chosen: chosen === true,
        priority: priority ?? 0,
        ...(typeof holder === "string" && { holder }),
        ...(forgiven !== undefined && { forgiven }),
      },
    }),
  };
}

// A record's payload as a plain value and back. Positional lists rather than maps: the names would be most of the bytes.
// Fields are only ever added at the end of a list, and only with a new format version.

import { SheafError } from "../base/index.ts";
import type { Commit, Op, Payload } from "./record.ts";

const CLAIM = 1;
const NOOP = 2;
const BATCH = 3;
const PARK = 4;

export function payloadToValue(payload: Payload): unknown {
  switch (payload.kind) {
    case "claim":
      return [CLAIM, payload.node];
    case "noop":
      return [NOOP];
    case "batch":
      return [BATCH, payload.commits.map(commitToValue)];
    case "park":
      return [PARK, payload.id, payload.reason, payload.parked];
  }
}

function commitToValue(c: Commit): unknown[] {
  const events = c.events.map((event) => [event.name, event.value]);
  const op = c.op === undefined ? null : [c.op.id, c.op.fingerprint, c.op.issuedAt, c.op.settled, c.op.reply];
  return [c.type, c.key, c.version, c.state, c.schema, c.command, c.principal, events, op];
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
      return { kind: "batch", commits: list(rest[0]).map(commitFromValue) };
    case PARK:
      return { kind: "park", id: text(rest[0]), reason: text(rest[1]), parked: truth(rest[2]) };
    default:
      throw unfit(`an unknown kind ${String(kind)}`);
  }
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
  };
}

function opFromValue(value: unknown): Op {
  const [id, fingerprint, issuedAt, settled, reply] = list(value);
  return {
    id: text(id),
    fingerprint: binary(fingerprint),
    issuedAt: issuedAt === null ? undefined : number(issuedAt),
    settled: settled === null ? undefined : number(settled),
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

// What a caller and a responder say to each other: frames, many to a message. A message is one msgpack array of frames, a
// frame one array that begins with its kind. Fields are found by place; absent ones at the end are cut off, others nil.
//   HELLO   1  version, oldest version spoken, app, token?, issuer, session?, both?   caller, first
//   WELCOME 2  version, cluster, time, maxInFlight, maxMessageBytes               responder, answers HELLO
//   CALL    3  id, target kind, type, key?, name, [input], deadlineMs, op?, issuedAt?, consistency?, ifVersion?, trace?, session?, relay?
//   REPLY   4  id, [output], version?, staleMs?, replayed?, session?
//   FAIL    5  id, code, message, retry, outcome, retryAfterMs?, hint?, issues?, error?, [data]?, session?, owner?
//   CANCEL  6  id · PING 7  number · PONG 8  number · GOAWAY 9  code, message, retryAfterMs?
//   SESSION 10 token, covers all replies before · SETTLED 11 number, answers to operations below it need not be kept

import {
  catalogue,
  type ErrorCode,
  type Issue,
  type Millis,
  type Outcome,
  type Owner,
  type Retry,
  SheafError,
} from "../base/index.ts";
import { pack, unpackUntrusted } from "./pack.ts";

/** Both ends speak this version and the one before it. A field may be added at the end of a frame without a new version:
 *  readers take what they know. A new kind, or a changed field, needs one. */
export const frameVersion = 1;
export const oldestFrameVersion = 1;

export const frameKind = {
  hello: 1,
  welcome: 2,
  call: 3,
  reply: 4,
  fail: 5,
  cancel: 6,
  ping: 7,
  pong: 8,
  goaway: 9,
  session: 10,
  settled: 11,
  /** Nothing else; alone in its message. */
  bye: 12,
} as const;

/** What a caller sends; all else is sent by who answers. Where HELLO says `both`, the one who is called may call over the same
 *  connection, too, with a HELLO of its own: all frames of a message are then of one way, and BYE ends a way, since whoever
 *  says it asks nothing more. */
export const askingKinds: ReadonlySet<number> = new Set([
  frameKind.hello,
  frameKind.call,
  frameKind.cancel,
  frameKind.ping,
  frameKind.settled,
  frameKind.bye,
]);

/** A message of several frames stops here, so that the other side starts work early and decodes in short steps. A
 *  message also holds at most this many items (one byte each, at least), which keeps it within the limit for one value. */
export const messageBytes = 64 * 1024;

export const targetKinds = ["command", "query", "procedure"] as const;
export const consistencies = ["strong", "causal", "eventual"] as const;

export type HelloFrame = {
  readonly version: number;
  readonly oldest: number;
  readonly app: string;
  readonly token: string | undefined;
  /** Random name of the caller, letters, digits, - and _. An operation that it numbered is `issuer.number`, base 36. */
  readonly issuer: string;
  readonly session: string | undefined;
  /** It answers calls over this connection, too. */
  readonly both?: boolean | undefined;
};

export type WelcomeFrame = {
  readonly version: number;
  readonly cluster: string;
  /** Cluster time, from which the caller reckons when its operations were issued. */
  readonly time: number;
  readonly maxInFlight: number;
  /** A message over this closes the connection. */
  readonly maxMessageBytes: number;
};

export type CallFrame = {
  readonly id: number;
  readonly kind: (typeof targetKinds)[number];
  readonly type: string;
  readonly key: string;
  readonly name: string;
  readonly input: unknown;
  /** What is left of it, so that the two clocks need not agree. */
  readonly deadlineMs: Millis;
  /** A number was issued by the caller (see HELLO's issuer), a text chosen by the user. */
  readonly op: number | string | undefined;
  readonly issuedAt: number | undefined;
  readonly consistency: (typeof consistencies)[number] | undefined;
  readonly ifVersion: number | undefined;
  readonly trace: string | undefined;
  readonly session: string | undefined;
  /** What a node tells of a call that it passes on; not read yet. */
  readonly relay: unknown;
};

export type GoawayFrame = {
  readonly code: ErrorCode;
  readonly message: string;
  readonly retryAfterMs: number | undefined;
};

const broken = (says: string): SheafError => new SheafError("MALFORMED", `frame: ${says}`);

/** The frames of a message from outside. Throws MALFORMED or TOO_LARGE, nothing else. The frames themselves are read by
 *  the functions below, each of which checks every field it returns. */
export function readMessage(
  bytes: Uint8Array,
  limits: { maxBytes: number; maxItems?: number; maxDepth: number },
): unknown[][] {
  const { maxBytes, maxItems } = limits;
  // Three levels are ours: the message, the frame, the brackets around a value.
  const message = unpackUntrusted(bytes, {
    maxBytes,
    maxDepth: limits.maxDepth + 3,
    ...(maxItems === undefined ? {} : { maxItems }),
  });
  if (!Array.isArray(message)) throw broken("a message is an array");
  for (const frame of message)
    if (!Array.isArray(frame) || typeof frame[0] !== "number")
      throw broken("a frame is an array that begins with its kind");
  return message as unknown[][];
}

/** The kind of the first frame of a message, found without reading the rest; undefined where that is no message. */
export function firstKind(bytes: Uint8Array): number | undefined {
  const frame = afterHead(bytes, 0);
  const kind = frame === undefined ? undefined : bytes[afterHead(bytes, frame) ?? bytes.length];
  return kind !== undefined && kind < 0x80 ? kind : undefined;
}

/** Where the first item of the array at this place is. */
function afterHead(bytes: Uint8Array, at: number): number | undefined {
  const head = bytes[at] ?? 0;
  if (head > 0x90 && head <= 0x9f) return at + 1;
  return head === 0xdc ? at + 3 : head === 0xdd ? at + 5 : undefined;
}

export function packHello(hello: HelloFrame): Uint8Array {
  const { version, oldest, app, token, issuer, session, both } = hello;
  return pack([frameKind.hello, version, oldest, app, token, issuer, session, ...(both ? [true] : [])]);
}

export function packWelcome(w: WelcomeFrame): Uint8Array {
  return pack([frameKind.welcome, w.version, w.cluster, w.time, w.maxInFlight, w.maxMessageBytes]);
}

export const packNumber = (kind: 6 | 7 | 8 | 11, value: number): Uint8Array => pack([kind, value]);
export const packSession = (token: string): Uint8Array => pack([frameKind.session, token]);

export function packGoaway(goaway: GoawayFrame): Uint8Array {
  return pack(trimmed([frameKind.goaway, goaway.code, goaway.message, goaway.retryAfterMs]));
}

/** An error as it crosses the wire: never a stack, never a cause. `session` where it is not told for many answers at once,
 *  `owner` between nodes. */
export function packFail(id: number, error: SheafError, session?: string, owner?: Owner): Uint8Array {
  const { code, message, retry, outcome, retryAfterMs, hint, issues } = error;
  const data = code === "DECLARED" ? (error.data === undefined ? [] : [error.data]) : undefined;
  return pack(
    trimmed([
      frameKind.fail,
      id,
      code,
      message,
      retry,
      outcome,
      retryAfterMs,
      hint,
      issues,
      error.error,
      data,
      session,
      owner && [owner.node, owner.epoch],
    ]),
  );
}

function trimmed(frame: unknown[]): unknown[] {
  while (frame[frame.length - 1] === undefined) frame.pop();
  return frame;
}

/** One id, ping number or the like: the whole content of small frames, and the first field of REPLY and FAIL. */
export function readId(frame: readonly unknown[]): number {
  const id = frame[1];
  if (typeof id !== "number" || !Number.isSafeInteger(id) || id < 0) throw broken("an id is a whole number");
  return id;
}

export function readText(frame: readonly unknown[], at: number): string {
  const value = frame[at];
  if (typeof value !== "string") throw broken(`field ${at} of kind ${String(frame[0])} is a text`);
  return value;
}

export function optionalText(frame: readonly unknown[], at: number): string | undefined {
  return frame[at] === undefined || frame[at] === null ? undefined : readText(frame, at);
}

function readCount(frame: readonly unknown[], at: number): number {
  const value = frame[at];
  if (typeof value !== "number" || !Number.isFinite(value) || value < 0)
    throw broken(`field ${at} of kind ${String(frame[0])} is a number`);
  return value;
}

export function optionalCount(frame: readonly unknown[], at: number): number | undefined {
  return frame[at] === undefined || frame[at] === null ? undefined : readCount(frame, at);
}

/** A value that may be absent travels in brackets: `[]` is none, `[null]` is null. */
export function readBoxed(frame: readonly unknown[], at: number): unknown {
  const box = frame[at];
  if (!Array.isArray(box) || box.length > 1)
    throw broken(`field ${at} of kind ${String(frame[0])} is a value in brackets`);
  return box[0];
}

export function readHello(frame: readonly unknown[]): HelloFrame {
  if (frame[0] !== frameKind.hello) throw broken("a caller begins with HELLO");
  return {
    version: readCount(frame, 1),
    oldest: readCount(frame, 2),
    app: readText(frame, 3),
    token: optionalText(frame, 4),
    issuer: readIssuer(frame),
    session: optionalText(frame, 6),
    ...(frame[7] === true && { both: true }),
  };
}

function readIssuer(frame: readonly unknown[]): string {
  const issuer = readText(frame, 5);
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(issuer)) throw broken("an issuer is 1 to 64 letters, digits, - and _");
  return issuer;
}

export function readWelcome(frame: readonly unknown[]): WelcomeFrame {
  if (frame[0] !== frameKind.welcome) throw broken("a responder begins with WELCOME");
  return {
    version: readCount(frame, 1),
    cluster: readText(frame, 2),
    time: readCount(frame, 3),
    maxInFlight: readCount(frame, 4),
    maxMessageBytes: readCount(frame, 5),
  };
}

export function readCall(frame: readonly unknown[]): CallFrame {
  const kind = targetKinds[readCount(frame, 2)];
  if (kind === undefined) throw broken("no such kind of target");
  const op = frame[8];
  if (
    op !== undefined &&
    op !== null &&
    typeof op !== "string" &&
    !(typeof op === "number" && Number.isSafeInteger(op) && op >= 0)
  ) {
    throw broken("an operation is a number or a text");
  }
  const level = optionalCount(frame, 10);
  const consistency = level === undefined ? undefined : consistencies[level];
  if (level !== undefined && consistency === undefined) throw broken("no such consistency");
  return {
    id: readId(frame),
    kind,
    type: readText(frame, 3),
    key: kind === "procedure" ? "" : readText(frame, 4),
    name: readText(frame, 5),
    input: readBoxed(frame, 6),
    deadlineMs: readCount(frame, 7),
    op: op ?? undefined,
    issuedAt: optionalCount(frame, 9),
    consistency,
    ifVersion: optionalCount(frame, 11),
    trace: optionalText(frame, 12),
    session: optionalText(frame, 13),
    relay: frame[14],
  };
}

export function readGoaway(frame: readonly unknown[]): GoawayFrame {
  return { code: readCode(frame, 1), message: readText(frame, 2), retryAfterMs: optionalCount(frame, 3) };
}

/** The error as its receiver throws it. */
export function readFail(frame: readonly unknown[]): SheafError {
  const retry = readText(frame, 4);
  const outcome = readText(frame, 5);
  return new SheafError(readCode(frame, 2), readText(frame, 3), {
    retry: retry === "now" || retry === "later" ? retry : ("never" satisfies Retry),
    outcome: outcome === "applied" || outcome === "not-applied" ? outcome : ("unknown" satisfies Outcome),
    retryAfterMs: optionalCount(frame, 6),
    hint: optionalText(frame, 7),
    issues: readIssues(frame[8]),
    name: optionalText(frame, 9),
    data: frame[10] === undefined || frame[10] === null ? undefined : readBoxed(frame, 10),
    session: optionalText(frame, 11),
    owner: readOwner(frame[12]),
  });
}

function readOwner(value: unknown): Owner | undefined {
  if (!Array.isArray(value)) return undefined;
  const [node, epoch] = value as unknown[];
  return typeof node === "string" && Number.isSafeInteger(epoch) ? { node, epoch: epoch as number } : undefined;
}

/** A code that only a newer version knows is INTERNAL here; its retry and outcome are still as sent. */
function readCode(frame: readonly unknown[], at: number): ErrorCode {
  const code = readText(frame, at);
  return Object.hasOwn(catalogue, code) ? (code as ErrorCode) : "INTERNAL";
}

function readIssues(value: unknown): readonly Issue[] | undefined {
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value)) throw broken("issues are a list");
  return value.map((issue: unknown) => {
    const { path, message } = (issue ?? {}) as { path?: unknown; message?: unknown };
    if (!Array.isArray(path) || typeof message !== "string") throw broken("an issue is a path and a message");
    return { path: path.map((step: unknown) => (typeof step === "number" ? step : String(step))), message };
  });
}

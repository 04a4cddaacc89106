// One connection to a NATS cluster: what is asked of JetStream, and what its answers mean for a request's outcome.
//
// L1. A publish is `stored` only by an acknowledgement of our stream. It is `refused` or `busy` only by an answer that the
//     server gives before it proposes the message, or when no server took it. All else is `doubtful`.

import {
  jetstream,
  JetStreamApiError,
  type JetStreamClient,
  jetstreamManager,
  type JetStreamManager,
} from "@nats-io/jetstream";
import { createInbox, errors, headers, type Msg, type NatsConnection } from "@nats-io/transport-node";
import { type Millis, SheafError } from "../../base/index.ts";
import { recordHeader } from "./mirror.ts";

export type Sent =
  | { readonly kind: "stored"; readonly position: number; readonly isDuplicate: boolean }
  /** Not stored by this request: the subject's last message is another one, or a deposed leading server thinks so. */
  | { readonly kind: "refused" }
  /** Not stored by this request; the next may be. */
  | { readonly kind: "busy"; readonly error: unknown }
  /** Not stored: no room. */
  | { readonly kind: "full"; readonly error: unknown }
  | { readonly kind: "doubtful"; readonly error: unknown };

export type Publish = {
  readonly stream: string;
  readonly subject: string;
  readonly bytes?: Uint8Array;
  readonly id?: string;
  /** Position of the subject's last message; 0 when it must have none. Not checked when left out. */
  readonly after?: number;
  /** Position of the stream's last message. Unlike `after`, many of one subject may be under way at once. */
  readonly behind?: number;
  readonly record?: string;
  /** The message goes by itself after this long: whole seconds. */
  readonly goneAfter?: `${number}s`;
  /** The message stands for a deleted one. */
  readonly isGone?: boolean;
  readonly timeoutMs: Millis;
};

/** A message as it is stored. */
export type Stored = {
  readonly subject: string;
  readonly position: number;
  /** Its record header, "" when it has none. */
  readonly record: string;
  readonly isGone: boolean;
  readonly bytes: Uint8Array;
};

/** A direct get. It is answered by any replica, which may be behind; `upTo` is how far it was when it was asked for last messages. */
export type Get =
  | { readonly seq: number; readonly next_by_subj?: string; readonly batch: number; readonly max_bytes: number }
  | { readonly multi_last: readonly string[]; readonly max_bytes: number };
export type Gathered = { readonly messages: readonly Stored[]; readonly isCut: boolean; readonly upTo: number };

/** What the server that leads a stream says of it. A deposed one may say what was true before. */
export type Sight = { readonly last: number; readonly counts: Readonly<Record<string, number>> };

export type Link = {
  readonly connection: NatsConnection;
  readonly client: JetStreamClient;
  readonly streams: JetStreamManager["streams"];
  publish(message: Publish): Promise<Sent>;
  get(stream: string, get: Get, timeoutMs: Millis): Promise<Gathered>;
  look(stream: string, subjects: string, timeoutMs: Millis): Promise<Sight | "missing">;
  /** Called when a broken connection was made again, perhaps with another server. */
  onReconnect(done: () => void): void;
  close(): Promise<void>;
};

/** The header of a message that stands for a deleted one. */
const goneHeader = "Sheaf-Gone";

/** API errors that the server answers with before anything is proposed. */
const wrongLastSequence = 10071;
const passing = new Set([10164, 10158, 10008, 10009]);
const noRoom = new Set([10002, 10023, 10028, 10047]);
const streamNotFound = 10059;
const messageTooLarge = new Set([10054, 10097]);

export const unavailable = (says: string, cause?: unknown): SheafError =>
  new SheafError("ENGINE_UNAVAILABLE", `NATS: ${says}`, { cause });
export const codeOfApi = (error: unknown): number => (error instanceof JetStreamApiError ? error.code : 0);
export const isStreamMissing = (error: unknown): boolean => codeOfApi(error) === streamNotFound;

function judge(error: unknown): Sent {
  const code = codeOfApi(error);
  if (code === wrongLastSequence) return { kind: "refused" };
  if (passing.has(code)) return { kind: "busy", error };
  if (noRoom.has(code)) return { kind: "full", error: new SheafError("ENGINE_FULL", undefined, { cause: error }) };
  if (messageTooLarge.has(code))
    return { kind: "full", error: new SheafError("TOO_LARGE", undefined, { cause: error }) };
  // No server took it; the library calls that "jetstream is not enabled".
  if (error instanceof Error && error.cause instanceof errors.RequestError && error.cause.isNoResponders())
    return { kind: "busy", error };
  return { kind: "doubtful", error };
}

const numberIn = (msg: Msg, header: string): number => Number(msg.headers?.get(header) ?? "0");

const storedIn = (msg: Msg): Stored => ({
  subject: msg.headers?.get("Nats-Subject") ?? "",
  position: numberIn(msg, "Nats-Sequence"),
  record: msg.headers?.get(recordHeader) ?? "",
  isGone: msg.headers?.has(goneHeader) ?? false,
  bytes: msg.data,
});

type Gathering = { readonly messages: Stored[]; end(result: Gathered): void; fail(error: unknown): void };

/** Takes the many answers of direct gets, each get at a subject of its own below one inbox. */
function gatherer(connection: NatsConnection): (subject: string, ask: unknown, timeoutMs: Millis) => Promise<Gathered> {
  const inbox = createInbox();
  const open = new Map<string, Gathering>();
  let count = 0;

  const take = (gathering: Gathering, msg: Msg): void => {
    const code = msg.headers?.code ?? 0;
    const { messages } = gathering;
    if (code === 0) messages.push(storedIn(msg));
    else if (code === 204)
      gathering.end({
        messages,
        isCut: numberIn(msg, "Nats-Num-Pending") > 0,
        upTo: numberIn(msg, "Nats-UpTo-Sequence"),
      });
    else if (code === 404) gathering.end({ messages, isCut: messages.length > 0, upTo: 0 });
    else gathering.fail(unavailable(`a read failed with ${code} ${msg.headers?.description ?? ""}`));
  };
  connection.subscribe(`${inbox}.*`, {
    callback: (_, msg) => {
      const gathering = open.get(msg.subject.slice(inbox.length + 1));
      if (gathering) take(gathering, msg);
    },
  });

  return (subject, ask, timeoutMs) =>
    new Promise((resolve, reject) => {
      const token = String(++count);
      const settle = (): void => {
        clearTimeout(timer);
        open.delete(token);
      };
      const fail = (error: unknown): void => {
        settle();
        reject(error instanceof Error ? error : unavailable("a read failed", error));
      };
      const timer = setTimeout(() => fail(unavailable("no answer came to a read")), timeoutMs);
      open.set(token, {
        messages: [],
        fail,
        end(result) {
          settle();
          resolve(result);
        },
      });
      try {
        connection.publish(subject, JSON.stringify(ask), { reply: `${inbox}.${token}` });
      } catch (error) {
        fail(unavailable("not connected", error));
      }
    });
}

/** What is under way on a connection ends when it breaks, instead of waiting for an answer that cannot come. */
function breaks(connection: NatsConnection): Pick<Link, "onReconnect"> & {
  unlessBroken<T>(asked: Promise<T>): Promise<T>;
} {
  const underWay = new Set<() => void>();
  const listeners: (() => void)[] = [];
  const listen = async (): Promise<void> => {
    for await (const { type } of connection.status()) {
      if (type === "disconnect") for (const end of underWay) end();
      if (type === "reconnect") for (const done of listeners) done();
    }
  };
  void listen();
  return {
    onReconnect: (done) => void listeners.push(done),
    unlessBroken: (asked) =>
      new Promise((resolve, reject) => {
        const end = (): void => reject(new errors.ConnectionError("the connection broke"));
        underWay.add(end);
        void asked.then(resolve, reject).finally(() => underWay.delete(end));
      }),
  };
}

export async function linkOn(connection: NatsConnection): Promise<Link> {
  const client = jetstream(connection);
  const { streams } = await jetstreamManager(connection, { checkAPI: false, timeout: 5000 });
  const gather = gatherer(connection);
  const { unlessBroken, onReconnect } = breaks(connection);
  return {
    connection,
    client,
    streams,
    async publish({ stream, subject, bytes, id, after, behind, record, goneAfter, isGone, timeoutMs }) {
      const carried = headers();
      if (isGone === true) carried.set(goneHeader, "1");
      if (record !== undefined) carried.set(recordHeader, record);
      try {
        const asked = client.publish(subject, bytes, {
          timeout: timeoutMs,
          headers: carried,
          ...(id !== undefined && { msgID: id }),
          ...(after !== undefined && { expect: { lastSubjectSequence: after } }),
          ...(behind !== undefined && { expect: { lastSequence: behind } }),
          ...(goneAfter !== undefined && { ttl: goneAfter }),
        });
        const ack = await unlessBroken(asked);
        if (ack.stream === stream && ack.seq > 0)
          return { kind: "stored", position: ack.seq, isDuplicate: ack.duplicate };
        return { kind: "doubtful", error: new SheafError("CORRUPT", `stream ${ack.stream} took what is ${stream}'s`) };
      } catch (error) {
        return judge(error);
      }
    },
    get: (stream, get, timeoutMs) => unlessBroken(gather(`$JS.API.DIRECT.GET.${stream}`, get, timeoutMs)),
    async look(stream, subjects, timeoutMs) {
      const asked = connection.request(`$JS.API.STREAM.INFO.${stream}`, JSON.stringify({ subjects_filter: subjects }), {
        timeout: timeoutMs,
      });
      const answer = (
        await unlessBroken(asked).catch((error: unknown) => {
          throw unavailable(`nobody leads stream ${stream}`, error);
        })
      ).json<Record<string, unknown>>();
      const { error, state } = answer as {
        error?: { readonly err_code?: number; readonly description?: string };
        state?: { readonly last_seq: number; readonly subjects?: Record<string, number> };
      };
      if (error?.err_code === streamNotFound) return "missing";
      if (state === undefined) throw unavailable(`stream ${stream}: ${error?.description ?? "no answer"}`);
      return { last: state.last_seq, counts: state.subjects ?? {} };
    },
    onReconnect,
    close: () => connection.close(),
  };
}

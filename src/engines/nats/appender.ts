// Appends to shards. The engine checks one number, the position of the subject's last message; ours are checked here.
//
// A1. An append is sent only when the last message known of its shard is the one that it expects, of its generation and of
//     an epoch not above its own, and with that message's position as what the engine expects. Positions are never used
//     twice, so it is stored only directly behind that message: a stale owner whose sequence fits again is not let in.
// A2. One append of a subject is in flight at a time.
// A3. It is `durable` only by an acknowledgement: of the first send, of a repeat that was stored itself (then no earlier copy
//     was: the expected position would not have fitted), or of a repeat that the engine knows by our message id.
// A4. It is `fenced` only when stored messages show that the head is another one. The engine's own "wrong last sequence" may
//     be a deposed server counting what it never got stored, so a barrier decides.
// A5. It is `refused` only when no send had an uncertain end; else it is `unknown`.

import { randomBytes } from "node:crypto";
import { type Shard, SheafError } from "../../base/index.ts";
import type { Append, AppendResult } from "../../journal/index.ts";
import { type JournalStream, sound } from "./journal-stream.ts";
import { type Link, unavailable } from "./link.ts";
import type { Known } from "./mirror.ts";
import { deadlineIn } from "./patience.ts";

export type AppenderOptions = {
  readonly link: Link;
  readonly maxRecordBytes: number;
  readonly patienceMs: number;
  readonly streamOf: (shard: Shard) => JournalStream;
};

export function appender(options: AppenderOptions): (one: Append) => Promise<AppendResult> {
  const { link, maxRecordBytes, patienceMs, streamOf } = options;
  const handle = randomBytes(9).toString("base64url");
  const lanes = new Map<Shard, Promise<unknown>>();
  let count = 0;

  async function send(one: Append): Promise<AppendResult> {
    const stream = streamOf(one.shard);
    const id = `${handle}.${++count}`;
    const deadline = deadlineIn(patienceMs);
    let doubt: unknown;
    let why: unknown;
    const unsure = (error: unknown): AppendResult =>
      doubt === undefined ? { kind: "refused", error } : { kind: "unknown", error: doubt };
    try {
      const known = await whatIsExpected(stream, one);
      if (known === undefined) return { kind: "fenced" };
      // The library keeps what it has not sent yet; the caller's array is the caller's.
      const bytes = one.record.slice();
      const record = `${one.generation} ${one.epoch} ${one.expected + 1}`;
      for (;;) {
        const before = stream.mirror.through;
        const sent = await link.publish({
          stream: stream.name,
          subject: stream.subjects.of(one.shard),
          bytes,
          id,
          after: known.position,
          record,
          timeoutMs: deadline.tryMs(),
        });
        if (sent.kind === "stored") {
          if (!sent.isDuplicate) stream.acknowledged(sent.position, before);
          stream.mirror.note(one.shard, sent.position, record);
          return { kind: "durable" };
        }
        if (sent.kind === "full") return unsure(sent.error);
        if (sent.kind === "doubtful") doubt = sent.error;
        if (sent.kind === "busy") why = sent.error;
        if (sent.kind === "refused") {
          if (isAsExpected(stream.mirror.known(one.shard), one)) await stream.barrier();
          if (!isAsExpected(sound(stream.mirror.known(one.shard)), one)) return { kind: "fenced" };
        }
        if (deadline.isOver()) return unsure(unavailable(`stream ${stream.name} takes no appends`, why));
        await deadline.pause();
      }
    } catch (error) {
      return unsure(error);
    }
  }

  return (one) => {
    const { length } = one.record;
    if (length > maxRecordBytes) {
      const error = new SheafError("TOO_LARGE", `a record of ${length} bytes is over ${maxRecordBytes}`);
      return Promise.resolve({ kind: "refused", error });
    }
    const mine = (lanes.get(one.shard) ?? Promise.resolve()).then(() => send(one));
    lanes.set(one.shard, mine);
    void mine.then(() => lanes.get(one.shard) === mine && lanes.delete(one.shard));
    return mine;
  };
}

const isAsExpected = ({ head }: Known, one: Append): boolean =>
  head.generation === one.generation && head.seq === one.expected && head.epoch <= one.epoch;

/** The head that an append expects, or undefined when the head is another one. A head that was not known to have come so
 *  far is looked at linearizably first. */
async function whatIsExpected(stream: JournalStream, one: Append): Promise<Known | undefined> {
  let known = await stream.known(one.shard);
  if (known.head.seq < one.expected) {
    await stream.barrier();
    known = sound(stream.mirror.known(one.shard));
  }
  return isAsExpected(known, one) ? known : undefined;
}

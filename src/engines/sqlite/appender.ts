// The caller's side of an append: packs the batch, sends it to the writer's thread, and reads its verdicts.

import { SheafError } from "../../base/index.ts";
import type { Append, AppendResult } from "../../journal/index.ts";
import { untold, type Link } from "./link.ts";
import { packAppends } from "./packed.ts";
import type { AppendReply, WriterAsk } from "./worker.ts";

/** Up to this size a copy is quicker than the bookkeeping of a transfer. */
const copiedBytes = 16 * 1024;

/** As `Engine.append`; `onCheckpointDue` is called when the write-ahead log has grown enough, `onFoldingStopped` when what
 *  the journal holds contradicts itself, `onKilled` when a process was killed that stood still with the lock. */
export function appender(
  writer: Link,
  maxRecordBytes: number,
  onCheckpointDue: () => void,
  onFoldingStopped: (error: SheafError) => void,
  onKilled: (says: string) => void,
): (batch: readonly Append[]) => Promise<readonly AppendResult[]> {
  async function send(batch: readonly Append[]): Promise<readonly AppendResult[]> {
    const packed = packAppends(batch);
    try {
      const ask: WriterAsk = { kind: "append", packed };
      const large = packed.bytes.length > copiedBytes;
      const reply = await writer.ask<AppendReply>(ask, large ? [packed.numbers.buffer, packed.bytes.buffer] : []);
      if (reply.checkpointDue) onCheckpointDue();
      if (reply.foldingStopped) onFoldingStopped(untold(reply.foldingStopped));
      if (reply.killed !== undefined) onKilled(reply.killed);
      const error = reply.error && untold(reply.error);
      return batch.map((_, i): AppendResult => {
        const kind = reply.each?.[i] ?? "durable";
        return kind === "durable" || kind === "fenced" ? { kind } : { kind, error };
      });
    } catch (error) {
      return batch.map(() => ({ kind: "unknown", error }));
    }
  }

  return async (batch) => {
    const fits = batch.filter(({ record }) => record.length <= maxRecordBytes);
    if (fits.length === batch.length) return send(batch);
    const results = fits.length > 0 ? await send(fits) : [];
    let next = 0;
    return batch.map(({ shard, record }): AppendResult => {
      if (record.length <= maxRecordBytes) return results[next++] as AppendResult;
      const says = `the record of shard ${shard} has ${record.length} bytes; the engine takes ${maxRecordBytes}`;
      return { kind: "refused", error: new SheafError("TOO_LARGE", says) };
    });
  };
}

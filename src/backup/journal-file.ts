// One shard's records in a file: each behind its length, 4 bytes, big-endian.

import { concat, mostRecordBytes, type Seq, type Shard, SheafError } from "../base/index.ts";

/** A record and where it stands; the epoch where the engine keeps it apart. */
export type Kept = {
  readonly shard: Shard;
  readonly seq: Seq;
  readonly epoch?: number | undefined;
  readonly record: Uint8Array;
};

const lengthBytes = 4;
/** Records are given on in pages of about this many bytes. */
const pageBytes = 4 * 1024 * 1024;

export function framed(records: readonly Uint8Array[]): Uint8Array {
  return concat(
    records.flatMap((record) => {
      const length = new Uint8Array(lengthBytes);
      new DataView(length.buffer).setUint32(0, record.length);
      return [length, record];
    }),
  );
}

/** The records of a file, in pages. Throws CORRUPT when it is cut short; whether they are whole is for others to say. */
export async function* entriesIn(
  chunks: AsyncIterable<Uint8Array>,
  shard: Shard,
  first: Seq,
): AsyncGenerator<readonly Kept[]> {
  let seq = first;
  let rest: Uint8Array = new Uint8Array(0);
  for await (const chunk of chunks) {
    rest = rest.length === 0 ? chunk : concat([rest, chunk]);
    const entries: Kept[] = [];
    for (;;) {
      if (rest.length < lengthBytes) break;
      const length = new DataView(rest.buffer, rest.byteOffset).getUint32(0);
      if (length > mostRecordBytes) throw cut(shard, seq);
      if (rest.length < lengthBytes + length) break;
      const record = rest.slice(lengthBytes, lengthBytes + length);
      rest = rest.subarray(lengthBytes + length);
      entries.push({ shard, seq: seq++, record });
    }
    for (let at = 0; at < entries.length;) {
      const from = at;
      for (let bytes = 0; at < entries.length && (at === from || bytes < pageBytes); at++)
        bytes += entries[at]!.record.length;
      yield entries.slice(from, at);
    }
  }
  if (rest.length > 0) throw cut(shard, seq);
}

const cut = (shard: Shard, seq: Seq): SheafError =>
  new SheafError("CORRUPT", `record ${seq} of shard ${shard} is cut short`);

// Appends and entries as they cross threads: one buffer of numbers and one of bytes, both transferred. Cloning one
// small array per record would cost more than the commit.

import { concat } from "../../base/index.ts";
import type { Append, Entry } from "../../journal/index.ts";

export type Packed = { readonly numbers: Float64Array<ArrayBuffer>; readonly bytes: Uint8Array<ArrayBuffer> };

const appendWidth = 5; // shard, generation, epoch, expected, length
export const countAppends = (packed: Packed): number => packed.numbers.length / appendWidth;

export function packAppends(batch: readonly Append[]): Packed {
  const numbers = new Float64Array(batch.length * appendWidth);
  batch.forEach(({ shard, generation, epoch, expected, record }, i) => {
    const at = i * appendWidth;
    numbers[at] = shard;
    numbers[at + 1] = generation;
    numbers[at + 2] = epoch;
    numbers[at + 3] = expected;
    numbers[at + 4] = record.length;
  });
  return { numbers, bytes: concat(batch.map(({ record }) => record)) };
}

export function* unpackAppends({ numbers, bytes }: Packed): Generator<Append> {
  let at = 0;
  for (let i = 0; i < numbers.length; i += appendWidth) {
    // By index: taking a view apart by its iterator costs more than the record's insert.
    const number = (place: number): number => numbers[i + place] as number;
    yield {
      shard: number(0),
      generation: number(1),
      epoch: number(2),
      expected: number(3),
      record: bytes.subarray(at, (at += number(4))),
    };
  }
}

const entryWidth = 3; // seq, epoch, length

export function packEntries(entries: readonly Omit<Entry, "shard">[]): Packed {
  const numbers = new Float64Array(entries.length * entryWidth);
  entries.forEach(({ seq, epoch, record }, i) => numbers.set([seq, epoch, record.length], i * entryWidth));
  return { numbers, bytes: concat(entries.map(({ record }) => record)) };
}

export function unpackEntries(shard: number, { numbers, bytes }: Packed): Entry[] {
  const entries: Entry[] = [];
  let at = 0;
  for (let i = 0; i < numbers.length; i += entryWidth) {
    const [seq, epoch, length] = numbers.subarray(i, i + entryWidth) as unknown as [number, number, number];
    entries.push({ shard, seq, epoch, record: bytes.subarray(at, (at += length)) });
  }
  return entries;
}

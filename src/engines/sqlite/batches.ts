// Rows of the tables batch and run: records one after another in `bytes`, and in `places` a JSON array that says whose
// they are. A batch has shard, epoch, sequence, length of each record; a run, all of one shard and without gaps, only
// epoch and length.

import { SheafError, type Epoch, type Seq, type Shard } from "../../base/index.ts";

/** Where one record is: `at` is its offset in the row's bytes. */
export type Place = {
  readonly shard: Shard;
  readonly epoch: Epoch;
  readonly seq: Seq;
  readonly at: number;
  readonly length: number;
};

const batchWidth = 4;
const runWidth = 2;

function numbersIn(text: string, width: number, where: string): number[] {
  let numbers: unknown;
  try {
    numbers = JSON.parse(text);
  } catch {}
  if (
    Array.isArray(numbers) &&
    numbers.length % width === 0 &&
    numbers.every((value) => Number.isSafeInteger(value) && value >= 0)
  )
    return numbers as number[];
  throw new SheafError("CORRUPT", `the index of ${where} cannot be read`, {
    hint: "restore the data directory from a backup",
  });
}

export function batchPlaces(id: number, text: string): Place[] {
  const numbers = numbersIn(text, batchWidth, `batch ${id}`);
  const places: Place[] = [];
  let at = 0;
  for (let i = 0; i < numbers.length; i += batchWidth) {
    const length = numbers[i + 3] as number;
    places.push({
      shard: numbers[i] as number,
      epoch: numbers[i + 1] as number,
      seq: numbers[i + 2] as number,
      at,
      length,
    });
    at += length;
  }
  return places;
}

export function runPlaces(shard: Shard, first: Seq, text: string): Place[] {
  const numbers = numbersIn(text, runWidth, `records ${first} and after of shard ${shard}`);
  const places: Place[] = [];
  let at = 0;
  for (let i = 0; i < numbers.length; i += runWidth) {
    const length = numbers[i + 1] as number;
    places.push({ shard, epoch: numbers[i] as number, seq: first + i / runWidth, at, length });
    at += length;
  }
  return places;
}

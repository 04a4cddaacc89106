// What the long works of this folder share: several shards at a time, progress, and being called off.

import { SheafError } from "../base/index.ts";
import type { Compress, Clock, Crypto } from "../host/index.ts";

/** How far a work is. */
export type Progress = {
  readonly doing: "copying" | "checking" | "restoring";
  readonly shardsDone: number;
  readonly shards: number;
  readonly records: number;
  readonly bytes: number;
};

/** What every work of this folder is given. */
export type Work = {
  readonly host: { readonly crypto: Crypto; readonly compress: Compress; readonly clock: Pick<Clock, "now" | "after"> };
  /** 32 bytes; undefined when the cluster is not encrypted, or its payloads need not be read. */
  readonly key?: Uint8Array | undefined;
  /** Called as the work goes on, often. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Asked often: once true the work ends with CANCELLED, and leaves nothing that looks whole. */
  readonly cancelled?: (() => boolean) | undefined;
};

/** A page of each of these may be in memory at once. */
const atOnce = 4;

/** Runs `act` for all, some at a time, and waits for all that run also when one rejects. */
export async function forEach<T>(all: readonly T[], act: (one: T) => Promise<void>): Promise<void> {
  const left = [...all];
  let failed: { readonly error: unknown } | undefined;
  const worker = async (): Promise<void> => {
    for (let one = left.shift(); one !== undefined && !failed; one = left.shift()) {
      try {
        await act(one);
      } catch (error) {
        failed ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, all.length) }, worker));
  if (failed) throw failed.error;
}

export type Meter = {
  /** Throws CANCELLED when the work is called off. */
  add(records: number, bytes: number): void;
  shardDone(): void;
};

export function meterOf({ onProgress, cancelled }: Work, doing: Progress["doing"], shards: number): Meter {
  const now = { doing, shardsDone: 0, shards, records: 0, bytes: 0 };
  const step = (): void => {
    if (cancelled?.()) throw new SheafError("CANCELLED", undefined, { outcome: "not-applied" });
    onProgress?.({ ...now });
  };
  step();
  return {
    add(records, bytes) {
      now.records += records;
      now.bytes += bytes;
      step();
    },
    shardDone() {
      now.shardsDone++;
      step();
    },
  };
}

// What every engine's restoration refuses, in the same words.

import { SheafError } from "../base/index.ts";
import type { Entry, Head } from "./engine.ts";

/** `where` names the engine's place for a person. */
export const unfinishedRestoration = (where: string, cluster: string): SheafError =>
  new SheafError("ENGINE_REFUSED", `${where} holds a restoration of the cluster "${cluster}" that was not finished`, {
    hint: "run the same sheaf restore with --again: it removes what is there and begins anew",
  });

/** Throws CORRUPT unless the entries follow one another, and what the shard has when that is anything. */
export function checkContinues(head: Pick<Head, "shard" | "seq">, entries: readonly Entry[]): void {
  let before = head.seq === 0 ? (entries[0]?.seq ?? 1) - 1 : head.seq;
  for (const { seq } of entries)
    if (seq !== ++before)
      throw new SheafError("CORRUPT", `record ${seq} of shard ${head.shard} does not follow ${before - 1}`);
}

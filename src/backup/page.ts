// Reading a journal to a record that is known to be there.

import { type Seq, type Shard, SheafError } from "../base/index.ts";
import type { Engine, Page } from "../journal/index.ts";
import type { Work } from "./pool.ts";

const pageRecords = 512;
/** An engine that answers from an old copy of itself is asked again, so often and after this long. */
const mostStale = 200;
const staleMs = 25;

/** A page with the record at `seq`, or with the first one that is left when that was trimmed. Throws CORRUPT when the engine
 *  has lost it. */
export async function pageWith(engine: Engine, { clock }: Work["host"], shard: Shard, seq: Seq): Promise<Page> {
  for (let stale = 0; stale < mostStale; stale++) {
    const page = await engine.read(shard, seq, pageRecords);
    if (page.entries.length > 0) return page;
    if (page.head.seq >= seq && page.first <= seq)
      throw new SheafError("CORRUPT", `record ${seq} is missing: the journal ends at ${page.head.seq}`);
    await new Promise<void>((resolve) => void clock.after(staleMs, resolve));
  }
  throw new SheafError("ENGINE_UNAVAILABLE", "the engine answers from an old copy of itself");
}

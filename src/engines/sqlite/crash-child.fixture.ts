// Appends numbered records to its own shards until it is killed, and says on standard output what was acknowledged:
// "start SHARD:SEQ …" with the heads it found, then "ack SHARD:SEQ …" for each batch.

import { createHash } from "node:crypto";
import { writeSync } from "node:fs";
import type { Append, Head } from "../../journal/index.ts";
import { prepareFolder } from "./journal-file.ts";
import { packAppends } from "./packed.ts";
import { openReader } from "./reader.ts";
import { openWriter } from "./writer.ts";

/** A record that tells its place and whether it is whole. Sizes vary from tens of bytes to several pages. */
export function numbered(shard: number, seq: number): Uint8Array {
  const text = `${shard}:${seq}:${"x".repeat((seq * 7919 + shard * 104_729) % 9000)}`;
  return Buffer.from(`${text}:${createHash("sha256").update(text).digest("hex")}`);
}

/** Appends through the whole engine: two appends under way at a time, so that some are merged into one transaction. */
async function throughEngine(dir: string, shards: readonly number[]): Promise<void> {
  const { embeddedEngine } = await import("./engine.ts");
  const engine = await embeddedEngine({ dir });
  const heads = (await engine.barrier(shards)).map((head) => ({ ...head }));
  tell("start", heads);
  async function loop(mine: typeof heads): Promise<void> {
    for (;;) {
      const results = await engine.append(mine.map(following));
      if (results.some(({ kind }) => kind !== "durable")) throw new Error(`not durable: ${JSON.stringify(results)}`);
      for (const head of mine) head.seq++;
      tell("ack", mine);
    }
  }
  const half = heads.length / 2;
  await Promise.all([loop(heads.slice(0, half)), loop(heads.slice(half))]);
}

/** Appends by what the engine's worker thread runs, without the thread: several times quicker to start. */
function throughWriter(dir: string, shards: readonly number[]): void {
  prepareFolder(dir, 5000);
  const reader = openReader(dir, 5000);
  const writer = openWriter(dir, 5000);
  const heads = reader.heads(shards).map((head) => ({ ...head }));
  tell("start", heads);
  const half = heads.length / 2;
  for (;;) {
    const groups = [heads.slice(0, half), heads.slice(half)];
    const verdicts = writer.append(groups.map((mine) => packAppends(mine.map(following))));
    if (verdicts.some(({ each }) => each.some((verdict) => verdict !== "durable")))
      throw new Error(JSON.stringify(verdicts));
    for (const head of heads) head.seq++;
    for (const mine of groups) tell("ack", mine);
    if (heads[0]!.seq % 4 === 0) writer.foldSlice();
    if (writer.checkpointDue()) writer.finishCheckpoint();
  }
}

const following = ({ shard, generation, epoch, seq }: Head): Append => ({
  shard,
  generation,
  epoch: epoch + 1,
  expected: seq,
  record: numbered(shard, seq + 1),
});
const tell = (kind: string, heads: readonly Head[]): void =>
  void writeSync(1, `${kind} ${heads.map(({ shard, seq }) => `${shard}:${seq}`).join(" ")} end\n`);

if (import.meta.main) {
  const [through, dir, first, count] = process.argv.slice(2) as [string, string, string, string];
  const shards = Array.from({ length: Number(count) }, (_, i) => Number(first) + i);
  if (through === "engine") await throughEngine(dir, shards);
  else throughWriter(dir, shards);
}

// Another process: appends one record to each of the shards it is told of, one after another, as often as it is asked
// on its standard input, and says "done" for each time.

import { createInterface } from "node:readline";
import { embeddedEngine } from "./engine.ts";

const [dir, ...shards] = process.argv.slice(2);
const engine = await embeddedEngine({ dir: dir as string });
console.log("done");
for await (const _ of createInterface({ input: process.stdin })) {
  for (const { shard, generation, epoch, seq } of await engine.barrier(shards.map(Number)))
    await engine.append([{ shard, generation, epoch, expected: seq, record: Uint8Array.of(shard, seq) }]);
  console.log("done");
}
await engine.close();

// What entities in memory take: a node in this process runs commands on few entities, then on many, and is collected in between.
// Prints what it held before and after as JSON: resident, and in use by the heap and by buffers.
//
//   node --expose-gc bench/hot.ts FEW MANY

import { join } from "node:path";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { anonymous } from "../src/rpc/index.ts";
import benchApp, { Counter } from "../src/cli/bench-app.ts";
import { filledKey } from "./fill.ts";
import { removeFolders, freshFolder } from "./folders.ts";
import { startedHere } from "./ours.ts";

type Held = { readonly resident: number; readonly inUse: number };

/** So long that all that changed is saved and what it took is free to be collected. */
const settleMs = 4000;
const [few = 0, many = 0] = process.argv.slice(2).map(Number);
const { node, stop } = await startedHere(join(freshFolder(), "data"), benchApp);
const input = { by: 1, memo: "x".repeat(180) };

async function held(): Promise<Held> {
  for (let n = 0; n < 3; n++) {
    await pause(settleMs / 3);
    // With nothing kept for later: what is resident then is needed.
    await globalThis.gc?.({ type: "major", execution: "async", flavor: "last-resort" });
  }
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  return { resident: rss, inUse: heapUsed + arrayBuffers };
}

async function work(spread: number): Promise<void> {
  let next = 0;
  const caller = async (): Promise<void> => {
    while (next < many) {
      const key = filledKey(next++ % spread);
      const target = { kind: "command", entity: Counter.name, key, name: "add" } as const;
      await node.call({ target, input, principal: anonymous, deadline: performance.now() + 60_000 });
    }
  };
  await Promise.all(Array.from({ length: 512 }, caller));
}

await work(few);
const before = await held();
await work(many);
const after = await held();
await stop();
removeFolders();
process.stdout.write(JSON.stringify({ before, after }));
process.exit(0);

// That an idle thread gives back what starting up left, once, and that a busy one is left alone.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";

test("collect: an idle thread's garbage is gone a few seconds after it was made", async (t) => {
  const collect = JSON.stringify(new URL("./collect.ts", import.meta.url));
  // The garbage is old by then, so only a full collection finds it.
  const code = `
    import { parentPort } from "node:worker_threads";
    const { collectWhenIdle } = await import(${collect});
    let garbage = Array.from({ length: 400_000 }, (_, n) => ({ n }));
    const made = process.memoryUsage().heapUsed;
    garbage = undefined;
    collectWhenIdle();
    const timer = setInterval(() => {
      if (process.memoryUsage().heapUsed > made - 8_000_000) return;
      parentPort.postMessage("gone");
      clearInterval(timer);
    }, 50);`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), { execArgv: [] });
  t.after(() => worker.terminate());
  assert.deepEqual(await once(worker, "message"), ["gone"]);
});

// A process whose storage thread does what its argument says when it is asked: "throw", "exit", or "answer". As a thread it
// is that thread.

import { isMainThread, parentPort } from "node:worker_threads";
import { startWorker } from "./link.ts";

if (isMainThread) {
  const link = await startWorker(import.meta.url, "link.fixture", undefined);
  const answer = link.ask({ kind: process.argv[2] }).then(String, (error: { code: string }) => error.code);
  console.log(await answer);
  await link.end();
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
  console.log("still here");
} else {
  parentPort?.on("message", ({ id, ask }: { id: number; ask: { kind: string } }) => {
    if (ask.kind === "throw") throw new Error("out of everything");
    if (ask.kind === "exit") process.exit(3);
    parentPort?.postMessage([{ id, ok: ask.kind }], []);
    if (ask.kind === "close") parentPort?.close();
  });
}

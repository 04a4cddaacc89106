// A process of callers that keep to a pace whatever comes of their calls: an open loop. Told over IPC how fast, for how long, what
// and how; answers with what came of the calls, by the half second in which they were made.

import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { SheafError } from "../src/base/index.ts";
import { connect } from "../src/client/index.ts";
import overloadApp, { Till } from "./overload-app.ts";

export type Asked = {
  readonly url: string;
  readonly transport: "socket" | "http";
  readonly perSecond: number;
  readonly ms: number;
  readonly deadlineMs: number;
  /** Of so many commands one leaves another; 0 for none. */
  readonly passEvery: number;
};

/** `later`: those of the refusals that say when to come again. */
export type Refusals = { count: number; later: number };
/** `answered`: of those that were asked in this span. `done`: answered in this span. */
export type Bin = { asked: number; answered: number; done: number };
export type Told = {
  readonly bins: readonly Bin[];
  /** Of those that were answered, in milliseconds. */
  readonly took: readonly number[];
  readonly refused: Readonly<Record<string, Refusals>>;
};

export const binMs = 500;
const tickMs = 4;
const keys = 1000;
/** Calls of one process that wait at once: more than its deadline and pace ever come to. */
const connections = 4;
const memo = "x".repeat(80);

export async function ask({ url, transport, perSecond, ms, deadlineMs, passEvery }: Asked): Promise<Told> {
  const bins: Bin[] = Array.from({ length: Math.ceil(ms / binMs) }, () => ({ asked: 0, answered: 0, done: 0 }));
  const took: number[] = [];
  const refused: Record<string, Refusals> = {};
  const clients = Array.from({ length: connections }, () => connect(overloadApp.contract, { url, transport }));
  const open = new Set<Promise<void>>();
  const began = performance.now();

  const once = async (n: number, bin: Bin): Promise<void> => {
    const start = performance.now();
    const face = clients[n % connections]!.entity(Till, `k${n % keys}`);
    bin.asked++;
    try {
      const passes = passEvery > 0 && n % passEvery === 0;
      if (passes) await face.pass({ n, memo, to: `k${(n * 7) % keys}` }, { deadlineMs });
      else await face.add({ n, memo }, { deadlineMs });
      const end = performance.now();
      took.push(end - start);
      bin.answered++;
      const last = bins[Math.floor((end - began) / binMs)];
      if (last) last.done++;
    } catch (error) {
      const code = error instanceof SheafError ? error.code : "INTERNAL";
      const of = (refused[code] ??= { count: 0, later: 0 });
      of.count++;
      if (error instanceof SheafError && error.retryAfterMs !== undefined) of.later++;
    }
  };

  for (let n = 0, now = began; now < began + ms; now = performance.now()) {
    const bin = bins[Math.min(bins.length - 1, Math.floor((now - began) / binMs))]!;
    for (const due = ((now - began) * perSecond) / 1000; n < due; n++) {
      const call: Promise<void> = once(n, bin).finally(() => open.delete(call));
      open.add(call);
    }
    await pause(tickMs);
  }
  await Promise.all(open);
  for (const client of clients) client.close();
  return { bins, took, refused };
}

if (import.meta.main) {
  process.on("message", (asked: Asked) => void ask(asked).then((told) => process.send?.(told)));
  process.on("disconnect", () => process.exit(0));
}

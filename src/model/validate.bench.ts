// What checking one call costs: validation of a two-field zod object, and the plain-data pass, in nanoseconds per value.
// Prints one line of JSON: { validateNs, plainNs, bothNs, plainDeepNs, node }. Run: node src/model/validate.bench.ts

import { z } from "zod";
import { checker, plain } from "./index.ts";

const check = checker(z.object({ cents: z.number().int(), memo: z.string() }), "the input", "BAD_INPUT");
const value = { cents: 500, memo: "for the coffee" };
const deep = {
  account: { cents: 1, tags: ["a", "b", "c"] },
  log: Array.from({ length: 20 }, (_, i) => ({ at: i, memo: "entry" })),
};

let sink: unknown;

/** The best of ten rounds: the others met something else that the machine was doing. */
function nanos(run: () => unknown, times = 200_000): number {
  let best = Infinity;
  for (let round = 0; round < 10; round++) {
    const start = performance.now();
    for (let i = 0; i < times; i++) sink = run();
    best = Math.min(best, ((performance.now() - start) * 1e6) / times);
  }
  return Math.round(best);
}

const result = {
  validateNs: nanos(() => check(value)),
  plainNs: nanos(() => plain(value, "the output", "BAD_OUTPUT")),
  bothNs: nanos(() => plain(check(value), "the output", "BAD_OUTPUT")),
  plainDeepNs: nanos(() => plain(deep, "the output", "BAD_OUTPUT"), 20_000),
  node: process.version,
};
if (sink === undefined) throw new Error("nothing was measured");
console.log(JSON.stringify(result));

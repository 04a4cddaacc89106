// What an answer costs when it is kept, and when it is computed from the state anew.
//   node src/entities/query-cache.bench.ts

import type { Host } from "../host/index.ts";
import type { CompiledEntity } from "../model/index.ts";
import { pack, unpack } from "../wire/index.ts";
import type { Ask } from "./query.ts";
import { QueryCache } from "./query-cache.ts";

const host = {
  meter: { counter: () => ({ add: () => {} }) },
  faults: { mutant: () => false },
} as unknown as Host;
const cache = new QueryCache({ queryCacheBytes: 16 * 1024 * 1024 }, host);
const code = { contract: { name: "account" } } as CompiledEntity;

function timed(times: number, once: () => unknown): number {
  for (let i = 0; i < times / 10; i++) once();
  const began = process.hrtime.bigint();
  for (let i = 0; i < times; i++) once();
  return Number(process.hrtime.bigint() - began) / times / 1000;
}

// The first is there to warm up.
for (const entries of [10, 1, 100, 1000, 10_000]) {
  const state = pack({
    entries: Array.from({ length: entries }, (_, n) => ({ at: n, cents: n * 7, memo: "a payment" })),
  });
  const ask = { entity: code, operation: { name: "sum" }, key: `k${entries}`, input: { from: 1 } };
  const asked = { ...ask, shard: { fold: { generation: 1 } } } as unknown as Ask;
  const handler = (): number =>
    (unpack(state) as { entries: { cents: number }[] }).entries.reduce((sum, { cents }) => sum + cents, 0);
  const place = cache.place(asked, 1);
  if (place) cache.keep(place, handler());
  const times = Math.ceil(2_000_000 / (entries + 20));
  const computedMicros = timed(times, handler);
  const keptMicros = timed(times, () => {
    const at = cache.place(asked, 1);
    return at && cache.find(at);
  });
  const round = (micros: number): number => Math.round(micros * 100) / 100;
  if (entries === 10) continue;
  console.log(
    JSON.stringify({
      name: "query cache",
      stateBytes: state.length,
      computedMicros: round(computedMicros),
      keptMicros: round(keptMicros),
      ratio: round(computedMicros / keptMicros),
    }),
  );
}

// Measures pack and unpack of one small object. Prints one line of JSON, nanoseconds each, best of several rounds.

import { pack, unpack, unpackUntrusted } from "./index.ts";

const small = {
  type: "account",
  key: "acc-1234",
  version: 17,
  cents: 123456,
  flags: [1, 2, 3],
  name: "Some One",
  at: 1732350000123,
};
const bytes = pack(small);
const text = JSON.stringify(small);

function nanoseconds(run: () => unknown): number {
  const runs = 100_000;
  let best = Infinity;
  for (let round = 0; round < 9; round++) {
    const began = performance.now();
    for (let i = 0; i < runs; i++) run();
    best = Math.min(best, ((performance.now() - began) * 1e6) / runs);
  }
  return Math.round(best);
}

console.log(
  JSON.stringify({
    bytes: bytes.length,
    packNs: nanoseconds(() => pack(small)),
    unpackNs: nanoseconds(() => unpack(bytes)),
    unpackUntrustedNs: nanoseconds(() => unpackUntrusted(bytes)),
    jsonStringifyNs: nanoseconds(() => JSON.stringify(small)),
    jsonParseNs: nanoseconds(() => JSON.parse(text)),
  }),
);

// Measures a record's way to bytes and back, which runs per shard per flush on the main thread, and from what size zstd
// pays. Prints one line of JSON; times are microseconds, best of several rounds.

import { realCompress, realCrypto } from "../platform/crypto.ts";
import { recordCodec } from "./index.ts";
import { sampleBatch, sampleCluster, sampleKey, sampleRecord } from "./sample.ts";

const options = { crypto: realCrypto, compress: realCompress, cluster: sampleCluster };
const variants = {
  plain: recordCodec({ ...options, compressFromBytes: Infinity }),
  compressed: recordCodec({ ...options, compressFromBytes: 0 }),
  sealed: recordCodec({ ...options, compressFromBytes: Infinity, key: sampleKey }),
};

function microseconds(run: () => unknown): number {
  const runs = 3000;
  let best = Infinity;
  for (let round = 0; round < 9; round++) {
    const began = performance.now();
    for (let i = 0; i < runs; i++) run();
    best = Math.min(best, ((performance.now() - began) * 1e3) / runs);
  }
  return Math.round(best * 10) / 10;
}

const results: Record<string, Record<string, number>> = {};
for (const commits of [1, 4, 8, 64])
  for (const [name, codec] of Object.entries(variants)) {
    const record = sampleRecord(sampleBatch(commits));
    const { bytes } = codec.encode(record);
    results[`${name}-${commits}`] = {
      bytes: bytes.length,
      encodeUs: microseconds(() => codec.encode(record)),
      decodeUs: microseconds(() => codec.decode(bytes, record.header)),
    };
  }
console.log(JSON.stringify(results));

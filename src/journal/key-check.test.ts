import assert from "node:assert/strict";
import { test } from "node:test";
import { realCrypto } from "../platform/crypto.ts";
import { keyFits, makeKeyCheck } from "./index.ts";
import { sampleCluster, sampleKey } from "./sample.ts";

let rolls = 0;
const dice = { random: () => 0.5, bytes: (n: number) => new Uint8Array(n).fill(++rolls), id: () => "" };

test("key check: fits the key and cluster it was made for, and nothing else", () => {
  const check = makeKeyCheck(realCrypto, dice, sampleKey, sampleCluster);
  assert.equal(keyFits(realCrypto, sampleKey, sampleCluster, check), true);
  assert.equal(keyFits(realCrypto, new Uint8Array(32), sampleCluster, check), false);
  assert.equal(keyFits(realCrypto, sampleKey, "f".repeat(32), check), false);
  for (let bit = 0; bit < check.length * 8; bit++) {
    const bent = check.slice();
    bent[bit >> 3]! ^= 1 << (bit & 7);
    assert.equal(keyFits(realCrypto, sampleKey, sampleCluster, bent), false);
  }
  assert.equal(keyFits(realCrypto, sampleKey, sampleCluster, check.subarray(1)), false);
  assert.equal(keyFits(realCrypto, sampleKey, sampleCluster, new Uint8Array(0)), false);
});

test("key check: two checks of one key do not look alike", () => {
  const [a, b] = [
    makeKeyCheck(realCrypto, dice, sampleKey, sampleCluster),
    makeKeyCheck(realCrypto, dice, sampleKey, sampleCluster),
  ];
  assert.notDeepEqual(a, b);
});

// The cryptography of a simulated node, synchronous, with nonces from the seeded dice so that sealed bytes repeat with the
// seed. It stands in for the real one, in an eighth of its time: a world asks for it with every record, and nobody in it
// forges any. What the real one refuses because a key, a bit or a place is another, this refuses too.

import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { bytesEqual, concat } from "../base/index.ts";
import type { Compress, Crypto } from "../host/index.ts";
import type { Random } from "./random.ts";

const nonceBytes = 12;
const tagBytes = 16;

export function simCrypto(random: Random): Crypto {
  return {
    sha256: (data) => digest(data, 0, 0),
    hmacSha256: keyed,
    seal(key, plain, aad) {
      const nonce = random.bytes(nonceBytes);
      const body = masked(key, nonce, plain);
      return concat([nonce, body, tagOf(key, nonce, body, aad)]);
    },
    open(key, sealed, aad) {
      if (sealed.length < nonceBytes + tagBytes) return undefined;
      const nonce = sealed.subarray(0, nonceBytes);
      const body = sealed.subarray(nonceBytes, sealed.length - tagBytes);
      const isWhole = bytesEqual(sealed.subarray(sealed.length - tagBytes), tagOf(key, nonce, body, aad));
      return isWhole ? masked(key, nonce, body) : undefined;
    },
    equal: bytesEqual,
  };
}

function keyed(key: Uint8Array, data: Uint8Array): Uint8Array {
  const [high, low] = new Uint32Array(digest(key, 1, 0).buffer);
  return digest(data, high!, low!);
}

const tagOf = (key: Uint8Array, nonce: Uint8Array, body: Uint8Array, aad: Uint8Array): Uint8Array =>
  keyed(key, concat([nonce, Uint8Array.of(aad.length), aad, body])).subarray(0, tagBytes);

/** Every byte changed by one that follows from key, nonce and place. Twice gives the bytes again. */
function masked(key: Uint8Array, nonce: Uint8Array, bytes: Uint8Array): Uint8Array {
  let [state] = new Uint32Array(keyed(key, nonce).buffer);
  return bytes.map((byte) => {
    state = Math.imul(state! ^ (state! >>> 15), 0x2c1b3c6d) + 0x9e3779b9;
    return byte ^ (state >>> 24);
  });
}

const digestWords = 8;

/** 32 bytes in an array of their own. Two lanes of multiply and xor take the bytes in, four at a time; every step can be
 *  undone, so that inputs of one length that differ in one place differ in both. */
function digest(bytes: Uint8Array, keyHigh: number, keyLow: number): Uint8Array {
  const { length } = bytes;
  let high = 0x6a09e667 ^ keyHigh;
  let low = 0xbb67ae85 ^ keyLow;
  let at = 0;
  for (; at + 4 <= length; at += 4) {
    const word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    high = Math.imul(high ^ word, 0x9e3779b1);
    high ^= high >>> 15;
    low = Math.imul(low ^ word, 0x85ebca77);
    low ^= low >>> 13;
  }
  let rest = length;
  for (; at < length; at++) rest = (rest << 8) ^ bytes[at]!;
  const found = new Uint32Array(digestWords);
  for (let i = 0; i < digestWords; i += 2) {
    high = Math.imul(high ^ (rest + i), 0x9e3779b1);
    high ^= high >>> 15;
    low = Math.imul(low ^ (rest + i), 0x85ebca77);
    low ^= low >>> 13;
    found[i] = high;
    found[i + 1] = low;
  }
  return new Uint8Array(found.buffer);
}

export const simCompress: Compress = {
  compress: (data) => zstdCompressSync(data),
  decompress: (data, maxBytes) => zstdDecompressSync(data, { maxOutputLength: maxBytes }),
};

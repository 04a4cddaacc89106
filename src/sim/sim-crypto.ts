// The cryptography of a simulated node, synchronous, with nonces from the seeded dice so that sealed bytes repeat with the
// seed. Encryption is real. Digests are not: a world asks for one with every record, and nobody in it forges any, so they
// are a mix that any changed bit changes, in an eighth of the time of SHA-256.

import * as node from "node:crypto";
import { bytesEqual, concat } from "../base/index.ts";
import type { Compress, Crypto } from "../host/index.ts";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import type { Random } from "./random.ts";

const nonceBytes = 12;
const tagBytes = 16;

export function simCrypto(random: Random): Crypto {
  return {
    sha256: (data) => digest(data, 0, 0),
    hmacSha256(key, data) {
      const [high, low] = new Uint32Array(digest(key, 1, 0).buffer);
      return digest(data, high!, low!);
    },
    seal(key, plain, aad) {
      const nonce = random.bytes(nonceBytes);
      const cipher = node.createCipheriv("aes-256-gcm", key, nonce);
      cipher.setAAD(aad);
      return concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
    },
    open(key, sealed, aad) {
      if (sealed.length < nonceBytes + tagBytes) return undefined;
      const decipher = node.createDecipheriv("aes-256-gcm", key, sealed.subarray(0, nonceBytes));
      decipher.setAAD(aad);
      decipher.setAuthTag(sealed.subarray(sealed.length - tagBytes));
      const body = sealed.subarray(nonceBytes, sealed.length - tagBytes);
      try {
        return concat([decipher.update(body), decipher.final()]);
      } catch {
        return undefined;
      }
    },
    equal: bytesEqual,
  };
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

// Real cryptography, synchronous, with nonces from the seeded dice so that sealed bytes repeat with the seed.

import * as node from "node:crypto";
import { concat } from "../base/index.ts";
import type { Compress, Crypto } from "../host/index.ts";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import type { Random } from "./random.ts";

const nonceBytes = 12;
const tagBytes = 16;

export function simCrypto(random: Random): Crypto {
  return {
    sha256: (data) => node.hash("sha256", data, "buffer"),
    hmacSha256,
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
    equal: (a, b) => a.length === b.length && node.timingSafeEqual(a, b),
  };
}

const blockBytes = 64;

/** HMAC (RFC 2104) over the one-shot hash, which costs a fraction of a streaming HMAC object on small inputs. */
function hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array {
  const block = new Uint8Array(blockBytes);
  block.set(key.length > blockBytes ? node.hash("sha256", key, "buffer") : key);
  const inner = node.hash("sha256", concat([block.map((byte) => byte ^ 0x36), data]), "buffer");
  return node.hash("sha256", concat([block.map((byte) => byte ^ 0x5c), inner]), "buffer");
}

export const simCompress: Compress = {
  compress: (data) => zstdCompressSync(data),
  decompress: (data, maxBytes) => zstdDecompressSync(data, { maxOutputLength: maxBytes }),
};

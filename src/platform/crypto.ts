// Cryptography and compression by what Node brings: OpenSSL and zstd.

import { createCipheriv, createDecipheriv, createHmac, hash, randomBytes, timingSafeEqual } from "node:crypto";
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { invariant } from "../base/index.ts";
import type { Compress, Crypto } from "../host/index.ts";

const nonceBytes = 12;
const tagBytes = 16;
const keyBytes = 32;

export const realCrypto: Crypto = {
  sha256(bytes) {
    // As text: a Buffer for each digest, with memory of its own, costs three times the hashing of a small record.
    const digest = hash("sha256", bytes, "binary");
    const into = new Uint8Array(32);
    for (let i = 0; i < 32; i++) into[i] = digest.charCodeAt(i);
    return into;
  },
  hmacSha256: (key, bytes) => createHmac("sha256", key).update(bytes).digest(),
  seal(key, plain, aad) {
    invariant(key.length === keyBytes, "an encryption key has 32 bytes");
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: tagBytes }).setAAD(aad);
    return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  },
  open(key, sealed, aad) {
    invariant(key.length === keyBytes, "an encryption key has 32 bytes");
    if (sealed.length < nonceBytes + tagBytes) return undefined;
    const end = sealed.length - tagBytes;
    const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(0, nonceBytes), { authTagLength: tagBytes });
    decipher.setAAD(aad).setAuthTag(sealed.subarray(end));
    const plain = decipher.update(sealed.subarray(nonceBytes, end));
    try {
      decipher.final();
      return plain;
    } catch {
      return undefined;
    }
  },
  equal: (a, b) => a.length === b.length && timingSafeEqual(a, b),
};

// Level 1: records are small and on the hot path; higher levels gain a few per cent for several times the time.
const fast = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

export const realCompress: Compress = {
  compress: (bytes) => zstdCompressSync(bytes, fast),
  decompress: (bytes, maxBytes) => zstdDecompressSync(bytes, { maxOutputLength: Math.max(1, maxBytes) }),
};

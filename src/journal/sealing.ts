// What records and snapshots share: how a body is compressed and encrypted, and back.

import { SheafError } from "../base/index.ts";
import type { Compress, Crypto } from "../host/index.ts";

export type Sealing = {
  readonly crypto: Crypto;
  readonly compress: Compress;
  /** 32 bytes; undefined when this cluster is not encrypted. */
  readonly key?: Uint8Array | undefined;
  /** Smaller bodies are not compressed. */
  readonly compressFromBytes?: number | undefined;
};

/** A call to zstd costs some 30 µs whatever the size: a batch of a few small commits is better off without, a larger one
 *  shrinks to a tenth (codec.bench.ts). */
export const defaultCompressFromBytes = 4096;

export const COMPRESSED = 1;
export const ENCRYPTED = 2;
const KNOWN_FLAGS = COMPRESSED | ENCRYPTED;

export const HASH_BYTES = 32;

export const corrupt = (says: string, hint?: string): SheafError => new SheafError("CORRUPT", says, { hint });

/** The body compressed where that made it smaller, and the flags that say so. Encryption comes after, in `seal`. */
export function squeeze(sealing: Sealing, plain: Uint8Array): { body: Uint8Array; flags: number } {
  const flags = sealing.key === undefined ? 0 : ENCRYPTED;
  if (plain.length < (sealing.compressFromBytes ?? defaultCompressFromBytes)) return { body: plain, flags };
  const smaller = sealing.compress.compress(plain);
  return smaller.length < plain.length ? { body: smaller, flags: flags | COMPRESSED } : { body: plain, flags };
}

/** Encrypts when there is a key. `aad` binds the result to its place. */
export const seal = (sealing: Sealing, body: Uint8Array, aad: Uint8Array): Uint8Array =>
  sealing.key === undefined ? body : sealing.crypto.seal(sealing.key, body, aad);

const NONCE_AND_TAG = 12 + 16;

/** How long `seal` makes a body. */
export const sealedBytes = (sealing: Sealing, body: Uint8Array): number =>
  body.length + (sealing.key === undefined ? 0 : NONCE_AND_TAG);

/** Undoes `seal` and `squeeze`. Throws WRONG_KEY when the bytes are encrypted and there is no key or `keyId` names
 *  another, and CORRUPT when they were altered, moved, or are plain although this cluster is encrypted. */
export function unseal(
  sealing: Sealing,
  sealed: { body: Uint8Array; flags: number; keyId: number; aad: Uint8Array; maxBytes: number; what: string },
): Uint8Array {
  const { flags, what } = sealed;
  if ((flags & ~KNOWN_FLAGS) !== 0) throw corrupt(`the ${what} carries flags this build does not know`);
  let body = sealed.body;
  if ((flags & ENCRYPTED) === 0) {
    if (sealing.key !== undefined) throw corrupt(`the ${what} is not encrypted although this cluster is`);
  } else {
    if (sealing.key === undefined) throw new SheafError("WRONG_KEY", `the ${what} is encrypted and no key was given`);
    if (sealed.keyId !== keyId(sealing))
      throw new SheafError("WRONG_KEY", `the ${what} was encrypted with another key`);
    const opened = sealing.crypto.open(sealing.key, body, sealed.aad);
    if (opened === undefined) throw corrupt(`the ${what} was altered, or moved from another place`);
    body = opened;
  }
  if ((flags & COMPRESSED) === 0) return body;
  try {
    return sealing.compress.decompress(body, sealed.maxBytes);
  } catch (cause) {
    throw new SheafError("CORRUPT", `the ${what} does not decompress within ${sealed.maxBytes} bytes`, { cause });
  }
}

const keyIdLabel = new TextEncoder().encode("sheaf key id");
const keyIds = new WeakMap<Uint8Array, number>();

/** 32 bits that tell keys apart without revealing them; 0 without a key. */
export function keyId(sealing: Sealing): number {
  if (sealing.key === undefined) return 0;
  let id = keyIds.get(sealing.key);
  if (id === undefined) {
    const mac = sealing.crypto.hmacSha256(sealing.key, keyIdLabel);
    id = new DataView(mac.buffer, mac.byteOffset).getUint32(0);
    keyIds.set(sealing.key, id);
  }
  return id;
}

/** SHA-256 in an array of its own, whatever kind the host returns. */
export function sha256(crypto: Crypto, bytes: Uint8Array): Uint8Array {
  const hash = crypto.sha256(bytes);
  return hash.constructor === Uint8Array ? hash : new Uint8Array(hash);
}

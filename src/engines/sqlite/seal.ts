// How the local store of an encrypted cluster keeps its values: AES-256-GCM under a key of its own, made from the cluster's,
// each value bound to its place. On the store's thread, so that callers do not wait for it.
//
// The nonce of each value is 64 random bits, rolled when the file is opened and every 2^32 values, and a count: no two values
// under one key ever share one, however many are written.

import { createCipheriv, createDecipheriv, createHmac, createSecretKey, randomBytes } from "node:crypto";
import { SheafError, utf8 } from "../../base/index.ts";

const nonceBytes = 12;
const tagBytes = 16;

export type Seal = {
  /** Tells keys apart without revealing them; empty without a key. */
  readonly keyCheck: string;
  seal(plain: Uint8Array, place: string): Uint8Array;
  /** Throws CORRUPT when the value was altered, or moved from another place. */
  open(sealed: Uint8Array, place: string): Uint8Array;
};

/** Leaves everything as it is. */
const none: Seal = { keyCheck: "", seal: (plain) => plain, open: (sealed) => sealed };

/** `clusterKey` is the cluster's encryption key, of 32 bytes. */
export function sealOf(clusterKey: Uint8Array | undefined, cluster: string): Seal {
  if (clusterKey === undefined) return none;
  const derive = (what: string): Buffer =>
    createHmac("sha256", clusterKey).update(`sheaf local store\0${cluster}\0${what}`).digest();
  const key = createSecretKey(derive("values"));
  const nonce = randomBytes(nonceBytes);
  let count = 0;
  const nextNonce = (): Uint8Array => {
    if (count > 0xff_ff_ff_ff) {
      randomBytes(8).copy(nonce);
      count = 0;
    }
    nonce.writeUInt32BE(count++, 8);
    return nonce;
  };
  return {
    keyCheck: derive("check").toString("hex").slice(0, 16),
    seal(plain, place) {
      const cipher = createCipheriv("aes-256-gcm", key, nextNonce(), { authTagLength: tagBytes });
      cipher.setAAD(utf8(place));
      const sealed = new Uint8Array(nonceBytes + plain.length + tagBytes);
      sealed.set(nonce);
      sealed.set(cipher.update(plain), nonceBytes);
      cipher.final();
      sealed.set(cipher.getAuthTag(), nonceBytes + plain.length);
      return sealed;
    },
    open(sealed, place) {
      const end = sealed.length - tagBytes;
      if (end >= nonceBytes) {
        const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(0, nonceBytes), {
          authTagLength: tagBytes,
        });
        decipher.setAAD(utf8(place)).setAuthTag(sealed.subarray(end));
        const plain = decipher.update(sealed.subarray(nonceBytes, end));
        try {
          decipher.final();
          return new Uint8Array(plain.buffer, plain.byteOffset, plain.length);
        } catch {
          // Told below.
        }
      }
      throw new SheafError("CORRUPT", "a value of the local store was altered, or moved from another place");
    },
  };
}

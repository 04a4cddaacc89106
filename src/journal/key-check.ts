// Proves that an encryption key is the one a cluster was created with, without revealing it: kept in the cluster's
// identity, so that a node with another key stops before it touches a journal.

import { concat, utf8 } from "../base/index.ts";
import type { Crypto, Dice } from "../host/index.ts";

const SALT_BYTES = 16;
const MAC_BYTES = 32;

/** 48 bytes for `Cluster.keyCheck`: a salt, and a MAC over it and the cluster's id under the key. */
export function makeKeyCheck(crypto: Crypto, dice: Dice, key: Uint8Array, clusterId: string): Uint8Array {
  const salt = dice.bytes(SALT_BYTES);
  return concat([salt, mac(crypto, key, salt, clusterId)]);
}

/** Whether `key` is what `check` was made with, for this cluster. */
export function keyFits(crypto: Crypto, key: Uint8Array, clusterId: string, check: Uint8Array): boolean {
  if (check.length !== SALT_BYTES + MAC_BYTES) return false;
  return crypto.equal(check.subarray(SALT_BYTES), mac(crypto, key, check.subarray(0, SALT_BYTES), clusterId));
}

const mac = (crypto: Crypto, key: Uint8Array, salt: Uint8Array, clusterId: string): Uint8Array =>
  crypto.hmacSha256(key, concat([utf8("sheaf key check\0"), salt, utf8(clusterId)]));

// API keys: `sk_<id>_<secret><checksum>`, lower-case base32. The id names the record; the secret is 200 random bits; the checksum
// lets a typo, a truncation or a leak scanner be told without a look-up. Only the SHA-256 of the whole text is stored: at this
// entropy a slow hash buys nothing. The text is shown once, when it is made.
//
// K1. A key is accepted only when its record's hash equals the hash of what was presented, compared in constant time.
// K2. Expired and revoked keys are refused whatever else holds.

import { fromHex, toHex, utf8, type Instant } from "../base/index.ts";
import type { Crypto, Dice } from "../host/index.ts";
import type { Refusal } from "./principal.ts";

const ID_LENGTH = 16; // 10 bytes
const SECRET_LENGTH = 40; // 25 bytes
const CHECK_LENGTH = 8; // 5 bytes
const PREFIX = "sk_";
const SHAPE = new RegExp(`^sk_[a-z2-7]{${ID_LENGTH}}_[a-z2-7]{${SECRET_LENGTH + CHECK_LENGTH}}$`);
const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";

/** What is stored of a key. Never the key. */
export type KeyRecord = {
  /** SHA-256 of the key's text, hex; empty when no such key was ever made. */
  readonly hash: string;
  readonly roles: readonly string[];
  readonly expiresAt: Instant | null;
  readonly revokedAt: Instant | null;
};

export type NewKey = { readonly id: string; readonly text: string; readonly hash: string };

/** RFC 4648 base32 without padding, lower case; `bytes` is a multiple of five long. */
function base32(bytes: Uint8Array): string {
  let text = "";
  let bits = 0;
  let held = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += ALPHABET[(held >>> bits) & 31];
    }
    held &= (1 << bits) - 1;
  }
  return text;
}

const checksum = (crypto: Crypto, body: string): string => base32(crypto.sha256(utf8(body)).subarray(0, 5));
const hashOf = (crypto: Crypto, text: string): Uint8Array => crypto.sha256(utf8(text));

export function mintKey(dice: Dice, crypto: Crypto): NewKey {
  const id = base32(dice.bytes(10));
  const body = `${PREFIX}${id}_${base32(dice.bytes(25))}`;
  const text = body + checksum(crypto, body);
  return { id, text, hash: toHex(hashOf(crypto, text)) };
}

/** The id that a presented key names, or undefined when the text cannot be a key: wrong shape, or wrong checksum. */
export function keyIdOf(text: string, crypto: Crypto): string | undefined {
  if (!SHAPE.test(text)) return undefined;
  const body = text.slice(0, -CHECK_LENGTH);
  if (checksum(crypto, body) !== text.slice(-CHECK_LENGTH)) return undefined;
  return text.slice(PREFIX.length, PREFIX.length + ID_LENGTH);
}

/** Whether a presented key is the one that the record is of, and still good at `now` (K1, K2). */
export function judgeKey(record: KeyRecord, presented: string, now: Instant, crypto: Crypto): "good" | Refusal {
  if (record.hash === "") return "unknown";
  if (!crypto.equal(fromHex(record.hash), hashOf(crypto, presented))) return "wrong";
  if (record.revokedAt !== null) return "revoked";
  if (record.expiresAt !== null && record.expiresAt <= now) return "expired";
  return "good";
}

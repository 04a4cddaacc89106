// Tokens by which a new machine joins a cluster, `sj_…`: the fingerprint of the cluster's root, so that the newcomer knows whom
// to believe; a secret, so that the cluster knows whom to let in; an end; perhaps the one name it is good for.
//
// J1. The secret is a MAC under a key that only issuers hold, over everything else a token says: nothing is stored to know a
//     token again, and no part of one can be changed.
// J2. The secret never travels. What does is a MAC under it over the connection's own binding, the newcomer's key and name:
//     good for this connection, key and name only.

import { bytesEqual, concat, fromUtf8, type Instant, SheafError, utf8 } from "../base/index.ts";
import type { Crypto, Dice } from "../host/index.ts";
import { checkNodeName } from "./node-name.ts";

const version = 1;
const rootBytes = 32;
const idBytes = 10;
const timeBytes = 6;
const secretBytes = 16;
const checkBytes = 4;
const fixedBytes = 1 + rootBytes + idBytes + timeBytes + secretBytes;
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** What identifies a token and may be shown to the issuer. */
export type TokenClaim = {
  readonly id: Uint8Array;
  readonly expiresAt: Instant;
  /** The one node it is good for; any that is not in the cluster yet when undefined. */
  readonly name: string | undefined;
};

export type JoinToken = TokenClaim & {
  /** SHA-256 of the root's certificate, DER. */
  readonly root: Uint8Array;
  readonly secret: Uint8Array;
};

/** Base64url without padding (RFC 4648 §5). */
function toText(bytes: Uint8Array): string {
  let out = "";
  let held = 0;
  let count = 0;
  for (const byte of bytes) {
    held = ((held & 0xff) << 8) | byte;
    for (count += 8; count >= 6;) out += alphabet[(held >>> (count -= 6)) & 63];
  }
  return count === 0 ? out : out + alphabet[(held << (6 - count)) & 63];
}

/** The bytes, or undefined when the text is not in the alphabet or not in its one shortest form. */
function toBytes(text: string): Uint8Array | undefined {
  const out = new Uint8Array(Math.floor((text.length * 6) / 8));
  let held = 0;
  let count = 0;
  let at = 0;
  for (const char of text) {
    const digit = alphabet.indexOf(char);
    if (digit < 0) return undefined;
    held = ((held & 0xff) << 6) | digit;
    count += 6;
    if (count >= 8) out[at++] = (held >>> (count -= 8)) & 0xff;
  }
  return toText(out) === text ? out : undefined;
}

function sixBytes(value: number): Uint8Array {
  const bytes = new Uint8Array(timeBytes);
  for (let i = timeBytes - 1, rest = value; i >= 0; i--, rest = Math.floor(rest / 256)) bytes[i] = rest % 256;
  return bytes;
}

/** The secret of the token that makes this claim (J1). */
export function tokenSecret(crypto: Crypto, key: Uint8Array, root: Uint8Array, claim: TokenClaim): Uint8Array {
  const said = concat([utf8("sheaf join token 1"), root, claim.id, sixBytes(claim.expiresAt), utf8(claim.name ?? "")]);
  return crypto.hmacSha256(key, said).slice(0, secretBytes);
}

/** A new token's text. `key` is the issuers' own, `root` the SHA-256 of the root's certificate. */
export function mintToken(
  { crypto, dice }: { readonly crypto: Crypto; readonly dice: Pick<Dice, "bytes"> },
  key: Uint8Array,
  root: Uint8Array,
  good: { readonly expiresAt: Instant; readonly name?: string | undefined },
): string {
  const claim: TokenClaim = {
    id: dice.bytes(idBytes),
    expiresAt: good.expiresAt,
    name: good.name === undefined ? undefined : checkNodeName(good.name),
  };
  const secret = tokenSecret(crypto, key, root, claim);
  const time = sixBytes(claim.expiresAt);
  const said = concat([Uint8Array.of(version), root, claim.id, time, secret, utf8(claim.name ?? "")]);
  return `sj_${toText(concat([said, crypto.sha256(said).subarray(0, checkBytes)]))}`;
}

/** Reads a token's text. Throws USAGE when it is none, or mistyped, or cut short. */
export function readToken(crypto: Crypto, text: string): JoinToken {
  const bytes = text.startsWith("sj_") && text.length <= 300 ? toBytes(text.slice(3)) : undefined;
  const said = bytes?.subarray(0, -checkBytes);
  const isWhole =
    bytes !== undefined &&
    said !== undefined &&
    said.length >= fixedBytes &&
    said[0] === version &&
    bytesEqual(crypto.sha256(said).subarray(0, checkBytes), bytes.subarray(-checkBytes));
  if (!isWhole) {
    throw new SheafError("USAGE", "this is not a join token, or not all of one", {
      hint: "copy the whole line that sheaf node token printed",
    });
  }
  let at = 1;
  const next = (length: number): Uint8Array => said.slice(at, (at += length));
  const root = next(rootBytes);
  const id = next(idBytes);
  const expiresAt = next(timeBytes).reduce((value, byte) => value * 256 + byte, 0);
  const secret = next(secretBytes);
  const name = fromUtf8(said.subarray(at));
  return { root, id, expiresAt, secret, name: name === "" ? undefined : checkNodeName(name) };
}

/** What a newcomer shows instead of its secret (J2). `binding` is the same at both ends of one connection, and of no other. */
export const joinProof = (crypto: Crypto, secret: Uint8Array, binding: Uint8Array): Uint8Array =>
  crypto.hmacSha256(secret, concat([utf8("sheaf join proof 1"), binding]));

export type JoinAddress = { readonly host: string; readonly port: number; readonly token: string };

/** Splits `HOST:PORT#TOKEN`; an IPv6 address stands in brackets. Throws USAGE for anything else. */
export function readJoinAddress(given: string): JoinAddress {
  const [, bracketed, plain, port, token] = /^(?:\[([^\]]+)\]|([^:#[\]]+)):(\d{1,5})#(.+)$/.exec(given) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || token === undefined || Number(port) < 1 || Number(port) > 65_535)
    throw new SheafError("USAGE", "where to join is HOST:PORT#TOKEN, as sheaf node token prints it");
  return { host, port: Number(port), token };
}

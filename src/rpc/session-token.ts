// Session tokens: what a caller has seen, as a vector of journal positions that nobody else can make up. Sealed with a
// MAC, not encrypted: the positions are no secret, but a forged one could make a replica wait.
//
// As bytes, in base64url: MAC (16), format (1), then shard, generation and sequence of each entry, each a number in groups of
// seven bits, lowest first.

import { concat, type Generation, type Seq, SheafError, type Shard, utf8 } from "../base/index.ts";
import type { Crypto } from "../host/index.ts";

/** Up to where each shard was seen. */
export type Seen = ReadonlyMap<Shard, { readonly generation: Generation; readonly seq: Seq }>;

const macBytes = 16;
const format = 1;

/** The longest token, in characters: it travels in a header, and HTTP stacks take 16 KiB of headers. */
export const maxSessionLength = 13 * 1024;

/** So many that a token of them all, each with a sequence below 2^42, is not longer. */
export const maxSessionShards = 1024;

export interface Sessions {
  /** Throws BAD_SESSION for a token that this cluster did not make. The empty token has seen nothing. */
  read(token: string): Seen;
  make(seen: Seen): string;
  /** A token that has seen what both have. */
  join(a: string, b: string): string;
}

/** `key` is the cluster's own, 32 bytes. */
export function sessions(crypto: Crypto, key: Uint8Array, cluster: string): Sessions {
  const context = utf8(`sheaf session\0${cluster}\0`);
  const mac = (body: Uint8Array): Uint8Array => crypto.hmacSha256(key, concat([context, body])).subarray(0, macBytes);
  const own: Sessions = {
    read(token) {
      if (token === "") return new Map();
      const bytes = decode(token);
      const body = bytes.subarray(macBytes);
      if (bytes.length <= macBytes || !crypto.equal(bytes.subarray(0, macBytes), mac(body))) {
        throw new SheafError("BAD_SESSION", undefined, { hint: "send Sheaf-Session back as it came, or leave it out" });
      }
      return readBody(body);
    },
    make(seen) {
      const body = writeBody(seen);
      return encode(concat([mac(body), body]));
    },
    join(a, b) {
      if (a === b || b === "") return a;
      if (a === "") return b;
      let seen = own.read(a);
      for (const [shard, { generation, seq }] of own.read(b)) seen = advance(seen, shard, generation, seq);
      return own.make(seen);
    },
  };
  return own;
}

/** A token that has seen what `seen` has, and this. */
export function advance(seen: Seen, shard: Shard, generation: Generation, seq: Seq): Seen {
  const before = seen.get(shard);
  if (before && (before.generation > generation || (before.generation === generation && before.seq >= seq)))
    return seen;
  return new Map(seen).set(shard, { generation, seq });
}

function writeBody(seen: Seen): Uint8Array {
  const bytes = [format];
  const put = (number: number): void => {
    let rest = number;
    for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
    bytes.push(rest);
  };
  for (const [shard, { generation, seq }] of seen) {
    put(shard);
    put(generation);
    put(seq);
  }
  return Uint8Array.from(bytes);
}

/** Of a body whose MAC is right: what is odd about it was so when it was made, by another version. */
function readBody(body: Uint8Array): Seen {
  if (body[0] !== format) throw new SheafError("BAD_SESSION", `the session token has format ${body[0]}`);
  const seen = new Map<Shard, { generation: Generation; seq: Seq }>();
  let at = 1;
  const take = (): number => {
    let number = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = body[at++] ?? 0;
      number += (byte & 127) * scale;
      if (byte < 128) return number;
    }
  };
  while (at < body.length) seen.set(take(), { generation: take(), seq: take() });
  return seen;
}

const encode = (bytes: Uint8Array): string =>
  btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");

function decode(token: string): Uint8Array {
  if (token.length > maxSessionLength || !/^[A-Za-z0-9_-]*$/.test(token)) throw new SheafError("BAD_SESSION");
  if (token.length % 4 === 1) throw new SheafError("BAD_SESSION");
  return Uint8Array.from(atob(token.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));
}

// Session tokens: what a caller has seen, as a vector of journal positions that nobody else can make up. Sealed with a
// MAC, not encrypted: the positions are no secret, but a forged one could make a replica wait.
//
// As bytes, in base64url: MAC (16), format (1), then shard, generation and sequence of each entry, each a number in groups of
// seven bits, lowest first. What would be too long so is format 2: how many generations there are, these, and then shard, index
// of its generation and sequence of each entry. A restored cluster's generations are large numbers, and all but the same.

import { concat, joinSeen, latestSeen, nothingSeen, type Seen, SheafError, utf8 } from "../base/index.ts";
import type { Crypto } from "../host/index.ts";

const macBytes = 16;
const format = 1;
const shortFormat = 2;

/** The longest token, in characters: it travels in a header, and HTTP stacks take 16 KiB of headers. */
export const maxSessionLength = 13 * 1024;

/** So many that a token of them all, each with a sequence below 2^42, is not longer. */
export const maxSessionShards = 1024;

/** Tokens made or read lately, in characters: most come back soon. At most twice as many are kept. */
const recentLength = 256 * 1024;

export interface Sessions {
  /** Throws BAD_SESSION for a token that this cluster did not make. The empty token has seen nothing. Several with commas
   *  between them have seen what each of them has. */
  read(token: string): Seen;
  make(seen: Seen): string;
  /** A token that has seen what all of these have. */
  join(tokens: readonly string[]): string;
}

/** `key` is the cluster's own, 32 bytes. */
export function sessions(crypto: Crypto, key: Uint8Array, cluster: string): Sessions {
  const context = utf8(`sheaf session\0${cluster}\0`);
  const mac = (body: Uint8Array): Uint8Array => crypto.hmacSha256(key, concat([context, body])).subarray(0, macBytes);
  const recent = new Recent();
  /** What a shard or a handler has seen is asked for again and again while nothing happens there. */
  const made = new WeakMap<Seen, string>();
  const readAll = (tokens: string): Seen => {
    if (tokens.length > maxSessionLength) throw new SheafError("BAD_SESSION");
    return split(tokens).reduce((seen, token) => joinSeen(seen, own.read(token)), nothingSeen);
  };
  const own: Sessions = {
    read(token) {
      if (token === "") return nothingSeen;
      const known = recent.get(token);
      if (known !== undefined) return known;
      if (token.includes(",")) return readAll(token);
      const bytes = decode(token);
      const body = bytes.subarray(macBytes);
      if (bytes.length <= macBytes || !crypto.equal(bytes.subarray(0, macBytes), mac(body))) {
        throw new SheafError("BAD_SESSION", undefined, { hint: "send Sheaf-Session back as it came, or leave it out" });
      }
      const seen = readBody(body);
      recent.set(token, seen);
      made.set(seen, token);
      return seen;
    },
    make(seen) {
      const known = made.get(seen);
      if (known !== undefined) return known;
      const body = bodyOf(seen);
      const latest = fits(body) ? seen : latestSeen(seen, 0); // of several generations the earlier ones give way
      const token = latest === seen ? encode(concat([mac(body), body])) : own.make(latest);
      made.set(seen, token);
      recent.set(token, latest);
      return token;
    },
    join: (tokens) => own.make(tokens.reduce((seen, token) => joinSeen(seen, own.read(token)), nothingSeen)),
  };
  return own;
}

const split = (tokens: string): string[] => tokens.split(",").map((token) => token.trim());

/** What a caller keeps who is answered with `token` to a call that he sent with `sent`. That covers what was sent, and not
 *  what other answers have brought meanwhile. As many as may be sent together are kept, the newest of them. */
export function keptWith(kept: string, sent: string, token: string): string {
  const covered = new Set([...split(sent), token]);
  let all = token;
  for (const other of split(kept).reverse())
    if (other !== "" && !covered.has(other) && other.length + 1 + all.length <= maxSessionLength)
      all = `${other},${all}`;
  return all;
}

/** Remembers what came last, in two halves: when the younger is full, the older is forgotten. */
class Recent {
  #young = new Map<string, Seen>();
  #old: ReadonlyMap<string, Seen> = new Map();
  #length = 0;

  get(token: string): Seen | undefined {
    return this.#young.get(token) ?? this.#old.get(token);
  }

  set(token: string, seen: Seen): void {
    this.#young.set(token, seen);
    this.#length += token.length;
    if (this.#length <= recentLength) return;
    this.#old = this.#young;
    this.#young = new Map();
    this.#length = 0;
  }
}

function bodyOf(seen: Seen): Uint8Array {
  const body = writeBody([format], seen);
  return fits(body) ? body : writeShort(seen);
}

const fits = (body: Uint8Array): boolean => Math.ceil(((macBytes + body.length) * 4) / 3) <= maxSessionLength;

function writeShort(seen: Seen): Uint8Array {
  const generations = [...new Set(seen.filter((_, i) => i % 3 === 1))];
  const indexes = new Map(generations.map((generation, index) => [generation, index]));
  const numbers = seen.map((number, i) => (i % 3 === 1 ? indexes.get(number)! : number));
  return writeBody([shortFormat], [generations.length, ...generations, ...numbers]);
}

function writeBody(bytes: number[], numbers: readonly number[]): Uint8Array {
  for (const number of numbers) {
    let rest = number;
    for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
    bytes.push(rest);
  }
  return Uint8Array.from(bytes);
}

/** Of a body whose MAC is right: what is odd about it was so when it was made, by another version. */
function readBody(body: Uint8Array): Seen {
  const [kind] = body;
  if (kind !== format && kind !== shortFormat)
    throw new SheafError("BAD_SESSION", `the session token has format ${kind}`);
  const numbers: number[] = [];
  let [number, scale] = [0, 1];
  for (let at = 1; at < body.length; at++) {
    const byte = body[at]!;
    number += (byte & 127) * scale;
    scale *= 128;
    if (byte >= 128) continue;
    numbers.push(number);
    [number, scale] = [0, 1];
  }
  const seen = kind === format ? numbers : readShort(numbers);
  for (let i = 3; i < seen.length; i += 3)
    if (seen[i]! < seen[i - 3]! || (seen[i] === seen[i - 3] && seen[i + 1]! <= seen[i - 2]!)) return inOrder(seen);
  return seen;
}

function readShort([count = 0, ...rest]: readonly number[]): Seen {
  return rest.slice(count).map((number, i) => (i % 3 === 1 ? rest[number]! : number));
}

/** Tokens were written in the order in which shards were met, once. */
function inOrder(numbers: readonly number[]): Seen {
  let seen = nothingSeen;
  for (let i = 0; i < numbers.length; i += 3) seen = joinSeen(seen, numbers.slice(i, i + 3));
  return seen;
}

const letters = utf8("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
const NO_LETTER = 255;
const values = new Uint8Array(128).fill(NO_LETTER);
for (let i = 0; i < letters.length; i++) values[letters[i]!] = i;

function encode(bytes: Uint8Array): string {
  const codes: number[] = [];
  for (let i = 0; i < bytes.length; i += 3) {
    const [a, b, c] = [bytes[i]!, bytes[i + 1], bytes[i + 2]];
    codes.push(letters[a >> 2]!, letters[((a & 3) << 4) | ((b ?? 0) >> 4)]!);
    if (b !== undefined) codes.push(letters[((b & 15) << 2) | ((c ?? 0) >> 6)]!);
    if (c !== undefined) codes.push(letters[c & 63]!);
  }
  return String.fromCharCode(...codes);
}

function decode(token: string): Uint8Array {
  const { length } = token;
  if (length > maxSessionLength || length % 4 === 1) throw new SheafError("BAD_SESSION");
  const bytes = new Uint8Array(Math.floor((length * 3) / 4));
  for (let i = 0, at = 0, bits = 0, held = 0; i < length; i++) {
    const value = values[token.charCodeAt(i)] ?? NO_LETTER;
    if (value === NO_LETTER) throw new SheafError("BAD_SESSION");
    bits = ((bits & 0xff) << 6) | value;
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes[at++] = bits >> held;
  }
  return bytes;
}

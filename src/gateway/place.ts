// How far a reader is through a topic, as text: the number of the last event that it has of each shard. It is no secret, and of no
// use for another topic than its own: whoever reads a topic may read all of it.
//
// Bytes in base64url: format (1), then each number in groups of seven bits, lowest first; a 0 is followed by how many zeros there are.

import { SheafError, toHex, utf8 } from "../base/index.ts";
import type { Crypto } from "../host/index.ts";

const format = 1;
/** Of a topic's name: a place in one is not taken for a place in another. */
const markBytes = 2;
const longest = 16_384;

const mark = (crypto: Crypto, topic: string): Uint8Array => crypto.sha256(utf8(topic)).subarray(0, markBytes);

export function placeText(crypto: Crypto, topic: string, places: readonly number[]): string {
  const bytes = [format, ...mark(crypto, topic)];
  const write = (number: number): void => {
    for (; number >= 128; number = Math.floor(number / 128)) bytes.push((number % 128) | 128);
    bytes.push(number);
  };
  for (let at = 0; at < places.length; at++) {
    write(places[at]!);
    if (places[at] !== 0) continue;
    const from = at;
    while (places[at + 1] === 0) at++;
    write(at - from + 1);
  }
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Throws BAD_INPUT for what is no place in this topic of so many shards. */
export function placesOf(crypto: Crypto, topic: string, shards: number, text: string): number[] {
  const wrong = (): SheafError =>
    new SheafError("BAD_INPUT", `this is no place in the topic ${topic}`, {
      hint: "Send the id of an event of this topic's stream as it came.",
    });
  if (text.length > longest || !/^[\w-]+$/.test(text)) throw wrong();
  let raw: string;
  try {
    raw = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  } catch {
    throw wrong();
  }
  const bytes = Uint8Array.from(raw, (c) => c.charCodeAt(0));
  const head = toHex(bytes.subarray(0, 1 + markBytes));
  if (head !== toHex(Uint8Array.from([format, ...mark(crypto, topic)]))) throw wrong();
  const places: number[] = [];
  let zeros = false;
  for (const number of numbersIn(bytes.subarray(1 + markBytes))) {
    if (!Number.isSafeInteger(number)) throw wrong();
    if (zeros && (number < 1 || places.length + number > shards)) throw wrong();
    if (zeros) for (let i = 0; i < number; i++) places.push(0);
    else if (number > 0) places.push(number);
    zeros = !zeros && number === 0;
  }
  if (zeros || places.length !== shards) throw wrong();
  return places;
}

function* numbersIn(bytes: Uint8Array): Iterable<number> {
  let [number, scale] = [0, 1];
  for (const byte of bytes) {
    number += (byte & 127) * scale;
    scale *= 128;
    if (byte >= 128) continue;
    yield number;
    [number, scale] = [0, 1];
  }
  // What breaks off within a number is none.
  if (scale > 1) yield Number.NaN;
}

// msgpack, the one encoding of values that Sheaf stores or sends: plain maps with string keys, arrays, strings, numbers,
// booleans, null and Uint8Array. No extensions, so any language can read the bytes. Works in a browser. Reading is in
// pack-read.ts.
//
// Own code rather than a library because what is stored must come back exactly or be refused, never bent: the libraries
// tried lose −0 and byte-order marks, rename keys, turn a Set or RegExp into something else, or leak unwritten memory;
// and it is faster (pack.bench.ts).

import { blocks, SheafError } from "../base/index.ts";

/** Deeper values are refused when packed, so that whatever was packed can be read with stack to spare. */
export const maxPackDepth = 256;

const encoder = new TextEncoder();
const KEPT_BYTES = 4 * 1024 * 1024;
const FIRST_BYTES = 64 * 1024;

// One buffer for all packing; `at` is where the next byte goes. A pack inside a pack (a getter that packs) goes on
// behind the outer one's bytes and puts `at` back. Growing replaces `buffer`: no function keeps it across a write.
let buffer = new Uint8Array(FIRST_BYTES);
let view = new DataView(buffer.buffer);
let at = 0;

/** Up to this many bytes V8 keeps within the array itself. */
const WITHIN_ARRAY = 64;
/** Somewhat larger results share blocks of a kibibyte, which is also the most that keeping one can hold on to. */
const room = blocks(1024);

/** The value as msgpack, in bytes that nothing else writes to; their buffer may be shared. Properties that are undefined are left out;
 *  undefined anywhere else becomes null, and a lone surrogate U+FFFD. Integers beyond 32 bits travel as doubles, so
 *  every number comes back as it was. The same value, its keys in the same order, gives the same bytes.
 *
 *  Throws TOO_LARGE for values nested deeper than `maxPackDepth` (a cycle is), and MALFORMED, naming the path, for what
 *  has no plain form: class instances (Date, Map, Set, …), bigint, symbol, function, and the key "__proto__". */
export function pack(value: unknown): Uint8Array<ArrayBuffer> {
  const start = at;
  try {
    write(value, 0);
    return own(start);
  } catch (error) {
    throw error instanceof Unplain ? error.refusal() : error;
  } finally {
    rewind(start);
  }
}

/** Writes a value part by part: what is known to be a list need not be made as one first. */
export type Put = {
  /** A list of so many items, which are put next. */
  list(count: number): void;
  value(value: unknown): void;
};

const put: Put = {
  list(count) {
    if (at + 16 > buffer.length) grow(16);
    writeCountOfList(count);
  },
  value: (value) => write(value, 0),
};

/** As `pack`, without the copy: `use` is given the bytes, which are overwritten once it returns or packs. */
export const packed = <T>(value: unknown, use: (bytes: Uint8Array<ArrayBuffer>) => T): T =>
  packedBy(() => write(value, 0), use);

/** As `packed`, of the one value that `fill` puts. */
export function packedBy<T>(fill: (put: Put) => void, use: (bytes: Uint8Array<ArrayBuffer>) => T): T {
  const start = at;
  try {
    fill(put);
    return use(buffer.subarray(start, at));
  } catch (error) {
    throw error instanceof Unplain ? error.refusal() : error;
  } finally {
    rewind(start);
  }
}

function own(start: number): Uint8Array<ArrayBuffer> {
  if (at - start <= WITHIN_ARRAY) return buffer.slice(start, at);
  const bytes = room(at - start);
  bytes.set(buffer.subarray(start, at));
  return bytes;
}

function rewind(start: number): void {
  at = start;
  if (start === 0 && buffer.length > KEPT_BYTES) replaceBuffer(FIRST_BYTES);
}

/** Thrown at the place of a value without a plain form; each container on the way out adds its key to the path. */
class Unplain extends Error {
  readonly path: (string | number)[] = [];
  refusal(): SheafError {
    const where = this.path.length === 0 ? "" : ` at ${this.path.toReversed().join(".")}`;
    return new SheafError("MALFORMED", `${this.message}${where} cannot be stored or sent: only plain values can`);
  }
}

function write(value: unknown, depth: number): void {
  if (at + 16 > buffer.length) grow(16);
  switch (typeof value) {
    case "string":
      return writeString(value);
    case "number":
      return writeNumber(value);
    case "boolean":
      buffer[at++] = value ? 0xc3 : 0xc2;
      return;
    case "undefined":
      buffer[at++] = 0xc0;
      return;
    case "object":
      if (value === null) buffer[at++] = 0xc0;
      else if (depth >= maxPackDepth)
        throw new SheafError("TOO_LARGE", `the value is nested deeper than ${maxPackDepth}, or within itself`);
      else if (Array.isArray(value)) writeArray(value, depth);
      else if (ArrayBuffer.isView(value)) writeBinary(value);
      else writeMap(value as Record<string, unknown>, depth);
      return;
    default:
      throw new Unplain(`a ${typeof value}`);
  }
}

function writeNumber(value: number): void {
  if (value >>> 0 === value && !(value === 0 && 1 / value < 0)) {
    if (value < 0x80) buffer[at++] = value;
    else if (value < 0x100) {
      buffer[at++] = 0xcc;
      buffer[at++] = value;
    } else if (value < 0x10000) {
      buffer[at++] = 0xcd;
      put16(value);
    } else {
      buffer[at++] = 0xce;
      put32(value);
    }
  } else if (value >> 0 === value && value !== 0) {
    if (value >= -0x20) buffer[at++] = value;
    else if (value >= -0x80) {
      buffer[at++] = 0xd0;
      buffer[at++] = value;
    } else if (value >= -0x8000) {
      buffer[at++] = 0xd1;
      put16(value);
    } else {
      buffer[at++] = 0xd2;
      put32(value);
    }
  } else {
    buffer[at++] = 0xcb;
    view.setFloat64(at, value === value ? value : NaN); // one NaN: its payload bits are not part of the value
    at += 8;
  }
}

function writeString(text: string): void {
  const length = text.length;
  if (length < 32 && writeShortAscii(text, length)) return;
  // UTF-8 takes at most three bytes per UTF-16 unit. The header's size is guessed from that and moved when it was less.
  if (at + 5 + length * 3 > buffer.length) grow(5 + length * 3);
  const guess = length * 3 < 32 ? 1 : length * 3 < 0x100 ? 2 : length * 3 < 0x10000 ? 3 : 5;
  const body = at + guess;
  const bytes = encoder.encodeInto(text, buffer.subarray(body)).written;
  if (bytes < 32) buffer[at++] = 0xa0 | bytes;
  else writeLength(0xd9, bytes);
  if (at !== body) buffer.copyWithin(at, body, body + bytes);
  at += bytes;
}

/** Writes nothing and says false when a character is not ASCII. There is room for a header; 32 more are made sure of. */
function writeShortAscii(text: string, length: number): boolean {
  if (at + 48 > buffer.length) grow(48);
  const into = buffer;
  let to = at;
  into[to++] = 0xa0 | length;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x80) return false;
    into[to++] = code;
  }
  at = to;
  return true;
}

function writeArray(items: readonly unknown[], depth: number): void {
  const length = items.length;
  writeCountOfList(length);
  let i = 0;
  try {
    for (; i < length; i++) write(items[i], depth + 1);
  } catch (error) {
    if (error instanceof Unplain) error.path.push(i);
    throw error;
  }
}

function writeCountOfList(count: number): void {
  if (count < 16) buffer[at++] = 0x90 | count;
  else writeCount(0xdc, count);
}

function writeMap(map: Record<string, unknown>, depth: number): void {
  const prototype: unknown = Object.getPrototypeOf(map);
  // Plain in this realm or another one, or without a prototype.
  if (prototype !== Object.prototype && prototype !== null && Object.getPrototypeOf(prototype) !== null)
    throw new Unplain(`a ${nameOf(map)}`);
  // Values are read once, before they are counted: asking twice would run getters twice.
  const keys = Object.keys(map);
  const values: unknown[] = new Array(keys.length);
  let count = 0;
  for (let i = 0; i < keys.length; i++) if ((values[i] = map[keys[i]!]) !== undefined) count++;
  if (count < 16) buffer[at++] = 0x80 | count;
  else writeCount(0xde, count);
  let i = 0;
  try {
    for (; i < keys.length; i++) {
      const value = values[i];
      if (value === undefined) continue;
      const key = keys[i]!;
      if (key === "__proto__") throw new Unplain("this key");
      writeString(key);
      write(value, depth + 1);
    }
  } catch (error) {
    if (error instanceof Unplain) error.path.push(keys[i]!);
    throw error;
  }
}

function writeBinary(from: ArrayBufferView): void {
  if ((from as Uint8Array)[Symbol.toStringTag] !== "Uint8Array") throw new Unplain(`a ${nameOf(from)}`);
  const bytes = from as Uint8Array;
  if (at + 5 + bytes.length > buffer.length) grow(5 + bytes.length);
  writeLength(0xc4, bytes.length);
  buffer.set(bytes, at);
  at += bytes.length;
}

const nameOf = (value: object): string => {
  const maker: unknown = value.constructor;
  return typeof maker === "function" && maker.name !== "" ? maker.name : "class instance";
};

/** Header of a string or binary: `token` is the one with an 8-bit length; its 16- and 32-bit forms follow it. */
function writeLength(token: number, length: number): void {
  if (length < 0x100) {
    buffer[at++] = token;
    buffer[at++] = length;
  } else writeCount(token + 1, length);
}

/** Header of a map or array: `token` is the one with a 16-bit count; its 32-bit form follows it. */
function writeCount(token: number, count: number): void {
  if (count < 0x10000) {
    buffer[at++] = token;
    put16(count);
  } else {
    buffer[at++] = token + 1;
    put32(count);
  }
}

function put16(value: number): void {
  buffer[at++] = value >> 8;
  buffer[at++] = value;
}

function put32(value: number): void {
  buffer[at++] = value >> 24;
  buffer[at++] = value >> 16;
  buffer[at++] = value >> 8;
  buffer[at++] = value;
}

function grow(more: number): void {
  const old = buffer;
  replaceBuffer(Math.max(old.length * 2, at + more));
  buffer.set(old.subarray(0, at));
}

function replaceBuffer(bytes: number): void {
  buffer = new Uint8Array(bytes);
  view = new DataView(buffer.buffer);
}

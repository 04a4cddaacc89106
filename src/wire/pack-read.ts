// Reads msgpack in one linear pass, of our own bytes and of anyone's: nothing is allocated, recursed into or revived
// beyond what the bytes themselves and the limits allow.
//
// W1. A declared length is never believed beyond the bytes that are there.
// W2. Only plain values come out: no extension types, map keys are strings, none is "__proto__", text is valid UTF-8.

import { defaultLimits, SheafError } from "../base/index.ts";
import { maxPackDepth } from "./pack-write.ts";

export type PackLimits = {
  /** Nesting of maps and arrays; a scalar has depth 0. */
  readonly maxDepth: number;
  /** Map entries plus array items, over the whole value. */
  readonly maxItems: number;
  readonly maxBytes: number;
};

const trustedLimits: PackLimits = { maxDepth: maxPackDepth, maxItems: Infinity, maxBytes: Infinity };
const untrustedLimits: PackLimits = {
  maxDepth: defaultLimits.maxDepth,
  maxItems: defaultLimits.maxItems,
  maxBytes: defaultLimits.maxRequestBytes,
};

// `ignoreBOM` keeps a byte-order mark as the character it is.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

// The value being read: no user code runs in between, so one at a time is all there is.
const nothing = new Uint8Array(0);
let source: Uint8Array = nothing;
let end = 0;
let at = 0;
let depthLeft = 0;
let itemsLeft = 0;

/** Reads bytes that `pack` made and a checksum has vouched for. Throws MALFORMED when they are not one plain msgpack
 *  value. Binary values are plain Uint8Arrays that look into `bytes`: copy one to keep it when `bytes` is reused. */
export const unpack = (bytes: Uint8Array): unknown => readAll(bytes, trustedLimits);

/** Reads bytes from outside. Throws MALFORMED when they are not exactly one plain msgpack value and TOO_LARGE when it is
 *  over the limits (those of the limits page unless given), nothing else. Binary values look into `bytes`. */
export const unpackUntrusted = (bytes: Uint8Array, limits?: Partial<PackLimits>): unknown =>
  readAll(bytes, limits === undefined ? untrustedLimits : { ...untrustedLimits, ...limits });

const malformed = (says: string): SheafError => new SheafError("MALFORMED", `msgpack: ${says}`);
const tooLarge = (says: string): SheafError => new SheafError("TOO_LARGE", `msgpack: ${says}`);

function readAll(bytes: Uint8Array, limits: PackLimits): unknown {
  if (bytes.length > limits.maxBytes) throw tooLarge(`over ${limits.maxBytes} bytes`);
  // A plain view, so that binary values of a Buffer are not Buffers.
  source = bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  end = bytes.length;
  at = 0;
  depthLeft = limits.maxDepth;
  itemsLeft = limits.maxItems;
  try {
    const value = read();
    if (at !== end) throw malformed("bytes after the value");
    return value;
  } finally {
    source = nothing;
  }
}

function read(): unknown {
  const token = uint8();
  if (token < 0x80) return token;
  if (token < 0x90) return readMap(token & 0x0f);
  if (token < 0xa0) return readArray(token & 0x0f);
  if (token < 0xc0) return readText(token & 0x1f);
  if (token >= 0xe0) return token - 0x100;
  switch (token) {
    case 0xc0:
      return null;
    case 0xc2:
      return false;
    case 0xc3:
      return true;
    case 0xc4:
      return readBinary(uint8());
    case 0xc5:
      return readBinary(uint16());
    case 0xc6:
      return readBinary(uint32());
    case 0xca:
      return float(4);
    case 0xcb:
      return float(8);
    case 0xcc:
      return uint8();
    case 0xcd:
      return uint16();
    case 0xce:
      return uint32();
    case 0xcf:
      return uint32() * 0x1_0000_0000 + uint32();
    case 0xd0:
      return (uint8() << 24) >> 24;
    case 0xd1:
      return (uint16() << 16) >> 16;
    case 0xd2:
      return uint32() | 0;
    case 0xd3:
      return (uint32() | 0) * 0x1_0000_0000 + uint32();
    case 0xd9:
      return readText(uint8());
    case 0xda:
      return readText(uint16());
    case 0xdb:
      return readText(uint32());
    case 0xdc:
      return readArray(uint16());
    case 0xdd:
      return readArray(uint32());
    case 0xde:
      return readMap(uint16());
    case 0xdf:
      return readMap(uint32());
    default:
      throw malformed(token === 0xc1 ? "the unused token 0xc1" : "an extension type");
  }
}

/** Where the next `bytes` bytes start, after stepping over them. */
function take(bytes: number): number {
  const from = at;
  if (bytes > end - from) throw malformed("the bytes end inside a value");
  at = from + bytes;
  return from;
}

const uint8 = (): number => source[take(1)]!;

function uint16(): number {
  const from = take(2);
  return (source[from]! << 8) | source[from + 1]!;
}

function uint32(): number {
  const from = take(4);
  return ((source[from]! << 24) | (source[from + 1]! << 16) | (source[from + 2]! << 8) | source[from + 3]!) >>> 0;
}

// Floats are read through eight bytes kept for them: making a view of each message costs more than most messages.
const scratch = new Uint8Array(8);
const scratchView = new DataView(scratch.buffer);

function float(bytes: 4 | 8): number {
  const from = take(bytes);
  for (let i = 0; i < bytes; i++) scratch[i] = source[from + i]!;
  return bytes === 4 ? scratchView.getFloat32(0) : scratchView.getFloat64(0);
}

/** Accounts for a container whose entries take at least `least` bytes. */
function enter(count: number, least: number): void {
  if (least > end - at) throw malformed("more items declared than bytes present");
  if (count > itemsLeft) throw tooLarge("too many items");
  if (depthLeft === 0) throw tooLarge("nested too deep");
  itemsLeft -= count;
  depthLeft--;
}

function readArray(count: number): unknown[] {
  enter(count, count);
  // Grown rather than made at `count`: nested arrays may each declare all the bytes that are left.
  const items: unknown[] = [];
  for (let i = 0; i < count; i++) items.push(read());
  depthLeft++;
  return items;
}

function readMap(count: number): Record<string, unknown> {
  enter(count, count * 2);
  const map: Record<string, unknown> = {};
  for (let i = 0; i < count; i++) {
    const key = readKey();
    if (key === "__proto__") throw malformed('the key "__proto__"');
    map[key] = read();
  }
  depthLeft++;
  return map;
}

const readBinary = (length: number): Uint8Array => {
  const from = take(length);
  return source.subarray(from, from + length);
};

// Keys recur: the same few hundred strings are found here by their bytes instead of being made anew. Only short ASCII
// keys are kept, so that the table stays small whatever comes in.
const KEYS = 1024;
const keys: string[] = new Array<string>(KEYS).fill("");

function readKey(): string {
  const token = uint8();
  if (token < 0xa0 || token >= 0xc0) {
    if (token === 0xd9) return readText(uint8());
    if (token === 0xda) return readText(uint16());
    if (token === 0xdb) return readText(uint32());
    throw malformed("a map key that is not a string");
  }
  const length = token & 0x1f;
  if (length === 0 || length > end - at) return readText(length);
  const slot = ((source[at]! * 31 + source[at + length - 1]!) * 31 + source[at + (length >> 1)]! * 7 + length) % KEYS;
  const known = keys[slot]!;
  if (known.length === length) {
    let i = 0;
    while (i < length && known.charCodeAt(i) === source[at + i]) i++;
    if (i === length) {
      at += length;
      return known;
    }
  }
  const key = readText(length);
  if (key.length === length) keys[slot] = key;
  return key;
}

const units: number[] = [];

function readText(length: number): string {
  const from = take(length);
  if (length < 24) {
    units.length = length;
    let i = 0;
    for (; i < length; i++) {
      const byte = source[from + i]!;
      if (byte >= 0x80) break;
      units[i] = byte;
    }
    if (i === length) return String.fromCharCode.apply(null, units);
  }
  try {
    return decoder.decode(source.subarray(from, from + length));
  } catch {
    throw malformed("text that is not UTF-8");
  }
}

// One linear look over msgpack bytes before anything is built from them: the decoder behind it may trust every length
// and cannot be made to recurse, allocate or revive more than these limits allow. Nothing is copied.
//
// W1. A declared length is never believed beyond the bytes that are there.
// W2. Only plain values pass: no extension types, map keys are strings, none is "__proto__".

import { SheafError } from "../base/index.ts";

export type PackLimits = {
  /** Nesting of maps and arrays; a scalar has depth 0. */
  readonly maxDepth: number;
  /** Map entries plus array items, over the whole value. */
  readonly maxItems: number;
  readonly maxBytes: number;
};

const PROTO = [0x5f, 0x5f, 0x70, 0x72, 0x6f, 0x74, 0x6f, 0x5f, 0x5f];

const malformed = (says: string): SheafError => new SheafError("MALFORMED", `msgpack: ${says}`);
const tooLarge = (says: string): SheafError => new SheafError("TOO_LARGE", `msgpack: ${says}`);

/** Throws MALFORMED unless `bytes` are exactly one plain msgpack value, and TOO_LARGE when it is over `limits`. */
export function scan(bytes: Uint8Array, limits: PackLimits): void {
  const end = bytes.length;
  if (end > limits.maxBytes) throw tooLarge(`over ${limits.maxBytes} bytes`);
  // Values still to come in each open container; a map counts its keys too. `maps` says which containers are maps.
  const left: number[] = [];
  const maps: boolean[] = [];
  let items = 0;
  let at = 0;
  do {
    if (at >= end) throw malformed("the bytes end inside a value");
    const top = left.length - 1;
    const isKey = top >= 0 && maps[top] === true && left[top]! % 2 === 0;
    if (top >= 0) left[top]!--;
    const token = bytes[at++]!;
    if (isKey && !isString(token)) throw malformed("a map key that is not a string");
    const open = containerSize(bytes, token, at);
    if (open >= 0) {
      at += token < 0xa0 ? 0 : token === 0xdc || token === 0xde ? 2 : 4;
      const isMap = token < 0x90 || token >= 0xde;
      const values = isMap ? open * 2 : open;
      if (values > end - at) throw malformed("more items declared than bytes present");
      items += open;
      if (items > limits.maxItems) throw tooLarge(`over ${limits.maxItems} items`);
      if (left.length >= limits.maxDepth) throw tooLarge(`nested deeper than ${limits.maxDepth}`);
      left.push(values);
      maps.push(isMap);
    } else {
      const from = at + headerBytes(token);
      at = from + bodyBytes(bytes, token, at);
      if (at > end) throw malformed("the bytes end inside a value");
      if (isKey && at - from === PROTO.length && isProto(bytes, from)) throw malformed('the key "__proto__"');
    }
    while (left.length > 0 && left[left.length - 1] === 0) {
      left.pop();
      maps.pop();
    }
  } while (left.length > 0);
  if (at !== end) throw malformed("bytes after the value");
}

const isString = (token: number): boolean => (token >= 0xa0 && token <= 0xbf) || (token >= 0xd9 && token <= 0xdb);

function isProto(bytes: Uint8Array, from: number): boolean {
  for (let i = 0; i < PROTO.length; i++) if (bytes[from + i] !== PROTO[i]) return false;
  return true;
}

/** Number of entries a map or array declares, or −1 when the token opens neither. `at` is just behind the token. */
function containerSize(bytes: Uint8Array, token: number, at: number): number {
  if (token < 0x80 || token > 0xdf) return -1;
  if (token < 0xa0) return token & 0x0f;
  if (token < 0xdc) return -1;
  return token === 0xdc || token === 0xde ? uint16(bytes, at) : uint32(bytes, at);
}

/** Bytes of the length field behind a string or binary token. */
function headerBytes(token: number): number {
  switch (token) {
    case 0xc4:
    case 0xd9:
      return 1;
    case 0xc5:
    case 0xda:
      return 2;
    case 0xc6:
    case 0xdb:
      return 4;
    default:
      return 0;
  }
}

/** Bytes of a scalar behind its token and length field. Throws for tokens that are not plain. */
function bodyBytes(bytes: Uint8Array, token: number, at: number): number {
  if (token < 0x80 || token >= 0xe0) return 0;
  if (token >= 0xa0 && token <= 0xbf) return token & 0x1f;
  switch (token) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
      return 0;
    case 0xcc:
    case 0xd0:
      return 1;
    case 0xcd:
    case 0xd1:
      return 2;
    case 0xca:
    case 0xce:
    case 0xd2:
      return 4;
    case 0xcb:
    case 0xcf:
    case 0xd3:
      return 8;
    case 0xc4:
    case 0xd9:
      if (at >= bytes.length) throw malformed("the bytes end inside a length");
      return bytes[at]!;
    case 0xc5:
    case 0xda:
      return uint16(bytes, at);
    case 0xc6:
    case 0xdb:
      return uint32(bytes, at);
    default:
      throw malformed(token === 0xc1 ? "the unused token 0xc1" : "an extension type");
  }
}

function uint16(bytes: Uint8Array, at: number): number {
  if (at + 2 > bytes.length) throw malformed("the bytes end inside a length");
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

function uint32(bytes: Uint8Array, at: number): number {
  if (at + 4 > bytes.length) throw malformed("the bytes end inside a length");
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

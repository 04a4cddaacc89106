// JSON from outside. Depth and size are counted on the bytes before anything is built; bytes that are not UTF-8, a key named
// twice in one object, and `__proto__` as a key are refused, since each means different things to different readers.

import { SheafError, type Limits } from "../base/index.ts";

export type JsonLimits = Pick<Limits, "maxDepth" | "maxItems">;

const QUOTE = 0x22,
  BACKSLASH = 0x5c,
  COMMA = 0x2c,
  COLON = 0x3a;
const OPEN_ARRAY = 0x5b,
  OPEN_OBJECT = 0x7b,
  CLOSE_ARRAY = 0x5d,
  CLOSE_OBJECT = 0x7d;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const malformed = (says: string): SheafError => new SheafError("MALFORMED", says);

/** Counts structure outside of strings; throws at the first excess. Returns the number of object members written. */
function scan(bytes: Uint8Array, limits: JsonLimits): number {
  let depth = 0;
  let items = 0;
  let members = 0;
  for (let i = 0; i < bytes.length; i++) {
    switch (bytes[i]) {
      case QUOTE:
        for (i++; i < bytes.length && bytes[i] !== QUOTE; i++) if (bytes[i] === BACKSLASH) i++;
        break;
      case OPEN_ARRAY:
      case OPEN_OBJECT:
        if (++depth > limits.maxDepth)
          throw new SheafError("TOO_LARGE", `JSON nests deeper than ${limits.maxDepth} levels`);
        items++;
        break;
      case CLOSE_ARRAY:
      case CLOSE_OBJECT:
        depth--;
        break;
      case COLON:
        members++;
        break;
      case COMMA:
        items++;
        break;
      default:
        break;
    }
    if (items > limits.maxItems) throw new SheafError("TOO_LARGE", `JSON holds more than ${limits.maxItems} items`);
  }
  return members;
}

/** Counts the members that were kept, and refuses a `__proto__` key. Depth is bounded already. */
function kept(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value) count += kept(item);
    return count;
  }
  for (const key of Object.keys(value)) {
    if (key === "__proto__") throw malformed("JSON uses __proto__ as a key");
    count += 1 + kept((value as Record<string, unknown>)[key]);
  }
  return count;
}

/** The value of a JSON text. Throws MALFORMED or TOO_LARGE. */
export function parseJson(bytes: Uint8Array, limits: JsonLimits): unknown {
  const members = scan(bytes, limits);
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    throw malformed("the bytes are not UTF-8");
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw malformed("the text is not JSON");
  }
  if (kept(value) !== members) throw malformed("JSON names a key twice in one object");
  return value;
}

/** JSON text of plain data. Bytes, which JSON has no word for, are base64 text. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value, hasBytes(value) ? bytesAsText : undefined);
}

function hasBytes(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (value instanceof Uint8Array) return true;
  for (const key in value) if (hasBytes((value as Record<string, unknown>)[key])) return true;
  return false;
}

const bytesAsText = (_: string, value: unknown): unknown => (value instanceof Uint8Array ? base64(value) : value);

function base64(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

// msgpack, the one encoding of values that Sheaf stores or sends: plain maps with string keys, arrays, strings, numbers,
// booleans, null and Uint8Array. No extensions, so any language can read the bytes. Works in a browser.
//
// Properties that are undefined are left out; undefined anywhere else becomes null. Integers beyond 32 bits travel as
// doubles, so every number comes back as it was. The same value, its keys in the same order, gives the same bytes.

import { Packr, REUSE_BUFFER_MODE, RESET_BUFFER_MODE } from "msgpackr/pack";
import { defaultLimits, SheafError } from "../base/index.ts";
import { type PackLimits, scan } from "./pack-scan.ts";

export type { PackLimits } from "./pack-scan.ts";

// `skipValues` and `encodeUndefinedAsNil` are documented by msgpackr and missing from some of its types.
const options = {
  useRecords: false,
  mapsAsObjects: true,
  variableMapSize: true,
  moreTypes: false,
  useToJSON: false,
  structuredClone: false,
  encodeUndefinedAsNil: true,
  skipValues: [undefined],
  int64AsType: "number",
} as const;
const packr = new Packr(options as unknown as NonNullable<ConstructorParameters<typeof Packr>[0]>);

/** What is packed here must be readable here and everywhere, with stack to spare: deeper values are refused. */
const packable: PackLimits = { maxDepth: 256, maxItems: Infinity, maxBytes: Infinity };

const untrusted: PackLimits = {
  maxDepth: defaultLimits.maxDepth,
  maxItems: defaultLimits.maxItems,
  maxBytes: defaultLimits.maxRequestBytes,
};

/** The value as msgpack, in bytes of its own that nothing else writes to. Throws TOO_LARGE for values nested deeper
 *  than 256 or cyclic, and MALFORMED for what msgpack has no plain form for: Date, bigint, symbol, RegExp, Error, typed
 *  arrays but Uint8Array, and the key "__proto__". A Set becomes an array; a function, null. */
export function pack(value: unknown): Uint8Array<ArrayBuffer> {
  const bytes = packUnchecked(value);
  scan(bytes, packable);
  return bytes;
}

function packUnchecked(value: unknown): Uint8Array<ArrayBuffer> {
  try {
    // With these two modes msgpackr returns its own buffer with `start` and `end`, and writes over it next time.
    const shared = packr.pack(value, REUSE_BUFFER_MODE | RESET_BUFFER_MODE) as Uint8Array & { start: number; end: number };
    return new Uint8Array(shared.subarray(shared.start, shared.end));
  } catch (cause) {
    if (cause instanceof SheafError) throw cause;
    if (cause instanceof RangeError) throw new SheafError("TOO_LARGE", "the value is nested too deep, or within itself", { cause });
    throw new SheafError("MALFORMED", "the value has no plain form in msgpack", { cause });
  }
}

/** Reads bytes that `pack` made and a checksum has vouched for. Throws MALFORMED when they are not msgpack. Binary values
 *  are plain Uint8Arrays that look into `bytes`: copy one to keep it when `bytes` is reused. */
export function unpack(bytes: Uint8Array): unknown {
  try {
    // A view of its own: msgpackr leaves a property on the array it reads, and slices a Buffer into Buffers.
    return packr.unpack(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length));
  } catch (cause) {
    throw new SheafError("MALFORMED", "msgpack: the bytes cannot be read", { cause });
  }
}

/** Reads bytes from outside: one linear scan proves them plain and within limits first. Throws MALFORMED or TOO_LARGE,
 *  nothing else. Binary values look into `bytes`, as with `unpack`. */
export function unpackUntrusted(bytes: Uint8Array, limits: Partial<PackLimits> = {}): unknown {
  scan(bytes, { ...untrusted, ...limits });
  return unpack(bytes);
}

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fromHex, SheafError, toHex } from "../base/index.ts";
import { maxPackDepth, pack, unpack, unpackUntrusted } from "./index.ts";

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof SheafError) return error.code;
    throw error;
  }
  return "none";
};
const hex = (text: string): Uint8Array => fromHex(text.replaceAll(" ", ""));

/** Any value that has a plain form: what comes back equals it exactly. */
const plain = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.constant(null),
    fc.boolean(),
    fc.double(),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.string({ unit: "grapheme" }),
    fc.string({ maxLength: 400 }),
    fc.uint8Array({ maxLength: 300 }),
    fc.array(tie("value"), { maxLength: 40 }),
    fc.dictionary(
      fc.string({ unit: "binary" }).filter((key) => key !== "__proto__" && key.isWellFormed()),
      tie("value"),
      {
        maxKeys: 40,
        noNullPrototype: true,
      },
    ),
  ),
})).value;

test("pack: every plain value comes back exactly, trusted or not", () => {
  fc.assert(
    fc.property(plain, (value) => {
      const bytes = pack(value);
      assert.deepStrictEqual(unpack(bytes), value);
      assert.deepStrictEqual(unpackUntrusted(bytes), value);
      assert.deepEqual(pack(unpack(bytes)), bytes);
    }),
    { seed: 1, numRuns: 2000 },
  );
});

test("pack: numbers keep their value, sign of zero included, at every width's edge", () => {
  const edges = [
    0,
    -0,
    127,
    128,
    255,
    256,
    65535,
    65536,
    2 ** 31 - 1,
    2 ** 31,
    2 ** 32 - 1,
    2 ** 32,
    2 ** 53 - 1,
    2 ** 53,
    1e300,
  ];
  const all = [
    ...edges,
    ...edges.map((n) => -n),
    -32,
    -33,
    -128,
    -129,
    -32768,
    -32769,
    1.5,
    NaN,
    Infinity,
    -Infinity,
    5e-324,
  ];
  for (const n of all) assert.ok(Object.is(unpack(pack(n)), n), String(n));
  const oddNaN = new DataView(fromHex("fff8000000000123").buffer).getFloat64(0);
  assert.deepEqual(pack(oddNaN), pack(NaN));
});

test("pack: text of every length around a header's edge comes back, a byte-order mark included", () => {
  for (const unit of ["a", "é", "€", "😀", "\uFEFF"])
    for (const n of [
      0, 1, 7, 8, 10, 11, 15, 16, 23, 24, 31, 32, 85, 86, 127, 128, 255, 256, 21845, 21846, 65535, 65536, 200_000,
    ]) {
      const text = unit.repeat(n);
      assert.ok(unpackUntrusted(pack(text)) === text, `${unit} × ${n}`);
    }
  assert.equal(unpack(pack("a\ud800b")), "a\uFFFDb");
});

test("pack: containers and binaries of every length around a header's edge come back", () => {
  for (const n of [0, 15, 16, 255, 256, 65535, 65536]) {
    const list = Array.from({ length: n }, (_, i) => i);
    const map = Object.fromEntries(list.map((i) => [`k${i}`, i]));
    const binary = new Uint8Array(n).fill(7);
    assert.deepStrictEqual(unpackUntrusted(pack([list, map, binary]), { maxItems: 200_000 }), [list, map, binary]);
  }
});

test("pack: the bytes are the ones msgpack says", () => {
  const value = { a: 1, b: [true, null, "x"], c: new Uint8Array([1, 2]), d: -1.5, e: undefined, f: 70000, g: -200 };
  assert.equal(toHex(pack(value)), "86a16101a16293c3c0a178a163c4020102a164cbbff8000000000000a166ce00011170a167d1ff38");
});

test("pack: undefined properties leave no trace, whatever the size of the map", () => {
  const many = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`k${i}`, undefined]));
  assert.deepEqual(pack({ ...many, a: 1 }), pack({ a: 1 }));
  assert.deepStrictEqual(unpack(pack([undefined, { a: undefined }])), [null, {}]);
});

test("pack: bytes once returned are never written to again", () => {
  const first = pack({ text: "first", n: 1 });
  const kept = toHex(first);
  for (let i = 0; i < 1000; i++) pack({ text: "other", n: i, more: "x".repeat(i) });
  assert.equal(toHex(first), kept);
  assert.equal(first.byteLength, first.buffer.byteLength);
  assert.equal(Object.getPrototypeOf(first), Uint8Array.prototype);
});

test("pack: a getter that packs does not disturb the value around it", () => {
  const value = {
    before: "x".repeat(100),
    nested: {
      get inner() {
        return pack({ big: "y".repeat(300_000) });
      },
    },
    after: [1, 2, 3],
  };
  const read = unpack(pack(value)) as { nested: { inner: Uint8Array }; before: string; after: number[] };
  assert.deepStrictEqual(read.after, [1, 2, 3]);
  assert.equal(read.before, "x".repeat(100));
  assert.equal((unpack(read.nested.inner) as { big: string }).big.length, 300_000);
});

test("pack: what has no plain form is refused by name and place, never bent", () => {
  class Point {
    x = 1;
  }
  const bad = [
    new Date(0),
    10n,
    Symbol("s"),
    () => 1,
    /x/,
    new Error("e"),
    new Map(),
    new Set(),
    new Float64Array(2),
    new ArrayBuffer(2),
  ];
  for (const value of [...bad, new Point(), new String("s"), new DataView(new ArrayBuffer(1)), Promise.resolve(1)]) {
    assert.equal(
      codeOf(() => pack(value)),
      "MALFORMED",
    );
    assert.equal(
      codeOf(() => pack({ a: [1, { b: value }] })),
      "MALFORMED",
    );
  }
  assert.throws(() => pack({ a: [1, { b: new Date(0) }] }), /a Date at a\.1\.b cannot be stored/);
  assert.equal(
    codeOf(() => pack(JSON.parse('{"__proto__":{"x":1}}'))),
    "MALFORMED",
  );
  assert.deepStrictEqual(unpack(pack({ constructor: 1, toJSON: 2, then: 3, hasOwnProperty: 4 })), {
    constructor: 1,
    toJSON: 2,
    then: 3,
    hasOwnProperty: 4,
  });
});

test("pack: after a refusal the next value is packed as ever", () => {
  assert.equal(
    codeOf(() => pack({ fine: "x".repeat(50), bad: 1n })),
    "MALFORMED",
  );
  assert.deepStrictEqual(unpack(pack({ a: 1 })), { a: 1 });
});

test("pack: what packs can be read; deeper and cyclic values are refused", () => {
  const nest = (depth: number): unknown => {
    let value: unknown = 1;
    for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { a: value };
    return value;
  };
  assert.deepStrictEqual(unpack(pack(nest(maxPackDepth))), nest(maxPackDepth));
  assert.equal(
    codeOf(() => pack(nest(maxPackDepth + 1))),
    "TOO_LARGE",
  );
  assert.equal(
    codeOf(() => pack(nest(200_000))),
    "TOO_LARGE",
  );
  const cycle: { self?: unknown } = {};
  cycle.self = cycle;
  assert.equal(
    codeOf(() => pack(cycle)),
    "TOO_LARGE",
  );
});

test("pack: a large value does not keep its buffer, and packs whole", () => {
  const large = { state: "é".repeat(3_000_000), tail: 1 };
  assert.deepStrictEqual(unpack(pack(large)), large);
  assert.deepStrictEqual(unpack(pack({ a: 1 })), { a: 1 });
});

test("unpack: a Buffer's binaries are plain Uint8Arrays and the input is left as it was", () => {
  const bytes = Buffer.from(pack([new Uint8Array([1, 2, 3])]));
  const [binary] = unpack(bytes) as [Uint8Array];
  assert.equal(Object.getPrototypeOf(binary), Uint8Array.prototype);
  assert.deepEqual(Object.keys(bytes), Object.keys(Buffer.from(bytes)));
});

test("unpack untrusted: hostile bytes are refused by name", () => {
  const deep = new Uint8Array(200_001).fill(0x91);
  deep[200_000] = 0xc0;
  const deepMap = hex("81a161".repeat(100) + "c0");
  const cases: [string, Uint8Array, string][] = [
    ["arrays nested 200,000 deep", deep, "TOO_LARGE"],
    ["maps nested 100 deep", deepMap, "TOO_LARGE"],
    ["__proto__ as a short key", hex("81 a95f5f70726f746f5f5f 81a17801"), "MALFORMED"],
    ["__proto__ as str 8", hex("81 d9095f5f70726f746f5f5f 81a17801"), "MALFORMED"],
    ["__proto__ as str 16", hex("81 da00095f5f70726f746f5f5f 81a17801"), "MALFORMED"],
    ["__proto__ as str 32", hex("81 db000000095f5f70726f746f5f5f 81a17801"), "MALFORMED"],
    ["an array of 4 billion", hex("dd ffffffff 00"), "MALFORMED"],
    ["a map of 4 billion", hex("df ffffffff 00"), "MALFORMED"],
    ["text of 4 billion", hex("db ffffffff 61"), "MALFORMED"],
    ["binary of 4 billion", hex("c6 ffffffff 61"), "MALFORMED"],
    ["a key of 4 billion", hex("81 db ffffffff 61"), "MALFORMED"],
    ["nothing", hex(""), "MALFORMED"],
    ["a map without its value", hex("81 a161"), "MALFORMED"],
    ["half a double", hex("cb 0000"), "MALFORMED"],
    ["half a length", hex("da 00"), "MALFORMED"],
    ["bytes after the value", hex("01 02"), "MALFORMED"],
    ["the unused token", hex("c1"), "MALFORMED"],
    ["fixext (a record definition in some libraries)", hex("d4 72 40 91a161 01"), "MALFORMED"],
    ["ext 8", hex("c7 01 01 00"), "MALFORMED"],
    ["a timestamp", hex("d6 ff 00000000"), "MALFORMED"],
    ["a number as key", hex("81 01 02"), "MALFORMED"],
    ["an array as key", hex("81 90 02"), "MALFORMED"],
    ["nil as key", hex("81 c0 02"), "MALFORMED"],
    ["overlong UTF-8", hex("a2 c080"), "MALFORMED"],
    ["a surrogate in UTF-8", hex("a3 eda080"), "MALFORMED"],
  ];
  for (const [says, bytes, code] of cases)
    assert.equal(
      codeOf(() => unpackUntrusted(bytes)),
      code,
      says,
    );
  assert.equal(({} as { x?: unknown }).x, undefined);
});

test("unpack untrusted: limits are exact", () => {
  const three = pack([1, [2]]);
  assert.equal(
    codeOf(() => unpackUntrusted(three, { maxItems: 3 })),
    "none",
  );
  assert.equal(
    codeOf(() => unpackUntrusted(three, { maxItems: 2 })),
    "TOO_LARGE",
  );
  assert.equal(
    codeOf(() => unpackUntrusted(three, { maxDepth: 2 })),
    "none",
  );
  assert.equal(
    codeOf(() => unpackUntrusted(three, { maxDepth: 1 })),
    "TOO_LARGE",
  );
  const siblings = Array.from({ length: 100 }, () => ({ a: [1] }));
  assert.deepStrictEqual(unpackUntrusted(pack(siblings), { maxDepth: 3 }), siblings);
  assert.equal(
    codeOf(() => unpackUntrusted(three, { maxBytes: three.length })),
    "none",
  );
  assert.equal(
    codeOf(() => unpackUntrusted(three, { maxBytes: three.length - 1 })),
    "TOO_LARGE",
  );
});

test("unpack untrusted: 64-bit integers of other writers come as numbers", () => {
  assert.equal(unpackUntrusted(hex("cf 0000000100000000")), 2 ** 32);
  assert.equal(unpackUntrusted(hex("d3 ffffffffffffffff")), -1);
  assert.equal(unpackUntrusted(hex("ca 3fc00000")), 1.5);
});

/** xorshift32: the fuzz is the same on every run. */
function stream(seed: number): () => number {
  let s = seed;
  return () => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    return s >>> 0;
  };
}

test("unpack untrusted: 110,000 random and mutated inputs only ever yield a plain value or a typed error", () => {
  const next = stream(0x5eaf);
  const sample = pack({
    key: "acc-7",
    __p: 1,
    list: [1, -2, 3.5, "é", null, { a: new Uint8Array(9) }],
    long: "x".repeat(40),
  });
  const tokens = [0xdd, 0xdf, 0xdc, 0xde, 0x9f, 0x8f, 0xc1, 0xc7, 0xc9, 0xd4, 0xd8, 0xdb, 0xc6, 0xa9];
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0; // most of the time would go into traces nobody reads
  let accepted = 0;
  let slowest = 0;
  for (let round = 0; round < 110_000; round++) {
    let bytes: Uint8Array;
    if (round % 2 === 0) {
      bytes = new Uint8Array(next() % 48);
      for (let i = 0; i < bytes.length; i++) bytes[i] = next() % 4 === 0 ? tokens[next() % tokens.length]! : next();
    } else {
      bytes = sample.slice(0, next() % 8 === 0 ? next() % sample.length : sample.length);
      for (let n = next() % 4; n >= 0 && bytes.length > 0; n--) bytes[next() % bytes.length] = next();
    }
    const began = performance.now();
    const code = codeOf(() => unpackUntrusted(bytes)); // rethrows what is not a SheafError
    slowest = Math.max(slowest, performance.now() - began);
    assert.ok(code === "none" || code === "MALFORMED" || code === "TOO_LARGE", `${code} for ${toHex(bytes)}`);
    if (code === "none") accepted++;
  }
  Error.stackTraceLimit = stackTraceLimit;
  assert.ok(accepted > 1000 && accepted < 109_000, `the corpus has power: ${accepted} accepted`);
  assert.equal(({} as { x?: unknown }).x, undefined);
  assert.deepEqual(Object.keys(Object.prototype), []);
  assert.ok(slowest < 1000, `no input stalls: ${slowest} ms`);
});

test("unpack untrusted: megabytes of nested claims cost no more than their length", () => {
  const claims = new Uint8Array(1_000_000);
  for (let i = 0; i + 5 <= claims.length; i += 5) claims.set([0xdd, 0x00, 0x0e, 0x00, 0x00], i);
  assert.equal(
    codeOf(() => unpackUntrusted(claims)),
    "TOO_LARGE",
  );
  const flat = new Uint8Array(1_000_001).fill(0xc0);
  flat.set([0xdd, 0x00, 0x0f, 0x42, 0x3c]);
  assert.equal(
    codeOf(() => unpackUntrusted(flat)),
    "TOO_LARGE",
  );
  assert.equal((unpackUntrusted(flat, { maxItems: 1_000_000 }) as unknown[]).length, 999_996);
});

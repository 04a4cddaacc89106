import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { concat, fromHex, SheafError, toHex } from "../base/index.ts";
import { realCompress, realCrypto } from "../platform/crypto.ts";
import { checkSnapshot, decodeSnapshot, encodeSnapshot, type SnapshotName, type SnapshotOptions } from "./index.ts";
import { sampleCluster, sampleKey } from "./sample.ts";

const plain: SnapshotOptions = { crypto: realCrypto, compress: realCompress, cluster: sampleCluster };
const sealed: SnapshotOptions = { ...plain, key: sampleKey };
const name: SnapshotName = { shard: 17, generation: 2, epoch: 9, seq: 1234, hash: "ab".repeat(32) };

const gather = async <T>(from: AsyncIterable<T>): Promise<T[]> => {
  const all: T[] = [];
  for await (const one of from) all.push(one);
  return all;
};
const encode = (options: SnapshotOptions, groups: readonly (readonly unknown[])[], as = name): Promise<Uint8Array[]> =>
  gather(encodeSnapshot(options, as, groups));
const decode = async (options: SnapshotOptions, chunks: readonly Uint8Array[], as = name): Promise<unknown[]> =>
  (await gather(decodeSnapshot(options, as, chunks))).flat();
const outcome = async (options: SnapshotOptions, chunks: readonly Uint8Array[], as = name): Promise<string> => {
  try {
    await decode(options, chunks, as);
    return "read";
  } catch (error) {
    return error instanceof SheafError ? error.code : String(error);
  }
};

const small = [
  [["cell", "account", "a", 1]],
  [],
  [["cell", "account", "b", new Uint8Array([1, 2])], { op: "x", at: 5 }],
];
/** Incompressible values, 100 KiB each. */
const large = [
  Array.from({ length: 30 }, (_, n) =>
    concat(Array.from({ length: 3200 }, (_, i) => realCrypto.sha256(Uint8Array.of(n, i, i >> 8)))),
  ),
];

test("snapshot: items come back in order, plain and sealed, empty and of several chunks", async () => {
  for (const options of [plain, sealed])
    for (const groups of [[], [[]], small, large, [Array.from({ length: 5000 }, (_, i) => i)], [[null, undefined]]]) {
      const items = groups.flat().map((item) => item ?? null);
      assert.deepStrictEqual(await decode(options, await encode(options, groups)), items);
    }
  const chunks = await encode(plain, large);
  assert.ok(chunks.length > 4 && chunks.every((chunk) => chunk.length < 1.2 * 1024 * 1024), `${chunks.length} chunks`);
});

test("snapshot: where chunks are cut does not matter", async () => {
  const whole = concat(await encode(sealed, small));
  for (const size of [1, 7, 46, 47, 48, 1000]) {
    const cut: Uint8Array[] = [];
    for (let at = 0; at < whole.length; at += size) cut.push(whole.subarray(at, at + size), new Uint8Array(0));
    assert.deepStrictEqual(await decode(sealed, cut), small.flat());
  }
});

/** How many of 100 flips, spread over the whole, pass unnoticed or with something else than a typed error. */
async function unnoticedFlips(options: SnapshotOptions): Promise<number> {
  const whole = concat(await encode(options, small));
  let unnoticed = 0;
  for (let n = 0; n < 100; n++) {
    const bent = whole.slice();
    const bit = Math.floor((n * (whole.length * 8 - 1)) / 99);
    bent[bit >> 3]! ^= 1 << (bit & 7);
    if ((await outcome(options, [bent])) !== "CORRUPT") unnoticed++;
  }
  return unnoticed;
}

test("snapshot: one flipped bit at any of 100 positions is noticed (P11)", async () => {
  assert.equal(await unnoticedFlips(plain), 0);
  assert.equal(await unnoticedFlips(sealed), 0);
});

test("snapshot: every flipped bit is noticed", async () => {
  const whole = concat(await encode(plain, small));
  for (let bit = 0; bit < whole.length * 8; bit++) {
    const bent = whole.slice();
    bent[bit >> 3]! ^= 1 << (bit & 7);
    assert.equal(await outcome(plain, [bent]), "CORRUPT", `bit ${bit}`);
  }
});

test("snapshot: the planted defect M8 lets flipped bits pass, which the guarantee above would notice", async () => {
  assert.ok((await unnoticedFlips({ ...plain, faults: { mutant: (planted) => planted === "M8" } })) > 0);
});

test("snapshot: a cut at any byte is noticed, as is anything behind the end", async () => {
  const whole = concat(await encode(plain, small));
  for (let length = 0; length < whole.length; length++)
    assert.equal(await outcome(plain, [whole.subarray(0, length)]), "CORRUPT");
  assert.equal(await outcome(plain, [whole, Uint8Array.of(0)]), "CORRUPT");
  assert.equal(await outcome(plain, [whole, whole]), "CORRUPT");
  assert.equal(await outcome(plain, []), "CORRUPT");
});

test("snapshot: frames left out, repeated, swapped or taken from another snapshot are noticed", async () => {
  for (const options of [plain, sealed]) {
    const chunks = await encode(options, large);
    const other = await encode(options, large, { ...name, seq: 1235 });
    assert.equal(await outcome(options, chunks), "read");
    const [a, b, c, ...rest] = chunks as [Uint8Array, Uint8Array, Uint8Array, ...Uint8Array[]];
    for (const mixed of [
      [a, c, ...rest],
      [a, b, b, c, ...rest],
      [a, c, b, ...rest],
      [b, c, ...rest],
      [a, other[1]!, c, ...rest],
      [a, rest.at(-1)!],
    ])
      assert.equal(await outcome(options, mixed), "CORRUPT");
    assert.equal(await outcome(options, chunks.slice(0, -1)), "CORRUPT");
  }
});

test("snapshot: without the key every flipped bit, cut, exchange and wrong name is noticed all the same", async () => {
  const check = (chunks: readonly Uint8Array[], as = name): Promise<string> =>
    checkSnapshot(plain, as, chunks).then(
      ({ bytes }) => String(bytes),
      (error: unknown) => (error as SheafError).code,
    );
  for (const options of [plain, sealed]) {
    const whole = concat(await encode(options, small));
    assert.equal(await check([whole]), String(whole.length));
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const bent = whole.slice();
      bent[bit >> 3]! ^= 1 << (bit & 7);
      assert.equal(await check([bent]), "CORRUPT", `bit ${bit}`);
    }
    for (let length = 0; length < whole.length; length++)
      assert.equal(await check([whole.subarray(0, length)]), "CORRUPT");
    assert.equal(await check([whole, Uint8Array.of(0)]), "CORRUPT");
    assert.equal(await check([whole], { ...name, seq: 1 }), "CORRUPT");
    const [a, b, c, ...rest] = (await encode(options, large)) as [Uint8Array, Uint8Array, Uint8Array, ...Uint8Array[]];
    for (const mixed of [
      [a, c, b, ...rest],
      [a, b, b, c, ...rest],
      [a, b, ...rest],
    ])
      assert.equal(await check(mixed), "CORRUPT");
  }
});

test("snapshot: under another name or cluster it is refused", async () => {
  const chunks = await encode(plain, small);
  for (const part of [{ shard: 18 }, { generation: 1 }, { epoch: 8 }, { seq: 1 }, { hash: "cd".repeat(32) }])
    assert.equal(await outcome(plain, chunks, { ...name, ...part }), "CORRUPT");
  assert.equal(await outcome({ ...plain, cluster: "f".repeat(32) }, chunks), "CORRUPT");
});

test("snapshot: a sealed one needs its key, shows no content, and a plain one does not pass in its place", async () => {
  const chunks = await encode(sealed, [["canary-5eaf"]]);
  assert.equal(Buffer.from(concat(chunks)).includes("canary-5eaf"), false);
  assert.equal(await outcome(plain, chunks), "WRONG_KEY");
  assert.equal(await outcome({ ...plain, key: new Uint8Array(32) }, chunks), "WRONG_KEY");
  assert.equal(await outcome(sealed, await encode(plain, [["canary-5eaf"]])), "CORRUPT");
});

test("snapshot: an attacker who recomputes checksums still cannot bend a sealed one", async () => {
  const [first, items, end] = (await encode(sealed, small)) as [Uint8Array, Uint8Array, Uint8Array];
  for (const at of [1, 3, 7, 11, 15, 47, 60, items.length - 33]) {
    const bent = items.slice();
    bent[at]! ^= 1;
    bent.set(realCrypto.sha256(bent.subarray(0, -32)), bent.length - 32);
    assert.notEqual(await outcome(sealed, [first, bent, end]), "read");
  }
});

test("snapshot: one written by format 1 stays readable, and is written the same to the byte", async () => {
  const golden = fromHex(readFileSync(new URL("./golden/snapshot-1.hex", import.meta.url), "utf8").trim());
  assert.deepStrictEqual(await decode(plain, [golden]), small.flat());
  assert.equal(toHex(concat(await encode(plain, small))), toHex(golden));
});

test("snapshot: a newer format stops with its version named", async () => {
  const [first, ...rest] = await encode(plain, small);
  first![0] = 2;
  first!.set(realCrypto.sha256(first!.subarray(0, -32)), first!.length - 32);
  await assert.rejects(decode(plain, [first!, ...rest]), {
    code: "CORRUPT",
    message: /format version 2/,
    hint: /newer Sheaf/,
  });
});

test("snapshot: an end that counts other items than came is noticed, whoever made its checksum", async () => {
  const [first, end] = (await encode(plain, [])) as [Uint8Array, Uint8Array];
  assert.equal(end[47], 0);
  end[47] = 5;
  end.set(realCrypto.sha256(end.subarray(0, -32)), end.length - 32);
  assert.equal(await outcome(plain, [first, end]), "CORRUPT");
});

test("snapshot: a source that fails makes the encoding fail", async () => {
  async function* failing(): AsyncGenerator<readonly unknown[]> {
    yield [1];
    throw new Error("the source failed");
  }
  await assert.rejects(gather(encodeSnapshot(plain, name, failing())), /the source failed/);
});

test("snapshot: an item over the frame limit is refused when written, and a frame that claims more when read", async () => {
  await assert.rejects(encode(plain, [[new Uint8Array(17 * 1024 * 1024)]]), { code: "TOO_LARGE" });
  const [first] = await encode(plain, small);
  first!.set([0xff, 0xff, 0xff, 0xff], 11);
  assert.equal(await outcome(plain, [first!]), "CORRUPT");
});

test("snapshot: its source is let go however reading ends", async () => {
  const chunks = await encode(plain, large);
  let released = 0;
  async function* source(cut: number): AsyncGenerator<Uint8Array> {
    try {
      yield* chunks.slice(0, cut);
    } finally {
      released++;
    }
  }
  for await (const _ of decodeSnapshot(plain, name, source(99))) break;
  await gather(decodeSnapshot(plain, name, source(99)));
  await assert.rejects(gather(decodeSnapshot(plain, name, source(2))), { code: "CORRUPT" });
  await assert.rejects(gather(decodeSnapshot(plain, { ...name, seq: 1 }, source(99))), { code: "CORRUPT" });
  assert.equal(released, 4);
});

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fromHex, mostRecordBytes, SheafError, toHex } from "../base/index.ts";
import { realCompress, realCrypto } from "../platform/crypto.ts";
import { pack } from "../wire/index.ts";
import {
  type CodecOptions,
  type Decoded,
  type JournalRecord,
  type Payload,
  RECORD_FORMAT,
  recordCodec,
} from "./index.ts";
import {
  sampleBatch,
  sampleCauses,
  sampleJobs,
  sampleLeases,
  sampleQueues,
  sampleWork,
  sampleCluster,
  sampleKey,
  samplePayloads,
  sampleRecord,
  sampleGroups,
  sampleTopics,
} from "./sample.ts";

const plainOptions: CodecOptions = { crypto: realCrypto, compress: realCompress, cluster: sampleCluster };
const plain = recordCodec(plainOptions);
const sealed = recordCodec({ ...plainOptions, key: sampleKey });
const place = { shard: 17, seq: 2 ** 33 + 5 };

const refusal = (run: () => unknown): SheafError => {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof SheafError, String(error));
    return error;
  }
  assert.fail("accepted");
};
/** Recomputes the trailing checksum, as an attacker or a newer writer would. */
const rehash = (bytes: Uint8Array): Uint8Array => {
  bytes.set(realCrypto.sha256(bytes.subarray(0, -32)), bytes.length - 32);
  return bytes;
};
const withoutHash = ({ header, payload }: Decoded): JournalRecord => ({ header, payload });

test("codec: every kind of record comes back whole, plain, sealed and compressed", () => {
  const large: Payload = { kind: "park", id: "x", reason: "again and again ".repeat(500), parked: false };
  const [commit] = (sampleBatch(1) as Batch).commits;
  const open = { ...commit!, op: { ...commit!.op!, open: [3, 17] } };
  const slow = { kind: "batch", commits: [open] } as const;
  const raised: Payload = { kind: "generation", was: 3, why: "restored from a backup" };
  const all = Array.from({ length: 1024 }, (_, shard) => [shard, 2 ** 31, 2 ** 52 + shard]).flat();
  const seen = [sampleCauses, { kind: "batch", commits: [commit!], causes: all } as const];
  assert.ok(pack(all).length < 18 * 1024, "of the largest cluster: limits leave room for so much");
  const none = { kind: "batch", commits: [] } as const;
  for (const codec of [plain, sealed])
    for (const payload of [...samplePayloads, sampleWork, sampleBatch(50), large, slow, raised, none, ...seen]) {
      const record = sampleRecord(payload);
      const { bytes, hash } = codec.encode(record);
      const decoded = codec.decode(bytes, place);
      assert.deepStrictEqual(withoutHash(decoded), record);
      assert.deepEqual(decoded.hash, hash);
      assert.deepEqual(bytes.slice(-32), hash);
    }
});

test("codec: without the key a record's header and hash can be read and its damage seen, its payload not", () => {
  const { bytes } = sealed.encode(sampleRecord(sampleBatch(5)));
  const { header, hash } = sealed.decode(bytes, place);
  assert.deepEqual(plain.envelope(bytes, place), { header, hash });
  assert.equal(refusal(() => plain.decode(bytes, place)).code, "WRONG_KEY");
  for (let at = 0; at < bytes.length; at++) {
    const bent = bytes.slice();
    bent[at]! ^= 1;
    assert.equal(refusal(() => plain.envelope(bent, place)).code, "CORRUPT", `byte ${at}`);
  }
});

test("codec: compression is used only where it makes a record smaller", () => {
  const repetitive = sampleRecord({ kind: "park", id: "x", reason: "a".repeat(10_000), parked: true });
  assert.ok(plain.encode(repetitive).bytes.length < 300);
  const noise = Uint8Array.from({ length: 8000 }, (_, i) => realCrypto.sha256(Uint8Array.of(i, i >> 8))[0]!);
  const { bytes } = plain.encode(
    sampleRecord({ kind: "batch", commits: [{ ...(sampleBatch(1) as Batch).commits[0]!, state: noise }] }),
  );
  assert.equal(bytes[1], 0);
});
type Batch = Extract<Payload, { kind: "batch" }>;

test("codec: records written by format 1 stay readable, and are written the same to the byte", () => {
  const lines = readFileSync(new URL("./golden/records-1.hex", import.meta.url), "utf8")
    .trim()
    .split("\n");
  assert.equal(lines.length, samplePayloads.length);
  for (const [i, line] of lines.entries()) {
    const record = sampleRecord(samplePayloads[i]!);
    assert.deepStrictEqual(withoutHash(plain.decode(fromHex(line), place)), record);
    assert.equal(toHex(plain.encode(record).bytes), line);
  }
});

test("codec: what writers had seen makes a record format 2; one that format 2 wrote stays readable", () => {
  const line = readFileSync(new URL("./golden/records-2.hex", import.meta.url), "utf8").trim();
  const record = sampleRecord(sampleCauses);
  const { bytes } = plain.encode(record);
  assert.equal(bytes[0], 2);
  assert.equal(toHex(bytes), line);
  assert.deepStrictEqual(withoutHash(plain.decode(fromHex(line), place)), record);
});

test("codec: work left to be done makes a record format 3; one that format 3 wrote stays readable", () => {
  const line = readFileSync(new URL("./golden/records-3.hex", import.meta.url), "utf8").trim();
  const record = sampleRecord(sampleWork);
  const { bytes } = plain.encode(record);
  assert.equal(bytes[0], 3);
  assert.equal(toHex(bytes), line);
  assert.deepStrictEqual(withoutHash(plain.decode(fromHex(line), place)), record);
});

test("codec: what topics note is format 3, too; what format 3 wrote of them stays readable", () => {
  const line = readFileSync(new URL("./golden/records-3-topics.hex", import.meta.url), "utf8").trim();
  const record = sampleRecord(sampleTopics);
  const { bytes } = plain.encode(record);
  assert.equal(bytes[0], 3);
  assert.equal(toHex(bytes), line);
  assert.deepStrictEqual(withoutHash(plain.decode(fromHex(line), place)), record);
});

test("codec: what operators do to queues is format 3, too; what format 3 wrote of it stays readable", () => {
  const line = readFileSync(new URL("./golden/records-3-queues.hex", import.meta.url), "utf8").trim();
  const record = sampleRecord(sampleQueues);
  const { bytes } = plain.encode(record);
  assert.equal(bytes[0], 3);
  assert.equal(toHex(bytes), line);
  assert.deepStrictEqual(withoutHash(plain.decode(fromHex(line), place)), record);
});

test("codec: leases of nodes, and what is tried again by itself, are format 3, too; what format 3 wrote of them stays readable", () => {
  const line = readFileSync(new URL("./golden/records-3-leases.hex", import.meta.url), "utf8").trim();
  const record = sampleRecord(sampleLeases);
  const { bytes } = plain.encode(record);
  assert.equal(bytes[0], 3);
  assert.equal(toHex(bytes), line);
  assert.deepStrictEqual(withoutHash(plain.decode(fromHex(line), place)), record);
});

test("codec: what is noted of jobs is format 3, too; what format 3 wrote of them stays readable", () => {
  const line = readFileSync(new URL("./golden/records-3-jobs.hex", import.meta.url), "utf8").trim();
  const record = sampleRecord(sampleJobs);
  const { bytes } = plain.encode(record);
  assert.equal(bytes[0], 3);
  assert.equal(toHex(bytes), line);
  assert.deepStrictEqual(withoutHash(plain.decode(fromHex(line), place)), record);
});

test("codec: records compressed or sealed by format 1 stay readable", () => {
  const [compressed, encrypted] = readFileSync(new URL("./golden/records-1-sealed.hex", import.meta.url), "utf8")
    .trim()
    .split("\n");
  assert.deepStrictEqual(withoutHash(plain.decode(fromHex(compressed!), place)), sampleRecord(sampleBatch(20)));
  assert.equal(fromHex(compressed!)[1], 1);
  assert.deepStrictEqual(withoutHash(sealed.decode(fromHex(encrypted!), place)), sampleRecord(sampleBatch(20)));
  assert.equal(fromHex(encrypted!)[1], 3);
});

test("codec: every flipped bit of a record is noticed", () => {
  for (const codec of [plain, sealed]) {
    const { bytes } = codec.encode(sampleRecord(samplePayloads[2]!));
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const bent = bytes.slice();
      bent[bit >> 3]! ^= 1 << (bit & 7);
      assert.equal(refusal(() => codec.decode(bent, place)).code, "CORRUPT", `bit ${bit}`);
    }
  }
});

test("codec: a record cut at any length, or lengthened, is noticed", () => {
  const { bytes } = plain.encode(sampleRecord(samplePayloads[0]!));
  for (let length = 0; length < bytes.length; length++)
    assert.equal(refusal(() => plain.decode(bytes.subarray(0, length), place)).code, "CORRUPT");
  assert.equal(refusal(() => plain.decode(new Uint8Array([...bytes, 0]), place)).code, "CORRUPT");
});

test("codec: a whole record at another place, or of another cluster, is refused", () => {
  const { bytes } = plain.encode(sampleRecord(samplePayloads[1]!));
  assert.equal(refusal(() => plain.decode(bytes, { ...place, seq: place.seq + 1 })).code, "CORRUPT");
  assert.equal(refusal(() => plain.decode(bytes, { ...place, shard: 18 })).code, "CORRUPT");
  const other = recordCodec({ ...plainOptions, cluster: "f".repeat(32) });
  assert.equal(refusal(() => other.decode(bytes, place)).code, "CORRUPT");
  assert.equal(refusal(() => other.encode(sampleRecord(samplePayloads[1]!))).code, "WRONG_CLUSTER");
  assert.equal(refusal(() => recordCodec({ ...plainOptions, cluster: "not-hex" })).code, "USAGE");
});

test("codec: a newer format stops with its version named, and is never skipped", () => {
  const { bytes } = plain.encode(sampleRecord(samplePayloads[0]!));
  bytes[0] = RECORD_FORMAT + 1;
  const error = refusal(() => plain.decode(rehash(bytes), place));
  assert.equal(error.code, "CORRUPT");
  assert.match(error.message, new RegExp(`format version ${RECORD_FORMAT + 1}`));
  assert.match(error.hint ?? "", /newer Sheaf/);
});

test("codec: with a checksum made to fit, unknown flags, kinds and shapes are still refused", () => {
  const { bytes } = plain.encode(sampleRecord(samplePayloads[0]!));
  const flags = bytes.slice();
  flags[1] = 4;
  assert.equal(refusal(() => plain.decode(rehash(flags), place)).code, "CORRUPT");
  const withBody = (body: Uint8Array): Uint8Array =>
    rehash(new Uint8Array([...bytes.subarray(0, 86), ...body, ...new Uint8Array(32)]));
  for (const body of [
    [],
    1,
    "x",
    null,
    {},
    [9],
    [1],
    [1, 2],
    [3, 4],
    [3, [[]]],
    [3, [1]],
    [3, [], 1],
    [3, [], [1, 2]],
    [3, [], [5, 1, 1, 5, 1, 2]],
    [3, [], [1, 1, "x"]],
    [4, "a"],
  ])
    assert.equal(refusal(() => plain.decode(withBody(pack(body)), place)).code, "CORRUPT", JSON.stringify(body));
  assert.equal(refusal(() => plain.decode(withBody(Uint8Array.of(0xc1)), place)).code, "CORRUPT");
});

test("codec: a sealed record opens with its key only, and only where it was written", () => {
  const { bytes } = sealed.encode(sampleRecord(samplePayloads[2]!));
  assert.equal(refusal(() => plain.decode(bytes, place)).code, "WRONG_KEY");
  const otherKey = recordCodec({ ...plainOptions, key: new Uint8Array(32).fill(1) });
  assert.equal(refusal(() => otherKey.decode(bytes, place)).code, "WRONG_KEY");
  assert.equal(Buffer.from(bytes).includes("withdraw"), false);
  // Each field that says where the record belongs, changed with the checksum made to fit: cluster, shard, generation,
  // epoch, sequence, previous hash, time.
  for (const [at, moved] of [
    [21, { ...place, shard: 18 }],
    [25, place],
    [33, place],
    [41, { ...place, seq: place.seq + 1 }],
    [42, place],
    [81, place],
  ] as const) {
    const bent = bytes.slice();
    bent[at] = at === 21 ? 18 : at === 41 ? 6 : bent[at]! ^ 1;
    const error = refusal(() => sealed.decode(rehash(bent), moved));
    assert.equal(error.code, "CORRUPT");
    assert.match(error.message, /altered/);
  }
});

test("codec: a plain record does not pass in an encrypted cluster", () => {
  const { bytes } = plain.encode(sampleRecord(samplePayloads[2]!));
  assert.equal(refusal(() => sealed.decode(bytes, place)).code, "CORRUPT");
});

test("codec: a payload over the limit is refused when written; one from under a higher limit is still read", () => {
  const large = sampleRecord({ kind: "park", id: "x", reason: "a".repeat(200_000), parked: true });
  const { bytes } = plain.encode(large);
  let allowed = 0;
  const { compress } = plainOptions;
  const watched = {
    ...compress,
    decompress: (body: Uint8Array, most: number) => compress.decompress(body, (allowed = most)),
  };
  const small = recordCodec({ ...plainOptions, compress: watched, maxRecordBytes: 100_000 });
  assert.equal(refusal(() => small.encode(large)).code, "TOO_LARGE");
  assert.deepEqual(small.decode(bytes, place).payload, large.payload);
  assert.equal(allowed, mostRecordBytes, "decompression is bounded all the same");
});

test("codec: who holds a shard for a group is format 3, too; what format 3 wrote of it stays readable", () => {
  const line = readFileSync(new URL("./golden/records-3-groups.hex", import.meta.url), "utf8").trim();
  const record = sampleRecord(sampleGroups);
  const { bytes } = plain.encode(record);
  assert.equal(bytes[0], 3);
  assert.equal(toHex(bytes), line);
  assert.deepStrictEqual(withoutHash(plain.decode(fromHex(line), place)), record);
});

import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { fromHex, toHex } from "../base/index.ts";
import { pack } from "../wire/index.ts";
import {
  type Member,
  type MemberRecord,
  memberStates,
  packMemberRecord,
  sameMember,
  unpackMemberRecord,
} from "./index.ts";
import { memberNamed } from "./world.fixture.ts";

const name = fc.string({ minLength: 1, maxLength: 40 });
const anyMember: fc.Arbitrary<Member> = fc.record(
  {
    id: name,
    name,
    peer: name,
    gateway: fc.option(name),
    admin: fc.option(name),
    zone: fc.string({ maxLength: 20 }),
    weight: fc.double({ min: 0, max: 1e6, noNaN: true }),
    release: fc.string({ maxLength: 20 }),
    services: fc.array(name, { maxLength: 5 }),
    entities: fc.boolean(),
    hosts: fc.option(fc.array(name, { maxLength: 3 })),
    state: fc.constantFrom(...memberStates),
    cordoned: fc.boolean(),
    startedAt: fc.integer({ min: 0, max: 4e12 }),
    pid: fc.nat(),
    version: fc.string({ maxLength: 20 }),
  },
  { noNullPrototype: true },
);
const anyRecord: fc.Arbitrary<MemberRecord> = fc.record(
  {
    member: anyMember,
    beat: fc.nat(),
    accuses: fc.array(name, { maxLength: 5 }),
  },
  { noNullPrototype: true },
);

test("member record: what was packed comes back equal", () => {
  fc.assert(
    fc.property(anyRecord, (record) => {
      const read = unpackMemberRecord(packMemberRecord(record));
      assert.deepEqual(read, record);
      assert.ok(read && sameMember(read.member, record.member));
    }),
  );
});

test("member record: arbitrary and damaged bytes are no record, and never throw", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void unpackMemberRecord(bytes)),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(anyRecord, fc.nat(), fc.integer({ min: 1, max: 255 }), (record, place, flip) => {
      const bytes = packMemberRecord(record);
      const at = place % bytes.length;
      bytes[at] = (bytes[at] ?? 0) ^ flip;
      const read = unpackMemberRecord(bytes);
      if (read) assert.deepEqual(unpackMemberRecord(packMemberRecord(read)), read);
    }),
    { numRuns: 2000 },
  );
});

test("member record: a field that is missing, of another type or out of bounds makes it none", () => {
  const good = { format: 1, beat: 3, accuses: ["x"], member: memberNamed("a") };
  assert.ok(unpackMemberRecord(pack(good)));
  for (const field of Object.keys(good))
    assert.equal(unpackMemberRecord(pack({ ...good, [field]: undefined })), undefined);
  for (const wrong of [{ format: 2 }, { beat: -1 }, { beat: 1.5 }, { accuses: [1] }, { accuses: {} }, { member: [] }])
    assert.equal(unpackMemberRecord(pack({ ...good, ...wrong })), undefined, JSON.stringify(wrong));
  const wrongs: Record<string, unknown[]> = {
    id: ["", 1, "x".repeat(513)],
    name: ["", null],
    peer: [""],
    gateway: ["", 5],
    admin: [false],
    zone: [null],
    weight: [-1, Number.NaN, Infinity, "1"],
    release: [1],
    services: [[""], [1], "abc", Array.from({ length: 1025 }, () => "s")],
    entities: [1],
    hosts: ["order", [""], [1]],
    state: ["gone", 0],
    cordoned: ["no"],
    startedAt: [Number.NaN, Infinity],
    pid: [-1, 0.5],
    version: [undefined],
  };
  assert.deepEqual(Object.keys(wrongs).sort(), Object.keys(good.member).sort());
  for (const [field, values] of Object.entries(wrongs))
    for (const value of values)
      assert.equal(
        unpackMemberRecord(pack({ ...good, member: { ...good.member, [field]: value } })),
        undefined,
        `${field} ${String(value)}`,
      );
});

test("member record: fields that a newer release added are left out", () => {
  const member = { ...memberNamed("a"), rack: "r7" };
  const read = unpackMemberRecord(pack({ format: 1, beat: 0, accuses: [], member, mood: "fine" }));
  assert.deepEqual(read, { beat: 0, accuses: [], member: memberNamed("a") });
});

test("member record: the bytes of a known record stay as they are, and are read", () => {
  const record = { member: memberNamed("a"), beat: 7, accuses: ["b"] };
  const golden = [
    "84a6666f726d617401a46265617407a76163637573657391a162a66d656d6265728fa26964a161a46e616d65a161a470",
    "656572a6613a37343030a767617465776179c0a561646d696ec0a47a6f6e65a0a677656967687401a772656c65617365",
    "a0a8736572766963657390a8656e746974696573c3a57374617465a57265616479a8636f72646f6e6564c2a973746172",
    "746564417400a370696401a776657273696f6ea5302e312e30",
  ].join("");
  assert.equal(toHex(packMemberRecord(record)), golden);
  assert.deepEqual(unpackMemberRecord(fromHex(golden)), record);
  const apart = { ...record, member: memberNamed("a", { hosts: ["order"] }) };
  assert.match(toHex(packMemberRecord(apart)), /a5686f73747391a56f72646572/);
});

test("member: a change of any field makes it another", () => {
  const member = memberNamed("a", { services: ["s"] });
  assert.ok(sameMember(member, { ...member, services: ["s"] }));
  for (const change of [
    { weight: 2 },
    { services: [] },
    { services: ["t"] },
    { hosts: ["rest"] },
    { state: "draining" as const },
  ])
    assert.ok(!sameMember(member, { ...member, ...change }));
});

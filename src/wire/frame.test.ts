import assert from "node:assert/strict";
import { test } from "node:test";
import { SheafError, toHex } from "../base/index.ts";
import { bareCall } from "./call.fixture.ts";
import {
  callBound,
  type CallFields,
  frameKind,
  MessageWriter,
  pack,
  packFail,
  packGoaway,
  packHello,
  packNumber,
  packSession,
  packWelcome,
  readCall,
  readFail,
  readGoaway,
  readHello,
  readMessage,
  readWelcome,
} from "./index.ts";

const limits = { maxBytes: 1 << 20, maxDepth: 64 };
const full: CallFields = {
  kind: 0,
  type: "account",
  key: "acc-7",
  name: "withdraw",
  input: pack({ cents: 500 }),
  op: 17,
  issuedAt: 1_700_000_000_000,
  consistency: 1,
  ifVersion: 3,
  trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  session: "token",
};
function everyFrame(): Uint8Array {
  const writer = new MessageWriter();
  writer.packed(packHello({ version: 1, oldest: 1, app: "bank", token: "sk", issuer: "c0ffee", session: undefined }));
  writer.packed(
    packWelcome({ version: 1, cluster: "0f", time: 1_700_000_000_000, maxInFlight: 4096, maxMessageBytes: 1_114_112 }),
  );
  writer.call(1, 9999, full);
  writer.call(2, 800, bareCall);
  writer.reply(1, pack({ cents: 0 }), 4, 0, true);
  writer.reply(2, undefined);
  writer.packed(packFail(3, new SheafError("DECLARED", "no", { name: "INSUFFICIENT", data: { short: 5 } })));
  writer.packed(packNumber(frameKind.cancel, 4));
  writer.packed(packNumber(frameKind.ping, 0));
  writer.packed(packNumber(frameKind.pong, 0));
  writer.packed(packGoaway({ code: "STOPPING", message: "bye", retryAfterMs: undefined }));
  writer.packed(packSession("token"));
  writer.packed(packNumber(frameKind.settled, 17));
  return writer.take();
}

/** Bytes of version 1. Clients in the field send these: if this test fails, raise `frameVersion` and keep reading these. */
const golden =
  "dd0000000d" +
  "97010101a462616e6ba2736ba6633066666565c0" +
  "960201a23066cb4278bcfe56800000cd1000ce00110000" +
  "9e030100a76163636f756e74a56163632d37a8776974686472617791" +
  "81a563656e7473cd01f4ce0000270f11cb4278bcfe568000000103d93730302d30616637363531393136636434336464383434386562323131633830333139632d623761643662373136393230333333312d3031a5746f6b656e" +
  "98030202a57261746573c0a571756f746590ce00000320" +
  "9604019181a563656e7473000400c3" +
  "93040290" +
  "9b0503a84445434c41524544a26e6fa56e65766572ab6e6f742d6170706c696564c0c0c0ac494e53554646494349454e549181a573686f727405" +
  "920604" +
  "920700" +
  "920800" +
  "9309a853544f5050494e47a3627965" +
  "920aa5746f6b656e" +
  "920b11";

test("frames: their bytes are those of version 1", () => assert.equal(toHex(everyFrame()), golden));

test("frames: what was written is what is read", () => {
  const [hello, welcome, call, empty, reply, none, fail, , , , goaway] = readMessage(everyFrame(), limits) as [
    unknown[],
    ...unknown[][],
  ];
  assert.deepEqual(readHello(hello), {
    version: 1,
    oldest: 1,
    app: "bank",
    token: "sk",
    issuer: "c0ffee",
    session: undefined,
  });
  assert.equal(readWelcome(welcome!).maxMessageBytes, 1_114_112);
  const { kind, input, ...rest } = full;
  const expected = {
    id: 1,
    kind: "command",
    input: { cents: 500 },
    deadlineMs: 9999,
    ...rest,
    consistency: "causal",
    relay: undefined,
  };
  assert.deepEqual([kind, input !== undefined, readCall(call!)], [0, true, expected]);
  assert.deepEqual(readCall(empty!), {
    ...bareCall,
    id: 2,
    kind: "procedure",
    key: "",
    deadlineMs: 800,
    relay: undefined,
  });
  assert.deepEqual(reply, [4, 1, [{ cents: 0 }], 4, 0, true]);
  assert.deepEqual(none, [4, 2, []]);
  const error = readFail(fail!);
  assert.deepEqual(
    [error.code, error.error, error.data, error.retry, error.outcome],
    ["DECLARED", "INSUFFICIENT", { short: 5 }, "never", "not-applied"],
  );
  assert.deepEqual(readGoaway(goaway!), { code: "STOPPING", message: "bye", retryAfterMs: undefined });
});

test("frames: null and no value are told apart", () => {
  const writer = new MessageWriter();
  writer.call(1, 5, { ...bareCall, input: pack(null) });
  writer.call(2, 5, bareCall);
  const [withNull, without] = readMessage(writer.take(), limits).map(readCall);
  assert.deepEqual([withNull?.input, without?.input], [null, undefined]);
});

test("frames: numbers and texts of every size come back as they were", () => {
  for (const number of [0, 1, 127, 128, 65_535, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40, Number.MAX_SAFE_INTEGER, 1.5]) {
    for (const text of [
      "",
      "a",
      "é",
      "a".repeat(31),
      "a".repeat(32),
      "a".repeat(255),
      "é".repeat(200),
      "a".repeat(300),
      "😀".repeat(40_000),
    ]) {
      const call = { ...bareCall, kind: 1, key: text, op: text, issuedAt: number, session: text };
      const writer = new MessageWriter();
      writer.call(Math.floor(number), number, call);
      assert.ok(writer.length <= callBound(call));
      const read = readCall(readMessage(writer.take(), limits)[0]!);
      assert.deepEqual(
        [read.id, read.deadlineMs, read.issuedAt, read.key, read.op, read.session],
        [Math.floor(number), number, number, text, text, text],
      );
    }
  }
});

test("frames: fields that a newer version added at the end are passed over", () => {
  const [frame] = readMessage(
    pack([[3, 1, 2, "rates", null, "quote", [], 5, null, null, null, null, null, null, "new", { more: 1 }]]),
    limits,
  );
  assert.equal(readCall(frame!).name, "quote");
});

test("frames: a code that only a newer version knows keeps its retry and outcome", () => {
  const error = readFail([5, 1, "QUANTUM_FLUX", "?", "later", "unknown"]);
  assert.deepEqual([error.code, error.retry, error.outcome], ["INTERNAL", "later", "unknown"]);
});

test("frames: what is not a frame is MALFORMED", () => {
  const malformed = { name: "SheafError", code: "MALFORMED" };
  for (const message of [null, 1, "x", {}, [1], [[]], [["3"]], [{}]])
    assert.throws(() => readMessage(pack(message), limits), malformed, JSON.stringify(message));
  const good: unknown[] = [3, 1, 0, "account", "acc", "deposit", [], 100, 1, 1, 1, 1, "t", "s"];
  assert.equal(readCall(good).name, "deposit");
  const wrong: [number, unknown][] = [
    [1, -1],
    [1, 1.5],
    [1, "1"],
    [1, Number.NaN],
    [2, 3],
    [2, 0.5],
    [2, "x"],
    [2, null],
    [3, 7],
    [4, null],
    [5, []],
    [6, 1],
    [6, [1, 2]],
    [6, undefined],
    [7, "1"],
    [7, -5],
    [7, Infinity],
    [8, {}],
    [8, -1],
    [8, 1.5],
    [9, "x"],
    [10, 9],
    [10, "strong"],
    [11, -1],
    [12, 5],
    [13, {}],
  ];
  for (const [at, value] of wrong) {
    assert.throws(() => readCall(good.with(at, value)), malformed, `field ${at} = ${JSON.stringify(value)}`);
  }
  for (const issuer of ["", "a.b", "x".repeat(65), 5])
    assert.throws(() => readHello([1, 1, 1, "bank", "t", issuer]), malformed);
  for (const issues of [1, [1], [null], [{ path: 1, message: "x" }], [{ path: [], message: 1 }]]) {
    assert.throws(() => readFail([5, 1, "BAD_INPUT", "", "never", "not-applied", null, null, issues]), malformed);
  }
});

test("frames: a refusal between nodes names the owner, and one that cannot be read names nobody", () => {
  const owner = { node: "n-1", epoch: 7 };
  const frameOf = (named: unknown): unknown[] => {
    const [frame] = readMessage(
      pack([[frameKind.fail, 1, "NOT_OWNER", "no", "now", "not-applied", ...Array(6).fill(null), named]]),
      limits,
    );
    return frame!;
  };
  const writer = new MessageWriter();
  writer.packed(packFail(1, new SheafError("NOT_OWNER"), undefined, owner));
  const [sent] = readMessage(writer.take(), limits);
  assert.deepEqual(readFail(sent!).owner, owner);
  for (const odd of [null, 5, [], ["n-1"], [1, 7], ["n-1", 0.5]]) assert.equal(readFail(frameOf(odd)).owner, undefined);
});

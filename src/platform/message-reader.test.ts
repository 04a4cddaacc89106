import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MalformedMessage, maxControlBytes, messageHead, MessageReader } from "./message-reader.ts";

type Got = { readonly bytes: Buffer; readonly control: boolean };

function reader(maxBytes = 1 << 20, each?: () => void): { reader: MessageReader; got: Got[] } {
  const got: Got[] = [];
  const made = new MessageReader({
    maxBytes,
    on(bytes, control) {
      got.push({ bytes, control });
      each?.();
    },
  });
  return { reader: made, got };
}

test("messages: their bytes on the wire stay as they are", () => {
  assert.equal(messageHead(0x01020304, false).toString("hex"), "01020304");
  assert.equal(messageHead(5, true).toString("hex"), "80000005");
});

test("messages: however a stream is cut, and whenever it is paused, the same messages come out once", () => {
  const message = fc.record({ bytes: fc.uint8Array({ maxLength: 10_000 }), control: fc.boolean() });
  fc.assert(
    fc.property(
      fc.array(message, { maxLength: 12 }),
      fc.array(fc.integer({ min: 1, max: 6_000 }), { minLength: 1 }),
      fc.integer({ min: 1, max: 5 }),
      (sent, cuts, pauseEvery) => {
        const stream = Buffer.concat(sent.flatMap(({ bytes, control }) => [messageHead(bytes.length, control), bytes]));
        const made = reader(10_000, () => made.got.length % pauseEvery === 0 && made.reader.pause());
        for (let at = 0, turn = 0; at < stream.length; turn++) {
          const cut = cuts[turn % cuts.length] as number;
          made.reader.feed(Buffer.from(stream.subarray(at, at + cut)));
          at += cut;
          if (turn % 3 === 2) made.reader.resume();
        }
        for (let before = -1; before !== made.got.length;) {
          before = made.got.length;
          made.reader.resume();
        }
        assert.deepEqual(
          made.got.map(({ bytes, control }) => ({ bytes: new Uint8Array(bytes), control })),
          sent.map(({ bytes, control }) => ({ bytes: new Uint8Array(bytes), control })),
        );
        assert.equal(made.reader.heldBytes, 0);
      },
    ),
  );
});

test("messages: while paused nothing comes out", () => {
  const { reader: paused, got } = reader();
  paused.pause();
  paused.feed(Buffer.concat([messageHead(1, false), Buffer.of(1)]));
  assert.deepEqual(got, []);
  paused.resume();
  assert.equal(got.length, 1);
});

test("messages: one over its limit is refused before any of it is held", () => {
  for (const [length, control] of [
    [1001, false],
    [2 ** 31 - 1, false],
    [maxControlBytes + 1, true],
  ] as const) {
    const { reader: strict, got } = reader(1000);
    assert.throws(() => strict.feed(messageHead(length, control)), MalformedMessage);
    assert.deepEqual([got, strict.heldBytes], [[], 0]);
  }
  const { reader: exact, got } = reader(1000);
  exact.feed(Buffer.concat([messageHead(1000, false), Buffer.alloc(1000)]));
  assert.equal(got.length, 1);
});

test("messages: of an unfinished one at most twice what came is held, whatever it claims to be (R1)", () => {
  const { reader: slow } = reader(1 << 30);
  slow.feed(messageHead(1 << 30, false));
  for (let came = 1; came < 200_000; came += 997) {
    slow.feed(Buffer.alloc(997));
    assert.ok(slow.heldBytes <= Math.max(4096, 2 * (came + 997)));
  }
});

test("messages: a message keeps its bytes when the next ones come", () => {
  const { reader: made, got } = reader();
  for (let i = 0; i < 50; i++) {
    const whole = Buffer.concat([messageHead(100, false), Buffer.alloc(100, i)]);
    made.feed(whole.subarray(0, 60));
    made.feed(whole.subarray(60));
  }
  got.forEach(({ bytes }, i) => assert.ok(bytes.every((byte) => byte === i)));
});

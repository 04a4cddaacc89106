import assert from "node:assert/strict";
import { test } from "node:test";
import { frameKind, oldestFrameVersion, pack, readMessage } from "../wire/index.ts";
import { lone, seeded } from "./pair.fixture.ts";

const hello = pack([[frameKind.hello, 1, oldestFrameVersion, "bank", null, "fuzz"]]);
const good: unknown[][] = [
  [frameKind.call, 1, 0, "account", "acc-1", "deposit", [{ cents: 5 }], 1000, 1, 1_700_000_000_000],
  [frameKind.call, 2, 2, "rates", null, "quote", [], 1000],
  [frameKind.cancel, 1],
  [frameKind.ping, 0],
  [frameKind.settled, 4],
];

/** A message that is nearly right: bits flipped, bytes cut off or put in, fields of frames exchanged for odd values. */
function nearly(random: () => number): Uint8Array {
  const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)]!;
  const odd = [
    null,
    -1,
    1.5,
    2 ** 53,
    Number.NaN,
    "",
    "x".repeat(300),
    [],
    [[]],
    {},
    { length: 5 },
    new Uint8Array(3),
    true,
  ];
  const frames = Array.from({ length: 1 + Math.floor(random() * 3) }, () => [...pick(good)]);
  if (random() < 0.5) {
    const frame = pick(frames);
    frame[Math.floor(random() * (frame.length + 2))] = pick(odd);
  }
  const bytes = pack(frames);
  const how = random();
  if (how < 0.3) return bytes;
  if (how < 0.4) return bytes.subarray(0, random() * bytes.length);
  const broken = Uint8Array.from(bytes);
  for (let i = Math.floor(random() * 4); i >= 0; i--) broken[Math.floor(random() * broken.length)] = random() * 256;
  return broken;
}

test("100,000 fuzzed messages: each is carried out or ends its own connection, and nothing else happens", async () => {
  const random = seeded(7);
  let ended = 0;
  let called = 0;
  let session = lone({ call: async () => (called++, { output: 1 }) });
  for (let i = 0; i < 100_000; i++) {
    if (session.closed() || i === 0) {
      ended += Number(session.closed());
      session = lone({ call: async () => (called++, { output: 1 }) });
      session.end.message(hello);
      await Promise.resolve();
      await Promise.resolve();
    }
    session.end.message(nearly(random));
    if (session.closed()) {
      const last = readMessage(session.sent.at(-1)!, { maxBytes: 1 << 20, maxDepth: 64 }).at(-1)!;
      assert.equal(last[0], frameKind.goaway);
      assert.ok(last[1] === "MALFORMED" || last[1] === "TOO_LARGE", String(last[1]));
    }
    if (i % 1000 === 0) await session.clock.settle();
  }
  assert.ok(ended > 10_000 && called > 10_000, `ended ${ended}, called ${called}`);
});

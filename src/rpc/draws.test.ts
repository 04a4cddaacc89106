import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../base/index.ts";
import { realCrypto } from "../platform/crypto.ts";
import { simHost } from "../sim/sim-host.ts";
import type { Call } from "./call.ts";
import { type Derive, drawOf } from "./draws.ts";

const host = simHost({});
const secret =
  (name: string): Derive =>
  (label) =>
    realCrypto.hmacSha256(utf8(name), utf8(label));
const made = (extra: Partial<Call> = {}): Call => ({
  target: { kind: "command", entity: "order", key: "o1", name: "place" },
  input: undefined,
  principal: { id: "ann", roles: [] },
  deadline: 1000,
  op: { id: "c0ffee.1a", issuedAt: 1_700_000_000_123.7 },
  ...extra,
});
const drawn = (call: Call, derive: Derive = secret("s")): string[] => {
  const dice = drawOf(call, host, derive);
  return [dice.id(), dice.id(), String(dice.random()), String(dice.random())];
};

test("draws: an operation that is carried out again draws the same, in whatever turns it draws ids and numbers", () => {
  const [first, second, one, two] = drawn(made());
  const again = drawOf(made({ input: 5, deadline: 7, session: "x" }), host, secret("s"));
  assert.deepEqual([again.random(), again.id(), again.random(), again.id()].map(String), [one, first, two, second]);
});

test("draws: no two are alike, of one operation or of different ones, and nobody foretells them without the secret", () => {
  const target = { kind: "command", entity: "order", key: "o2", name: "place" } as const;
  const all = [
    ...drawn(made()),
    ...drawn(made(), secret("t")),
    ...drawn(made({ target })),
    ...drawn(made({ principal: { id: "bob", roles: [] } })),
    ...drawn(made({ op: { id: "c0ffee.1b", issuedAt: 1_700_000_000_123 } })),
  ];
  assert.equal(new Set(all).size, all.length);
});

test("draws: an id is a UUIDv7 of the time of issue, a number is uniform in [0, 1)", () => {
  const dice = drawOf(made(), host, secret("s"));
  for (let i = 0; i < 200; i++) assert.match(dice.id(), /^018bcfe5-687b-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  const numbers = Array.from({ length: 2000 }, () => dice.random());
  assert.ok(numbers.every((number) => number >= 0 && number < 1));
  const mean = numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
  assert.ok(Math.abs(mean - 0.5) < 0.03, `${mean}`);
});

test("draws: where nothing runs again under the same name, or the secret is not known yet, they are fresh", () => {
  for (const op of [undefined, { id: "mine", issuedAt: undefined }])
    assert.equal(drawOf(made({ op }), host, secret("s")), host.dice);
  assert.equal(drawOf(made(), host, undefined), host.dice);
});

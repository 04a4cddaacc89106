// Guarantees of the linearizability checker, on histories made by hand and by a generator whose truth is known.

import assert from "node:assert/strict";
import { test } from "node:test";
import { checkLinearizable, type Operation } from "./linearizability.ts";
import { counter, type CounterInput, register, type RegisterInput } from "./models.ts";
import { seeded } from "./random.ts";

type Op = Operation<RegisterInput, number>;
const write = (value: number, start: number, end?: number): Op => ({
  input: { kind: "write", value },
  output: undefined,
  start,
  end,
});
const read = (output: number, start: number, end: number): Op => ({ input: { kind: "read" }, output, start, end });
const cas = (from: number, to: number, output: number, start: number, end: number): Op => ({
  input: { kind: "cas", from, to },
  output,
  start,
  end,
});
const verdict = (...ops: Op[]): string => checkLinearizable(register(), ops).kind;

test("register: answers in real-time order are accepted, a stale read is not", () => {
  assert.equal(verdict(), "linearizable");
  assert.equal(verdict(write(1, 0, 1), read(1, 2, 3)), "linearizable");
  assert.equal(verdict(write(1, 0, 1), read(0, 2, 3)), "violation");
});

test("register: a read during a write may see either value, but two reads may not go backwards", () => {
  assert.equal(verdict(write(1, 0, 9), read(0, 1, 2), read(1, 3, 4)), "linearizable");
  assert.equal(verdict(write(1, 0, 9), read(1, 1, 2), read(0, 3, 4)), "violation");
});

test("register: operations that touch at one instant count as concurrent", () => {
  assert.equal(verdict(write(1, 0, 5), read(0, 5, 6)), "linearizable");
});

test("register: of two compare-and-sets from one value, one may win", () => {
  assert.equal(verdict(cas(0, 1, 1, 0, 5), cas(0, 2, 0, 0, 5), read(1, 6, 7)), "linearizable");
  assert.equal(verdict(cas(0, 1, 1, 0, 5), cas(0, 2, 1, 0, 5)), "violation");
});

test("register: an unknown write may have happened late, early or never", () => {
  assert.equal(verdict(write(1, 0), read(0, 5, 6), read(1, 7, 8)), "linearizable");
  assert.equal(verdict(write(1, 0), read(0, 5, 6)), "linearizable");
  assert.equal(verdict(write(1, 0), read(1, 1, 2), read(0, 3, 4)), "violation");
  assert.equal(verdict(read(1, 0, 1), write(1, 2)), "violation", "not before it began");
});

test("a violation: names the operation that no order explains", () => {
  const stale = read(0, 2, 3);
  const found = checkLinearizable(register(), [write(1, 0, 1), stale]);
  assert.equal(found.kind === "violation" && found.blocked, stale);
});

test("a search without budget left: is undecided, not passed", () => {
  assert.equal(checkLinearizable(register(), generated(200, 8, 0, 1, 0), 50).kind, "undecided");
});

test("counter: a lost or doubled addition is a violation", () => {
  const add = (output: number, start: number, end?: number): Operation<CounterInput, number> => ({
    input: { kind: "add", amount: 1 },
    output,
    start,
    end,
  });
  assert.equal(checkLinearizable(counter(), [add(1, 0, 1), add(2, 2, 3)]).kind, "linearizable");
  assert.equal(checkLinearizable(counter(), [add(1, 0, 1), add(1, 2, 3)]).kind, "violation");
  assert.equal(checkLinearizable(counter(), [add(1, 0, 1), add(3, 2, 3)]).kind, "violation");
  assert.equal(checkLinearizable(counter(), [add(1, 0), add(2, 2, 3)]).kind, "linearizable");
});

/** A history of a real register: clients overlap, each operation takes effect at a random instant within its span.
 *  `corrupt` changes so many read answers, from the middle on, to a value never written. */
function generated(count: number, clients: number, unknown: number, seed: number, corrupt: number): Op[] {
  const random = seeded(seed);
  const free = new Array<number>(clients).fill(0);
  const planned: { input: RegisterInput; start: number; effect: number; end: number }[] = [];
  for (let i = 0; i < count; i++) {
    const client = i % clients;
    const start = (free[client] as number) + random.float();
    const end = start + 1 + random.float();
    free[client] = end;
    const dice = random.float();
    const input: RegisterInput =
      dice < 0.5
        ? { kind: "read" }
        : dice < 0.8
          ? { kind: "write", value: random.below(5) }
          : { kind: "cas", from: random.below(5), to: random.below(5) };
    planned.push({ input, start, effect: random.between(start, end), end });
  }
  let state = 0;
  const ops: Op[] = [];
  for (const { input, start, effect, end } of planned.toSorted((a, b) => a.effect - b.effect)) {
    void effect;
    const lost = random.chance(unknown);
    let output: number | undefined = state;
    if (input.kind === "write") {
      if (!lost || random.chance(0.5)) state = input.value;
      output = undefined;
    } else if (input.kind === "cas") {
      const sets = state === input.from;
      if (sets && (!lost || random.chance(0.5))) state = input.to;
      output = sets ? 1 : 0;
    }
    ops.push({ input, output, start, end: lost ? undefined : end });
  }
  const reads = ops.filter((op) => op.input.kind === "read" && op.end !== undefined);
  const wrong = new Set(reads.slice(reads.length >> 1, (reads.length >> 1) + corrupt));
  return ops.map((op) => (wrong.has(op) ? { ...op, output: (((op.output as number) + 1) % 5) + 100 } : op));
}

test("generated histories: valid ones pass and corrupted ones fail, for many seeds", () => {
  for (let seed = 1; seed <= 60; seed++) {
    assert.equal(checkLinearizable(register(), generated(60, 4, 0.05, seed, 0)).kind, "linearizable", `seed ${seed}`);
    assert.equal(checkLinearizable(register(), generated(60, 4, 0.05, seed, 1)).kind, "violation", `seed ${seed}`);
  }
});

test("speed: 1,000 operations by 4 clients are decided in well under a second, valid or not", () => {
  const began = performance.now();
  assert.equal(checkLinearizable(register(), generated(1000, 4, 0, 7, 0)).kind, "linearizable");
  assert.equal(checkLinearizable(register(), generated(1000, 4, 0, 7, 1)).kind, "violation");
  assert.equal(checkLinearizable(register(), generated(300, 8, 0.02, 7, 0)).kind, "linearizable");
  const took = performance.now() - began;
  assert.ok(took < 3000, `took ${took.toFixed(0)} ms`);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultLimits } from "../base/index.ts";
import { type Engine, memoryEngine, type Page } from "../journal/index.ts";
import { simHost } from "../sim/sim-host.ts";
import type { Shard } from "./shard.ts";
import { Tail } from "./tail.ts";

test("tail: a closed one follows nothing, not even a shard that is opened or handed over later", () => {
  const engine = memoryEngine();
  let watching = 0;
  const watch = (): (() => void) => {
    watching++;
    return () => void watching--;
  };
  const tail = new Tail({ host: simHost(), limits: defaultLimits, engine: { ...engine, watch } }, () => {});
  const shard = (number: number): Shard => ({ number, held: undefined }) as Shard;
  const [first, second] = [shard(0), shard(1)];
  tail.add(first);
  tail.delete(first);
  assert.equal(watching, 0, "nothing is followed");
  tail.add(first);
  assert.equal(watching, 1, "nor is that the end of it");
  tail.close();
  tail.add(second);
  assert.equal(watching, 0);
});

/** A tail over a clock that stands still until told, and what it asks of the engine. */
function asking(shards: readonly Shard[], answer: Engine["tail"] = async () => []) {
  const questions: (readonly number[])[] = [];
  let now = 0;
  let turns: (() => void)[] = [];
  let timer: (() => void) | undefined;
  let hint: (grown?: readonly number[]) => void = () => {};
  const clock = {
    now: () => now,
    tick: () => now,
    turn: (fn: () => void) => void turns.push(fn),
    after: (ms: number, fn: () => void) => {
      if (ms === defaultLimits.followEveryMs) timer = fn;
      return { cancel: () => (timer = timer === fn ? undefined : timer) };
    },
  };
  const engine: Engine = {
    ...memoryEngine(),
    watch: (onGrown) => ((hint = onGrown), () => {}),
    tail: (asks, limit) => (questions.push(asks.map(({ shard }) => shard).sort((a, b) => a - b)), answer(asks, limit)),
  };
  const tail = new Tail({ host: { ...simHost(), clock }, limits: defaultLimits, engine }, () => {});
  for (const shard of shards) tail.add(shard);
  return {
    hint: (grown?: readonly number[]) => hint(grown),
    poll: () => timer?.(),
    pass: (ms: number) => void (now += ms),
    /** What was asked since the last call. */
    async asked(): Promise<readonly (readonly number[])[]> {
      for (let round = 0; round < 3; round++) {
        const due = turns;
        turns = [];
        for (const turn of due) turn();
        await new Promise((resolve) => setImmediate(resolve));
      }
      return questions.splice(0);
    },
  };
}
const copy = (number: number, held?: number): Shard =>
  ({ number, held, idle: true, freshAt: 0, fold: { seq: 0 }, tenure: { kind: "following" } }) as unknown as Shard;

test("tail: a hint makes it ask for the shards that grew, at once; all are asked for when it is time, hints or none", async () => {
  const tail = asking([copy(0), copy(1), copy(2)]);
  assert.deepEqual(await tail.asked(), [[0, 1, 2]]);
  tail.hint([1]);
  assert.deepEqual(await tail.asked(), [[1]]);
  tail.hint([1]);
  tail.hint([2, 7]);
  assert.deepEqual(await tail.asked(), [[1, 2]], "hints of one turn are one question, and strangers are no part of it");
  tail.hint();
  assert.deepEqual(await tail.asked(), [[0, 1, 2]], "a hint that names none may mean any");
  tail.poll();
  assert.deepEqual(await tail.asked(), [[0, 1, 2]]);
  tail.pass(defaultLimits.followEveryMs);
  tail.hint([1]);
  assert.deepEqual(await tail.asked(), [[0, 1, 2]], "hints without end put off no other shard");
});

test("tail: an owner's own append is no reason to ask; a journal that grew without it is", async () => {
  const owned = copy(0, 1);
  const tail = asking([owned, copy(1)]);
  await tail.asked();
  tail.hint([0, 1]);
  assert.deepEqual(await tail.asked(), [[1]]);
  owned.fold.seq++;
  tail.hint([0]);
  assert.deepEqual(await tail.asked(), []);
  tail.hint([0]);
  assert.deepEqual(await tail.asked(), [[0]], "somebody else has appended");
});

test("tail: an answer with no room for more makes no shard fresh that it leaves out, and those are asked for again", async () => {
  const [large, left] = [copy(0, 1), copy(1)];
  const entry = { shard: 0, seq: 1, epoch: 1, record: new Uint8Array(5 * 1024 * 1024) };
  const page: Page = { entries: [entry], first: 1, head: { shard: 0, generation: 1, epoch: 1, seq: 1 } };
  const answers: (readonly Page[])[] = [[page], []];
  const tail = asking([large, left], async () => answers.shift() ?? []);
  tail.pass(10);
  const freshAt: number[] = [];
  Object.defineProperty(left, "freshAt", {
    set(at: number) {
      freshAt.push(at);
    },
  });
  assert.deepEqual(await tail.asked(), [[0, 1], [1]]);
  assert.deepEqual(freshAt, [10], "fresh by the answer that had room");
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { SheafError } from "../base/index.ts";
import type { Calls } from "./index.ts";
import { pair } from "./pair.fixture.ts";

const caught = (promise: Promise<unknown>): Promise<SheafError> =>
  promise.then(
    () => assert.fail("it resolved"),
    (error: SheafError) => error,
  );
const rate = { kind: "procedure", service: "rates", name: "quote" } as const;

test("an answer that asks for a repeat: gets it with the same operation, while deadline and budget last", async () => {
  const seen: (string | undefined)[] = [];
  const fails = [
    new SheafError("NOT_OWNER"),
    new SheafError("OUTCOME_UNKNOWN"),
    new SheafError("NOT_READY", "soon", { retryAfterMs: 20 }),
  ];
  const calls: Calls = {
    call: async (call) => {
      seen.push(call.op?.id);
      const fail = fails.shift();
      if (fail !== undefined) throw fail;
      return { output: "done" };
    },
  };
  const { clock, call } = pair(calls);
  const result = call({});
  await clock.advance(2000);
  assert.equal((await result).output, "done");
  assert.deepEqual([seen.length, new Set(seen).size], [4, 1]);
});

test("an unknown outcome: is not repeated for a procedure, which has no operation id", async () => {
  let run = 0;
  const { clock, call } = pair({ call: async () => (run++, Promise.reject(new SheafError("OUTCOME_UNKNOWN"))) });
  const result = caught(call({ target: rate }));
  await clock.advance(2000);
  assert.deepEqual([(await result).code, run], ["OUTCOME_UNKNOWN", 1]);
});

test("repeats: stop when the budget is spent", async () => {
  let run = 0;
  const { clock, call } = pair({ call: async () => (run++, Promise.reject(new SheafError("NOT_READY"))) });
  const results = Array.from({ length: 200 }, () => caught(call({}, 60_000)));
  await clock.advance(61_000);
  for (const result of results) assert.equal((await result).code, "NOT_READY");
  assert.equal(run, 200 + 64);
});

test("a repeat that is refused on its way: leaves the outcome unknown, a verdict of the handler does not", async () => {
  const verdicts = [
    new SheafError("OVERLOADED"),
    new SheafError("FORBIDDEN"),
    new SheafError("BAD_INPUT"),
    new SheafError("DECLARED", "no", { name: "NO" }),
  ];
  for (const verdict of verdicts) {
    let run = 0;
    const calls: Calls = { call: () => (run++ === 0 ? new Promise(() => {}) : Promise.reject(verdict)) };
    const { clock, call, cables } = pair(calls);
    const result = caught(call({}));
    await clock.settle();
    cables[0]!.cut();
    await clock.advance(1000);
    const expected = verdict.code === "DECLARED" ? "not-applied" : "unknown";
    assert.deepEqual([(await result).code, (await result).outcome, run], [verdict.code, expected, 2]);
  }
});

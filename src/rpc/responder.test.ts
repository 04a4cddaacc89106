import assert from "node:assert/strict";
import { test } from "node:test";
import { frameKind, pack, readMessage } from "../wire/index.ts";
import type { Calls } from "./index.ts";
import { lone, pair } from "./pair.fixture.ts";

const echo: Calls = { call: async (call) => ({ output: call.input }) };
const silent: Calls = { call: () => new Promise(() => {}) };

test("calls before WELCOME, a second HELLO, an id used twice: end the connection with MALFORMED", async () => {
  const call = [frameKind.call, 5, 1, "account", "a", "balance", [], 1000];
  const hello = [frameKind.hello, 1, 1, "bank", null, "x"];
  for (const messages of [
    [[call]],
    [[hello, call]],
    [[hello], [hello]],
    [[hello], [call, call]],
    [[hello], [[99]]],
    [[hello], [[frameKind.reply, 1, []]]],
  ]) {
    const { clock, end, sent, closed } = lone(silent);
    for (const message of messages) {
      end.message(pack(message));
      await clock.settle();
    }
    const last = readMessage(sent.at(-1)!, { maxBytes: 1 << 20, maxDepth: 64 }).at(-1);
    assert.deepEqual([closed(), last?.slice(0, 2)], [true, [frameKind.goaway, "MALFORMED"]], JSON.stringify(messages));
  }
});

test("a caller that never says HELLO: is cut off", async () => {
  const { clock, cables, call } = pair(echo, {
    responder: { accept: () => new Promise(() => {}) },
    caller: { dialMs: 1e9, pingMs: 1e9 },
  });
  void call({}, 60_000).catch(() => {});
  await clock.advance(10_001);
  assert.equal(cables[0]!.alive, false);
});

test("a version that is not spoken here: is refused by name", async () => {
  const { clock, end, sent } = lone(echo);
  end.message(pack([[frameKind.hello, 9, 9, "bank", null, "x"]]));
  await clock.settle();
  assert.deepEqual(readMessage(sent[0]!, { maxBytes: 1e6, maxDepth: 64 })[0]?.slice(0, 2), [frameKind.goaway, "USAGE"]);
});

test("a call's time: is told once for each that was answered, however it ended, and not for one that was cancelled", async () => {
  const spans: number[] = [];
  const waits: (() => void)[] = [];
  const calls: Calls = {
    call: ({ input }) =>
      new Promise((resolve, reject) => {
        if (input === "answer") waits.push(() => resolve({ output: 1 }));
        if (input === "throw") waits.push(() => reject(new Error("boom")));
      }),
  };
  const { clock, cables, call } = pair(calls, { responder: { took: (ms) => void spans.push(Math.round(ms)) } });
  const cancel = new AbortController();
  const done = Promise.allSettled([
    call({ input: "answer" }),
    call({ input: "throw" }),
    call({ input: "cancelled", signal: cancel.signal }),
  ]);
  await clock.advance(30);
  for (const wake of waits) wake();
  cancel.abort();
  await clock.settle();
  await done;
  assert.deepEqual(spans, [30, 30]);
  cables[0]!.inject(pack([[frameKind.call, 900, 1, "account", "a", "balance", ["late"], 200]]));
  await clock.advance(1000);
  assert.equal(spans.length, 3, "nobody answered, and the deadline did");
});

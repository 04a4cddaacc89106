// A gateway that stops and its callers, under a clock that the test moves: nothing that was sent before they heard is lost.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Principal } from "../security/index.ts";
import { pair } from "./pair.fixture.ts";

const procedure = { kind: "procedure", service: "rates", name: "quote" } as const;

test("GOAWAY: a procedure that was sent before the caller heard is answered, and then the caller goes by itself", async () => {
  const { clock, call, cables, responders } = pair({ call: async ({ input }) => ({ output: input }) });
  assert.equal((await Promise.all([call({ input: 0 }), clock.settle()]))[0].output, 0);
  cables[0]!.stuck = true;
  responders[0]!.drain();
  await clock.settle();
  // It has been told, and has not heard yet.
  const late = call({ target: procedure, input: 7 });
  await clock.settle();
  assert.equal(responders[0]!.inFlight, 0);
  cables[0]!.unstick();
  await clock.settle();
  assert.deepEqual([(await late).output, cables.length, cables[0]!.alive], [7, 1, false]);
});

test("GOAWAY: who was just coming is sent elsewhere before anything is called", async () => {
  const waiting: (() => void)[] = [];
  const me: Principal = { id: "me", roles: [] };
  const accept = (): Promise<Principal> => new Promise((resolve) => void waiting.push(() => resolve(me)));
  const { clock, call, cables, responders } = pair(
    { call: async ({ input }) => ({ output: input }) },
    { responder: { accept } },
  );
  const result = call({ target: procedure, input: 7 });
  await clock.settle();
  responders[0]!.drain();
  await clock.advance(100);
  assert.deepEqual([cables.length, cables[0]!.alive], [2, false]);
  for (const accepted of waiting) accepted();
  await clock.settle();
  assert.equal((await result).output, 7);
});

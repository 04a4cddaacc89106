// What the frames of a connection tell of the session that goes with it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SheafError } from "../base/index.ts";
import type { Calls } from "./index.ts";
import { pair } from "./pair.fixture.ts";

test("session tokens: one per message covers its answers, and the next connection starts from it", async () => {
  const hellos: (string | undefined)[] = [];
  const accept = (hello: { session: string | undefined }): { id: string; roles: string[] } => {
    hellos.push(hello.session);
    return { id: "me", roles: [] };
  };
  const seen: (string | undefined)[] = [];
  let made = 0;
  const calls: Calls = { call: async (call) => (seen.push(call.session), { output: 1, session: `t${++made}` }) };
  const joinSessions = (tokens: readonly string[]): string => tokens.join("+");
  const { clock, call, caller, cables } = pair(calls, { responder: { accept, joinSessions } });
  const both = Promise.all([call({}), call({})]);
  await clock.settle();
  await both;
  assert.equal(caller.session, "t1+t2");
  cables[0]!.cut();
  const third = call({});
  await clock.advance(100);
  await third;
  assert.deepEqual(hellos, [undefined, "t1+t2"]);
  assert.deepEqual([seen[2], caller.session], ["t1+t2", "t1+t2+t3"]);
});

test("session tokens: refused calls have one as answered ones do", async () => {
  let made = 0;
  const calls: Calls = {
    call: () => {
      const session = `t${++made}`;
      return made === 1
        ? Promise.resolve({ output: 1, session })
        : Promise.reject(new SheafError("DECLARED", "no", { session }));
    },
  };
  const { clock, call, caller } = pair(calls, { responder: { joinSessions: (tokens) => tokens.join("+") } });
  const both = Promise.allSettled([call({}), call({})]);
  await clock.settle();
  await both;
  assert.equal(caller.session, "t1+t2");
});

test("session tokens: a connection that began with one that is none ends when another has to be joined with it", async () => {
  const calls: Calls = { call: async () => ({ output: 1, session: "good" }) };
  const joinSessions = (tokens: readonly string[]): string => {
    if (tokens.includes("forged")) throw new SheafError("BAD_SESSION");
    return tokens.join("+");
  };
  const { clock, call, caller, cables } = pair(calls, { responder: { joinSessions } });
  caller.session = "forged";
  const answered = call({});
  await clock.settle();
  assert.deepEqual(await answered, { output: 1 });
  assert.equal(cables[0]!.alive, false);
});

test("session tokens: what a gateway tells with its last answers is kept, and told to the one after it", async () => {
  const seen: (string | undefined)[] = [];
  const hold = Promise.withResolvers<void>();
  const calls: Calls = {
    async call({ input, session }) {
      seen.push(session);
      if (input === "slow") await hold.promise;
      return { output: 1, session: `(${String(input)})` };
    },
  };
  const joinSessions = (tokens: readonly string[]): string => tokens.join("+");
  const { clock, call, caller, cables, responders } = pair(calls, { responder: { joinSessions } });
  const slow = call({ input: "slow" });
  await clock.settle();
  responders[0]!.drain();
  await clock.settle();
  const quick = call({ input: "quick" });
  await clock.advance(100);
  await quick;
  assert.deepEqual([cables.length, caller.session], [2, "(quick)"]);
  hold.resolve();
  await clock.settle();
  await slow;
  assert.deepEqual([cables[0]!.alive, caller.session], [false, "(quick),(slow)"]);
  for (const input of ["third", "fourth"]) {
    const next = call({ input });
    await clock.settle();
    await next;
  }
  assert.deepEqual(seen, [undefined, undefined, "(quick),(slow)", "(quick)+(third)"]);
  assert.equal(caller.session, "(quick)+(third)+(fourth)");
});

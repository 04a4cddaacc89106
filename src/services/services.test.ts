// What is counted of procedures.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { app, compileApp, service } from "../model/index.ts";
import type { Call } from "../rpc/index.ts";
import { simHost } from "../sim/sim-host.ts";
import { defaultLimits, type SheafError } from "../base/index.ts";
import { Services } from "./index.ts";

test("procedures: each that ends is counted once, by its result", async () => {
  const Echo = service("echo", { procedures: { say: { input: z.string(), output: z.string() }, wait: {} } });
  const echo = Echo.implement({
    say({ input }) {
      if (input === "no") throw new Error("boom");
      return input;
    },
    wait: () => new Promise<void>(() => {}),
  });
  const host = simHost();
  const never = { call: () => Promise.reject(new Error("no calls inside")) };
  const code = compileApp(app("a", { entities: [], services: [echo] }));
  const services = new Services(code, {
    host,
    limits: defaultLimits,
    calls: never,
    tokens: () => undefined,
    derive: () => undefined,
  });
  const say = (name: string, input?: unknown): Promise<unknown> => {
    const target: Call["target"] = { kind: "procedure", service: "echo", name };
    const deadline = host.clock.tick() + 1000;
    const done = services.call({ target, input, principal: { id: "t", roles: [] }, deadline });
    return done.catch((error: SheafError) => error.code);
  };
  const all = [say("say", "a"), say("say", "b"), say("say", "no"), say("say", 5), say("shout"), say("wait")];
  await host.schedule.run({ done: () => false, until: host.schedule.now() + 5000 });
  assert.deepEqual((await Promise.all(all)).slice(2), ["HANDLER_FAILED", "BAD_INPUT", "UNKNOWN_TARGET", "DEADLINE"]);
  const counted = (result: string): number => host.metric("sheaf_calls_total", { kind: "procedure", result });
  assert.deepEqual(["ok", "HANDLER_FAILED", "BAD_INPUT", "UNKNOWN_TARGET", "DEADLINE"].map(counted), [2, 1, 1, 1, 1]);
});

test("procedures: one service fills only its own places, and a place is free again however the call ends", async () => {
  const empty = service("empty", { procedures: { wait: {} } });
  const other = service("other", { procedures: { go: { output: z.string() } } });
  const host = simHost();
  const never = { call: () => Promise.reject(new Error("no calls inside")) };
  const parts = [empty.implement({ wait: () => new Promise<void>(() => {}) }), other.implement({ go: () => "went" })];
  const code = compileApp(app("a", { entities: [], services: parts }));
  const limits = { ...defaultLimits, maxServiceInFlight: 3 };
  const services = new Services(code, { host, limits, calls: never, tokens: () => undefined, derive: () => undefined });
  const call = (name: string, procedure: string): Promise<unknown> =>
    services
      .call({
        target: { kind: "procedure", service: name, name: procedure },
        input: undefined,
        principal: { id: "t", roles: [] },
        deadline: host.clock.tick() + 1000,
      })
      .then(
        ({ output }) => output,
        (error: SheafError) => [error.code, error.outcome, error.retryAfterMs],
      );
  const waits = [1, 2, 3].map(() => call("empty", "wait"));
  assert.deepEqual(await call("empty", "wait"), ["OVERLOADED", "not-applied", 100]);
  assert.equal(await call("other", "go"), "went");
  await host.schedule.run({ done: () => false, until: host.schedule.now() + 2000 });
  for (const ended of await Promise.all(waits)) assert.equal((ended as string[])[0], "DEADLINE");
  const again = call("empty", "wait");
  await host.schedule.run({ done: () => false, until: host.schedule.now() + 2000 });
  assert.equal(((await again) as string[])[0], "DEADLINE", "there is room again");
});

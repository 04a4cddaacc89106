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
  const services = new Services(code, { host, limits: defaultLimits, calls: never, tokens: () => undefined });
  const say = (name: string, input?: unknown): Promise<unknown> => {
    const target: Call["target"] = { kind: "procedure", service: "echo", name };
    const deadline = host.clock.tick() + 1000;
    const done = services.call({ target, input, principal: { id: "t", roles: [] }, deadline });
    return done.catch((error: SheafError) => error.code);
  };
  const all = [say("say", "a"), say("say", "b"), say("say", "no"), say("say", 5), say("shout"), say("wait")];
  await host.schedule.run({ done: () => false, until: host.schedule.now() + 5000 });
  assert.deepEqual((await Promise.all(all)).slice(2), ["HANDLER_FAILED", "BAD_INPUT", "UNKNOWN_TARGET", "DEADLINE"]);
  const counted = (result: string): number =>
    host.metric(`sheaf_calls_total ${JSON.stringify({ kind: "procedure", result })}`);
  assert.deepEqual(["ok", "HANDLER_FAILED", "BAD_INPUT", "UNKNOWN_TARGET", "DEADLINE"].map(counted), [2, 1, 1, 1, 1]);
});

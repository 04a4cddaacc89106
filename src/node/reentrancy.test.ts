// Calls that would wait for themselves are refused before their deadline, whatever lies between.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import type { SheafError } from "../base/index.ts";
import { app, entity, service } from "../model/index.ts";
import type { Call, Reply } from "../rpc/index.ts";
import { code, world } from "./world.fixture.ts";

const Step = z.array(z.string());
const Knot = entity("knot", {
  state: z.object({ n: z.number() }),
  commands: {
    add: { output: z.number() },
    via: { input: Step },
    fan: { input: Step },
    sneak: { output: z.number() },
    look: { output: z.number() },
  },
  queries: { n: { output: z.number() }, ask: { output: z.number() } },
});
const Tie = service("tie", { procedures: { go: { input: Step }, loop: {}, twice: { input: z.string() } } });
let partial = false;
let sneak: () => void = () => {};
const knots = app("knots", {
  entities: [
    Knot.implement({
      initial: () => ({ n: 0 }),
      add: ({ state }) => ++state.n,
      via: async ({ call, input }) => call.service(Tie).go(input),
      fan: async ({ call, input }) => void (await Promise.all(input.map((key) => call.entity(Knot, key).add()))),
      sneak: async ({ state }) => {
        sneak();
        for (let i = 0; i < 50; i++) await Promise.resolve();
        return (state.n += 10);
      },
      look: async ({ call, key }) => call.entity(Knot, key).n(),
      n: ({ state }) => state.n,
      ask: async ({ call, key }) => call.entity(Knot, key).ask(),
    }),
  ],
  services: [
    Tie.implement({
      go: async ({ call, input: [next, ...rest] }) => {
        if (next === undefined) return;
        if (rest.length > 0) return call.entity(Knot, next).via(rest);
        await call.entity(Knot, next).add();
      },
      loop: async ({ call }) => call.service(Tie).loop(),
      twice: async ({ call, input }) => {
        await call.entity(Knot, input).add();
        partial = true;
        await call.entity(Knot, "loop").ask();
      },
    }),
  ],
});
const at = (key: string, name: string, kind: "command" | "query" = "command"): Partial<Call> => ({
  target: { kind, entity: "knot", key, name },
});
const reentrant = (end: PromiseSettledResult<unknown>): boolean =>
  end.status === "rejected" && (end.reason as SheafError).code === "REENTRANT";

test("reentrancy: a cycle through services is refused, also when two calls close it together", async () => {
  const w = await world({ app: knots });
  const start = w.host.clock.tick();
  await assert.rejects(w.ask("", "", ["b", "a"], at("a", "via")), code("REENTRANT"));
  for (let round = 0; round < 3; round++) {
    const crossed = await w.run(
      Promise.allSettled([w.send("", "", ["b"], at("a", "via")), w.send("", "", ["a"], at("b", "via"))]),
    );
    assert.ok(crossed.some(reentrant), `round ${round}`);
  }
  assert.ok(w.host.clock.tick() - start < 500, "nobody waited for a deadline");
  await w.ask("", "", ["b"], at("a", "via"));
});

test("reentrancy: parallel calls, a key named twice and queries of one's own key are no cycle", async () => {
  const w = await world({ app: knots });
  await w.ask("", "", ["b", "c", "b", "d", "b"], at("a", "fan"));
  assert.equal((await w.ask("", "", undefined, at("b", "n", "query"))).output, 3);
  await w.ask("", "", undefined, at("b", "add"));
  assert.equal((await w.ask("", "", undefined, at("b", "look"))).output, 4);
});

test("reentrancy: calls inside calls are bounded through services and queries, too", async () => {
  const w = await world({ app: knots });
  const loop = { target: { kind: "procedure", service: "tie", name: "loop" } } as const;
  await assert.rejects(w.ask("", "", undefined, loop), code("REENTRANT"));
  await assert.rejects(w.ask("", "", undefined, at("a", "ask", "query")), code("REENTRANT"));
  assert.ok(w.host.metric("sheaf_calls_total") < 200);
});

test("reentrancy: a procedure that failed between two calls does not say that nothing happened", async () => {
  const w = await world({ app: knots });
  const twice = { target: { kind: "procedure", service: "tie", name: "twice" } } as const;
  await assert.rejects(
    w.ask("", "", "a", twice),
    (error: SheafError) => error.outcome === "unknown" && error.retry !== "now",
  );
  assert.ok(partial);
  assert.equal((await w.ask("", "", undefined, at("a", "n", "query"))).output, 1);
});

test("reentrancy: E1 a command that is sent from within another, around its context, waits for it", async () => {
  const w = await world({ app: knots });
  await w.ask("", "", undefined, at("a", "add"));
  let second: Promise<Reply> | undefined;
  sneak = () => void (second ??= w.send("", "", undefined, at("a", "add")));
  assert.equal((await w.ask("", "", undefined, at("a", "sneak"))).output, 11);
  assert.ok(second);
  assert.equal((await w.run(second)).output, 12);
});

// Stored states under code that is newer than they are.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { app, entity, type StateShape, versioned } from "../model/index.ts";
import type { AppShape } from "../model/index.ts";
import { code, world } from "./world.fixture.ts";

let parsed = 0;
type Context = { readonly state: { n: number }; readonly input: number };

/** An app whose one entity has this state, and shows it whole. */
function appOf(state: z.ZodObject | StateShape): AppShape {
  const counting = "~standard" in state ? state.refine(() => ++parsed > 0) : state;
  const Counter = entity("counter", {
    state: counting as never,
    commands: { add: { input: z.number() }, look: { output: z.unknown() } },
    queries: { get: { output: z.unknown() } },
  });
  const counter = Counter.implement({
    initial: () => ({ n: 0 }) as never,
    add: ({ state, input }: Context) => void (state.n += input),
    look: ({ state }: Context) => structuredClone(state),
    get: ({ state }: Context) => structuredClone(state),
  } as never);
  return app("tests", { entities: [counter as never], services: [] });
}

const before = appOf(z.object({ n: z.number() }));
const Now = z.object({ n: z.number(), unit: z.string().default("pieces") });

test("defaults: a new field has its default in handlers at once, after a restart and after a reload", async () => {
  const first = await world({ app: before });
  await first.ask("a", "add", 5);
  for (const reload of [true, false]) {
    const w = reload ? first : await world({ from: first, app: appOf(Now) });
    if (reload) w.node.reload(appOf(Now));
    assert.deepEqual((await w.ask("a", "get")).output, { n: 5, unit: "pieces" });
    const looked = await w.ask("a", "look");
    assert.deepEqual([looked.output, looked.version], [{ n: 5, unit: "pieces" }, 1], "looking commits nothing");
    if (reload) await w.run(w.node.stop());
  }
});

test("defaults: a state is parsed once for as long as it stays in memory, and never again for what the code itself wrote", async () => {
  const old = await world({ app: before });
  await old.ask("a", "add", 5);
  await old.run(old.node.stop());
  const w = await world({ from: old, app: appOf(Now) });
  parsed = 0;
  for (let i = 0; i < 5; i++) await w.ask("a", "get");
  assert.equal(parsed, 1);
  await w.ask("a", "add", 1);
  for (let i = 0; i < 5; i++) await w.ask("a", "get");
  assert.equal(parsed, 2, "once more, to check what the command left");
});

test("defaults: a state that its own version's schema no longer accepts can be mended by a command", async () => {
  const old = await world({ app: before });
  await old.ask("a", "add", -5);
  old.node.reload(appOf(z.object({ n: z.number().min(0) })));
  await assert.rejects(old.ask("a", "add", 1), code("BAD_STATE"));
  await old.ask("a", "add", 7);
  assert.deepEqual((await old.ask("a", "get")).output, { n: 2 });
});

test("defaults: an older version's upgrade runs once, and one that throws is BAD_STATE each time", async () => {
  const old = await world({ app: before });
  await old.ask("a", "add", 5);
  let runs = 0;
  const next = z.object({ n: z.number(), twice: z.number() });
  const upgrade = (was: { n: number }): { n: number; twice: number } => {
    if (++runs < 3) throw new Error("not yet");
    return { n: was.n, twice: was.n * 2 };
  };
  old.node.reload(appOf(versioned(2, next, { 1: upgrade })));
  for (let i = 0; i < 2; i++) await assert.rejects(old.ask("a", "get"), code("BAD_STATE"));
  for (let i = 0; i < 3; i++) assert.deepEqual((await old.ask("a", "get")).output, { n: 5, twice: 10 });
  assert.equal(runs, 3);
});

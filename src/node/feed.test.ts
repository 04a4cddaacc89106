// An entity's feed: what it is after each change, for projections.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { SheafError } from "../base/index.ts";
import { app, entity, subscription } from "../model/index.ts";
import { type Send, world, type World } from "./world.fixture.ts";

const Tally = entity("tally", {
  state: z.object({ n: z.number() }),
  commands: { add: { input: z.number() }, cheat: {} },
  events: { grown: z.number() },
  feed: true,
});
const Copy = entity("copy", {
  state: z.object({ versions: z.array(z.number()), last: z.string() }),
  commands: { take: { input: z.object({ version: z.number(), n: z.number(), command: z.string() }) } },
  queries: { read: { output: z.object({ versions: z.array(z.number()), last: z.string() }) } },
});
const tally = Tally.implement({
  initial: () => ({ n: 0 }),
  add({ state, input, emit }) {
    state.n += input;
    if (input > 0) emit("grown", state.n);
  },
  cheat: ({ emit }) => emit("changed", { version: 9, command: "x", schema: 1, state: { n: 9 } }),
});
const copy = Copy.implement({
  initial: () => ({ versions: [], last: "" }),
  take({ state, input }) {
    state.versions.push(input.version);
    state.last = `${input.command} ${input.n}`;
  },
  read: ({ state: { versions, last } }) => ({ versions: [...versions], last }),
});
const copies = subscription("copies", Tally.topic("changed")).into(Copy, "take", ({ key, value }) => ({
  key,
  input: { version: value.version, n: value.state.n, command: value.command },
}));
const open = (): Promise<World> =>
  world({ app: app("feeds", { entities: [tally, copy], subscriptions: [copies] }), shards: 4 });
const to =
  (w: World, kind: "command" | "query" = "command"): Send =>
  (key, name, input) =>
    w.ask(key, name, input, { target: { kind, entity: kind === "query" ? "copy" : "tally", key, name } });

test("feed: each change is told once, in order, with the state after it; what changes nothing is not told", async () => {
  const w = await open();
  for (const n of [1, 2, 0, -1]) await to(w)("a", "add", n);
  await w.pass(1000);
  const { output } = await to(w, "query")("a", "read");
  assert.deepEqual(output, { versions: [1, 2, 3], last: "add 2" });
});

test("feed: a handler cannot emit it itself, and no event may have its name", async () => {
  const w = await open();
  const isRefused = (error: unknown): boolean =>
    error instanceof SheafError && error.message.includes("emitted by Sheaf");
  await assert.rejects(to(w)("a", "cheat"), isRefused);
  const twice = { state: z.object({}), commands: {}, events: { changed: z.number() }, feed: true } as const;
  assert.throws(() => entity("twice", twice), /Sheaf's own/);
});

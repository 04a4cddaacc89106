// What nodes tell `sheaf doctor` of themselves and of each other.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { app, compileApp, entity } from "../model/index.ts";
import { wayOf } from "../sim/network.ts";
import { simCrypto } from "../sim/sim-crypto.ts";
import { seeded } from "../sim/random.ts";
import { fingerprint, skewOf } from "./checkup.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";

const tally = entity("tally", { state: z.object({ n: z.number() }), commands: { add: {} } }).implement({
  initial: () => ({ n: 0 }),
  add: ({ state }) => void state.n++,
});
const tallies = app("tallies", { entities: [tally] });

test("checkup: every node tells what it reaches, and whose clock is ahead by how much", () =>
  inCluster(tallies, { nodes: 3, shards: 4 }, async (_, w) => {
    const state = w.machines[1]!.state();
    assert.ok(state.kind === "up");
    state.host.jump(5_000);
    const { items, warnings } = await nodeOf(w, 0).checkup();
    assert.deepEqual(warnings, []);
    const told = new Map(items.map((item) => [item.name, item]));
    assert.deepEqual([...told.keys()].sort(), ["node-1", "node-2", "node-3"]);
    for (const [name, { clockSkewMs, clockWithinMs, reaches }] of told) {
      const real = name === "node-2" ? 5_000 : 0;
      assert.ok(Math.abs(clockSkewMs - real) <= clockWithinMs + 1, `${name}: ${clockSkewMs} ± ${clockWithinMs}`);
      assert.deepEqual(
        reaches.map(({ link }) => link),
        ["up", "up"],
      );
    }
    assert.equal(new Set(items.map((item) => item.fingerprint)).size, 1);
  }));

test("checkup: a node that does not answer is named, and the others tell that they do not reach it", () =>
  inCluster(tallies, { nodes: 3, shards: 4 }, async (_, w) => {
    for (const other of ["node-1", "node-2"])
      w.weather.cutBetween.add(wayOf("node-3", other)).add(wayOf(other, "node-3"));
    await w.sleep(100);
    const { items, warnings } = await nodeOf(w, 0).checkup();
    assert.equal(items.length, 2);
    assert.match(warnings.join(), /^node-3 did not answer: /);
    for (const { reaches } of items) assert.notEqual(reaches.find(({ name }) => name === "node-3")?.link, "up");
  }));

test("checkup: nodes tell the same of the same code, in whatever order it was written, and else another", () => {
  const host = { crypto: simCrypto(seeded(1)) };
  const other = entity("other", { state: z.object({}), commands: {} }).implement({ initial: () => ({}) });
  const more = entity("other", { state: z.object({}), commands: { go: {} } }).implement({
    initial: () => ({}),
    go() {},
  });
  const of = (entities: Parameters<typeof app>[1]["entities"]): string =>
    fingerprint(host, compileApp(app("x", { entities: entities ?? [] })));
  assert.equal(of([tally, other]), of([other, tally]));
  assert.notEqual(of([tally, other]), of([tally]));
  assert.notEqual(of([tally, other]), of([tally, more]));
});

test("checkup: a clock is read no more surely than the answer was quick", () => {
  assert.deepEqual(skewOf(1_050, 1_000, 1_100), { clockSkewMs: 0, clockWithinMs: 50 });
  assert.deepEqual(skewOf(6_050, 1_000, 1_100), { clockSkewMs: 5_000, clockWithinMs: 50 });
  assert.deepEqual(skewOf(500, 1_000, 1_000), { clockSkewMs: -500, clockWithinMs: 0 });
});

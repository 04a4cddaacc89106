// Guarantees of the gate: sound seeds pass and repeat themselves, an empty run is red, and planted defects are caught.

import assert from "node:assert/strict";
import { test } from "node:test";
import { emptiness, runSeeds } from "./gate.ts";
import { hunt, mutants } from "./mutants.ts";
import { planOf, runTrial } from "./trial.ts";
import { clusterFaults, faultNames, newTally } from "./weather.ts";

test("gate: a sample of seeds passes", async () => {
  const { failed, passed } = await runSeeds(1, 20);
  assert.deepEqual(failed, []);
  assert.equal(passed, 20);
});

test("gate: a seed run twice leaves one fingerprint", async () => {
  for (const seed of [5, 17]) assert.equal((await runTrial(seed)).digest, (await runTrial(seed)).digest);
});

test("gate: a seed can be narrowed to workloads and faults, and its plan follows from it alone", () => {
  const options = { workloads: ["bank"], faults: ["crash"] } as const;
  assert.deepEqual(planOf(9, options), planOf(9, options));
  assert.deepEqual([planOf(9, options).workload, planOf(9, options).world.faults], ["bank", ["crash"]]);
});

test("gate: a run in which a fault never struck, or nothing was answered, proves nothing", () => {
  const nothing = { passed: 1000, failed: [], tally: newTally(), events: 0, clusters: 0, repeated: 0 };
  const reasons = emptiness(nothing, 1000).join("; ");
  assert.match(reasons, /"crash" never struck/);
  assert.match(reasons, /no shard ever changed its owner/);
  assert.match(reasons, /no seed was run twice/);
  assert.match(reasons, /only 0 of 1000 seeds were clusters/);
  assert.deepEqual(emptiness({ ...nothing, repeated: 1 }, 1000, ["crash"]), ['the fault "crash" never struck']);
  assert.match(emptiness({ ...nothing, tally: { ...newTally(), calls: 9, answered: 1 } }, 10).join(), /only 1 of 9/);
});

test("gate: every fault, also those between nodes, is drawn by some seed, and clusters are among the worlds", () => {
  const plans = Array.from({ length: 300 }, (_, index) => planOf(index + 1));
  const drawn = new Set(plans.flatMap((plan) => plan.world.faults));
  assert.deepEqual(
    faultNames.filter((name) => !drawn.has(name)),
    [],
  );
  const clusters = plans.filter((plan) => plan.world.cluster);
  assert.ok(clusters.length > 20 && clusters.length < 100, `${clusters.length} clusters`);
  for (const { world } of plans) if (!world.cluster) assert.ok(!world.faults.some((name) => clusterFaults.has(name)));
});

test("gate: nothing goes wrong by itself in the worlds in which nodes only leave in order, or are only apart", async () => {
  const { failed } = await runSeeds(1, 4, 1, { workloads: ["rolling", "apart"] });
  assert.deepEqual(failed, []);
});

test("gate: messages and timers are carried out once, in order and not early, whatever fails", async () => {
  const { failed } = await runSeeds(1, 24, 1, { workloads: ["transfers", "alarms"] });
  assert.deepEqual(failed, []);
});

test("gate: schedules begin each time that is due once, not early, and make up for what was missed, whatever fails", async () => {
  const { failed } = await runSeeds(1, 12, 1, { workloads: ["schedules"] });
  assert.deepEqual(failed, []);
});

test("gate: topics lose, double and turn round nothing, and subscriptions come to their ends, whatever fails", async () => {
  const { failed } = await runSeeds(1, 16, 1, { workloads: ["topics"] });
  assert.deepEqual(failed, []);
});

test("gate: readers of streams get each event once and in order, whatever fails and wherever they go on", async () => {
  const { failed } = await runSeeds(1, 8, 1, { workloads: ["streams"], cluster: true });
  assert.deepEqual(failed, []);
});

test("gate: jobs are done at least once, those of a key in order, and dead letters are those that cannot be done, whatever fails", async () => {
  const { failed } = await runSeeds(1, 12, 1, { workloads: ["jobs"] });
  assert.deepEqual(failed, []);
});

for (const name of [
  "M2",
  "M4",
  "M6",
  "M7",
  "M11",
  "C3",
  "C4",
  "C5",
  "D1",
  "D3",
  "D5",
  "D6",
  "M12",
  "S1",
  "S2",
  "T1",
  "T3",
  "T5",
  "T6",
  "T7",
  "T8",
  "T9",
  "T10",
  "T11",
  "T12",
  "T13",
  "T14",
  "Q1",
  "Q2",
  "Q3",
]) {
  test(`gate: the planted defect ${name} is caught`, async () => {
    const mutant = mutants.find((one) => one.name === name);
    assert.ok(mutant !== undefined && (await hunt({ ...mutant, within: 40 })) !== undefined);
  });
}

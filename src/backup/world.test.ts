// Backups of a simulated cluster in bad weather: nodes crash, owners change, answers are lost and old.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { memoryDisk, memoryEngine } from "../journal/index.ts";
import { app, entity } from "../model/index.ts";
import { inCluster } from "../node/cluster.fixture.ts";
import { startNode } from "../node/index.ts";
import { memoryStore } from "../shards/index.ts";
import { memoryDisk as simFolder } from "../sim/disk.ts";
import { seeded } from "../sim/random.ts";
import { simHost } from "../sim/sim-host.ts";
import { checkEngine, restoreBackup, takeBackup } from "./index.ts";
import { memoryFolder, runOn } from "./kept.fixture.ts";

const Tally = entity("tally", {
  state: z.object({ n: z.number() }),
  commands: { add: { output: z.number() } },
  queries: { get: { output: z.number(), consistency: "strong" } },
});
const tallies = app("tallies", {
  entities: [
    Tally.implement({ initial: () => ({ n: 0 }), add: ({ state }) => ++state.n, get: ({ state }) => state.n }),
  ],
});
const keys = Array.from({ length: 6 }, (_, i) => `k${i}`);

/** What every key must be at least, and at most, in a backup taken in that weather; and the disk it was restored to. */
async function weathered(
  seed: number,
): Promise<{ least: number[]; most: number[]; disk: ReturnType<typeof memoryDisk> }> {
  const disk = memoryDisk();
  const acknowledged = keys.map(() => 0);
  const asked = keys.map(() => 0);
  let least: number[] = [];
  let most: number[] = [];
  const faults = ["crash", "partition", "lost-ack", "unknown", "hang", "stale", "slow-engine", "restart"] as const;
  await inCluster(tallies, { nodes: 3, shards: 3, seed, faults: [...faults] }, async (client, world) => {
    const { crypto, compress } = (
      world.machines.map((machine) => machine.state()).find((state) => state.kind === "up") ?? assert.fail()
    ).host;
    const clock = {
      now: () => world.now(),
      after: (ms: number, fn: () => void) => ({ cancel() {}, done: world.sleep(ms).then(fn) }),
    };
    const host = { crypto, compress, clock };
    let going = true;
    const writers = keys.map(async (key, i) => {
      while (going) {
        asked[i]!++;
        const done = await client
          .entity(Tally, key)
          .add()
          .then(
            () => true,
            () => false,
          );
        if (done) acknowledged[i]!++;
        await world.sleep(3);
      }
    });
    await world.sleep(400);
    least = [...acknowledged];
    const folder = memoryFolder();
    await takeBackup({ engine: world.shared, folder, host, version: "test" });
    most = [...asked];
    await world.sleep(200);
    going = false;
    await Promise.all(writers);
    await world.heal();
    await restoreBackup({ engine: memoryEngine({ disk }), folder, host });
    const report = await checkEngine({ engine: memoryEngine({ disk }), host });
    assert.deepEqual(report.findings, []);
  });
  return { least, most, disk };
}

test("backup: of a cluster whose nodes crash and part it holds all that was acknowledged before, and nothing twice", async () => {
  let epochs = 0;
  for (let seed = 1; seed <= 4; seed++) {
    const { least, most, disk } = await weathered(seed);
    assert.ok(
      least.every((count) => count > 0),
      `seed ${seed}: ${least.join()}`,
    );
    for (const { epoch } of await memoryEngine({ disk }).barrier([0, 1, 2])) epochs += epoch - 2;
    const host = simHost({ disk: simFolder(), random: seeded(seed) });
    const run = runOn(host);
    const engine = memoryEngine({ disk, clock: host.clock });
    const { name } = (await engine.identify()) ?? assert.fail();
    const node = await run(startNode({ host, engine, store: memoryStore(), app: tallies, cluster: name }));
    for (const [i, key] of keys.entries()) {
      const target = { kind: "query", entity: "tally", key, name: "get" } as const;
      const deadline = host.clock.tick() + 5000;
      const { output } = await run(
        node.call({ target, input: undefined, principal: { id: "t", roles: [] }, deadline }),
      );
      assert.ok(
        Number(output) >= least[i]! && Number(output) <= most[i]!,
        `seed ${seed}: ${least[i]} <= ${String(output)} <= ${most[i]}`,
      );
    }
  }
  assert.ok(epochs > 0, "shards changed their owners");
});

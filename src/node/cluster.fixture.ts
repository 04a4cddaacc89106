// A simulated cluster without faults for this folder's tests: whoever plays decides what goes wrong.

import assert from "node:assert/strict";
import type { Limits } from "../base/index.ts";
import { type AppShape, bindClient, type Client } from "../model/index.ts";
import { createWorld, simLimits, type World, type WorldOptions } from "../sim/world.ts";
import type { Node } from "./index.ts";

type Given = {
  readonly nodes?: number;
  readonly shards?: number;
  readonly limits?: Partial<Limits>;
  readonly each?: WorldOptions["each"];
};

/** Runs `play` once every node is there and holds its share. Checks every journal afterwards. */
export async function inCluster<A extends AppShape>(
  code: A,
  { nodes = 2, shards = 2, limits = {}, each }: Given,
  play: (client: Client<A["contract"]>, world: World) => Promise<void>,
): Promise<void> {
  const { world, started } = createWorld(code, {
    nodes,
    seed: 1,
    shards,
    faults: [],
    cluster: true,
    limits: { ...simLimits, ...limits },
    mutants: [],
    encryptionKey: undefined,
    faultEveryMs: 60,
    strict: true,
    direct: false,
    each,
  });
  await world.driver.drive(
    (async () => {
      await started;
      await world.sleep(600);
      await play(bindClient<A["contract"]>(world.invoke({ deadlineMs: 3000, repeats: false })), world);
      await world.audit();
    })(),
  );
  assert.deepEqual(world.problems, []);
}

export function nodeOf({ machines }: World, index: number): Node {
  const state = machines[index]?.state();
  assert.ok(state?.kind === "up");
  return state.node;
}

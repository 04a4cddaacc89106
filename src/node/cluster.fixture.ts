// A simulated cluster for this folder's tests, without faults unless asked for: whoever plays decides what goes wrong.

import assert from "node:assert/strict";
import { type AppShape, bindClient, type Client } from "../model/index.ts";
import { createWorld, simLimits, type World, type WorldOptions } from "../sim/world.ts";
import type { Node } from "./index.ts";

export type Given = Partial<Pick<WorldOptions, "nodes" | "seed" | "shards" | "faults" | "limits" | "each" | "apart">>;

/** Runs `play` in a world whose nodes have started. Checks every journal afterwards. */
export async function inWorld(
  code: AppShape,
  { nodes = 2, seed = 1, shards = 2, faults = [], limits = {}, each, apart }: Given,
  play: (world: World) => Promise<void>,
): Promise<void> {
  const { world, started } = createWorld(code, {
    nodes,
    seed,
    shards,
    faults,
    cluster: true,
    limits: { ...simLimits, ...limits },
    mutants: [],
    encryptionKey: undefined,
    faultEveryMs: 60,
    strict: true,
    direct: false,
    each,
    apart,
  });
  await world.driver.drive(
    (async () => {
      await started;
      await play(world);
      await world.audit();
    })(),
  );
  assert.deepEqual(world.problems, []);
}

/** Runs `play` once every node is there and holds its share. Checks every journal afterwards. */
export const inCluster = <A extends AppShape>(
  code: A,
  given: Given,
  play: (client: Client<A["contract"]>, world: World) => Promise<void>,
): Promise<void> =>
  inWorld(code, given, async (world) => {
    await world.sleep(600);
    await play(bindClient<A["contract"]>(world.invoke({ deadlineMs: 3000, repeats: false })), world);
  });

export function nodeOf({ machines }: World, index: number): Node {
  const state = machines[index]?.state();
  assert.ok(state?.kind === "up");
  return state.node;
}

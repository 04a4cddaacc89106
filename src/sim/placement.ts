// Who should own which shard, in a world without a cluster: the world decides, late and at times wrongly. Safety must not
// depend on it.

import type { Millis, Shard } from "../base/index.ts";
import type { Machine } from "./machine.ts";
import type { Random } from "./random.ts";
import type { Schedule } from "./schedule.ts";
import type { Weather } from "./weather.ts";

export interface Placement {
  owner(shard: Shard): Machine;
  ownedBy(machine: Machine): readonly Shard[];
  /** The owner did not serve: after a while some node that is up claims the shard. One claim at a time per shard. */
  replace(shard: Shard): void;
  /** Makes this machine claim the shard now, whoever owns it. Resolves once that succeeded or failed, or the machine died. */
  claim(shard: Shard, machine: Machine): Promise<void>;
}

export type PlacementOptions = {
  readonly machines: readonly Machine[];
  readonly shards: number;
  readonly schedule: Schedule;
  readonly random: Random;
  readonly weather: Weather;
};

const detectionMs: Millis = 15;

export function createPlacement({ machines, shards, schedule, random, weather }: PlacementOptions): Placement {
  const owners = Array.from({ length: shards }, (_, shard) => machines[shard % machines.length] as Machine);
  const replacing = new Set<Shard>();

  const claim = async (shard: Shard, machine: Machine): Promise<void> => {
    const state = machine.state();
    if (state.kind !== "up") return;
    weather.tally.claims++;
    await new Promise<void>((resolve) => {
      const forget = machine.watch(resolve);
      const end = (): void => {
        forget();
        resolve();
      };
      state.node.acquire(shard).then(() => {
        if (owners[shard] !== machine) weather.tally.takeovers++;
        owners[shard] = machine;
        end();
      }, end);
    });
  };

  return {
    owner: (shard) => owners[shard] as Machine,
    ownedBy: (machine) => owners.flatMap((owner, shard) => (owner === machine ? [shard] : [])),
    claim,
    replace(shard) {
      if (replacing.has(shard)) return;
      replacing.add(shard);
      schedule.after(random.float() * detectionMs, "placement", () => {
        const up = machines.filter((machine) => machine.state().kind === "up");
        const done = (): void => void replacing.delete(shard);
        if (up.length === 0) done();
        else void claim(shard, random.pick(up)).then(done);
      });
    },
  };
}

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { engineContract } from "../../journal/index.ts";
import { natsEngine } from "./engine.ts";
import { natsBed, natsCluster, type NatsCluster, withoutNats } from "./nats-cluster.fixture.ts";

let cluster: NatsCluster;
before(async () => void (withoutNats || (cluster = await natsCluster())));
after(() => cluster?.end());

const inSpace = (name: string, run: () => Promise<void>): unknown => test(name, { skip: withoutNats }, run);

engineContract("nats", { test: inSpace, assert }, async () => {
  const bed = natsBed(cluster);
  return { open: () => natsEngine(bed.options), destroy: bed.destroy };
});

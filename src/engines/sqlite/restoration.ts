// Filling an empty folder with a cluster that was kept elsewhere: the caller's side of restoring.ts, and the snapshots.

import { randomInt } from "node:crypto";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { SheafError } from "../../base/index.ts";
import type { Cluster, Restoration, Snapshots } from "../../journal/index.ts";
import { leastMark } from "./journal-file.ts";
import { packEntries } from "./packed.ts";
import type { RestoreAsk } from "./restoring.ts";

export type RestorationOptions = {
  readonly folder: string;
  readonly step: (ask: RestoreAsk) => Promise<void>;
  readonly snapshots: Snapshots;
};

/** As `Engine.restore`. Snapshots are removed while the mark still stands, so that none outlives its restoration. */
export async function beginRestoration(
  options: RestorationOptions,
  cluster: Cluster,
  again: boolean,
): Promise<Restoration> {
  const { folder, step, snapshots } = options;
  const mark = randomInt(leastMark, 2 ** 31);
  const removeSnapshots = async (): Promise<void> => {
    for (const file of await readdir(folder)) await rm(join(folder, file), { force: true });
  };
  await step({ step: "begin", mark, cluster, again });
  await removeSnapshots();
  let over = false;
  const whileOpen = (): void => {
    if (over) throw new SheafError("IN_USE", "this restoration has ended");
  };
  return {
    load: (shard, generation, entries) =>
      step({ step: "load", mark, shard, generation, entries: packEntries(entries) }),
    async put(name, chunks) {
      whileOpen();
      await snapshots.put(name, chunks);
    },
    async finish() {
      await step({ step: "finish", mark, cluster });
      over = true;
    },
    async abandon() {
      // Whoever is not at it any more must remove nothing.
      await step({ step: "load", mark, shard: 0, generation: 1, entries: packEntries([]) });
      await removeSnapshots();
      await step({ step: "abandon", mark });
      over = true;
    },
  };
}

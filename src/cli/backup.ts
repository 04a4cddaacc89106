// `sheaf backup DIR` copies a cluster to a folder; `sheaf backup verify DIR` reads one again.

import { bytesOf, checkBackup, type Manifest, readManifest, recordsOf, takeBackup } from "../backup/index.ts";
import { backupFolder, folderAt } from "./backup-folder.ts";
import type { Run } from "./context.ts";
import { type EngineFlags, atWork, sizeOf, withEngine } from "./kept-engine.ts";
import { release } from "./release.ts";
import { tellReport } from "./tell-report.ts";

export const backup: Run<EngineFlags> = async (context, [dir = ""], flags) => {
  const { output } = context;
  const path = folderAt(context.cwd, dir);
  const taken = await atWork(context, flags, (work) =>
    withEngine(context, flags, "look", async (engine) => {
      const folder = await backupFolder(path, true);
      try {
        const { key: _, ...asIs } = work;
        return await takeBackup({ ...asIs, engine, folder, version: release().version, onWarning: output.warn });
      } catch (error) {
        await folder.undo();
        throw error;
      }
    }),
  );
  if (taken === 130) return taken;
  const facts = factsOf(path, taken);
  output.one(
    "sheaf.backup/v1",
    facts,
    (paint) =>
      `${paint("green", "✓")} ${facts.cluster} is backed up to ${path}  ${facts.shards} shards  ${facts.records} records  ${facts.snapshots} snapshots  ${sizeOf(facts.bytes)}`,
    path,
  );
  const key = taken.cluster.keyCheck === undefined ? "" : "the encryption key and ";
  output.note(`Not in it: ${key}the nodes' own folders, with the cluster's certificate authority (ca).`);
  output.note(`Look at it again at any time: sheaf backup verify ${dir}`);
  return 0;
};

export const verify: Run<EngineFlags> = async (context, [dir = ""], flags) => {
  const path = folderAt(context.cwd, dir);
  const report = await atWork(context, flags, async (work) => {
    const folder = await backupFolder(path, false);
    const manifest = await readManifest(folder, work.host.crypto);
    return { facts: factsOf(path, manifest), ...(await checkBackup({ ...work, folder, manifest })) };
  });
  if (report === 130) return report;
  return tellReport(context.output, "sheaf.backup.verify/v1", report, report.facts);
};

function factsOf(path: string, { cluster, engine, version, cutFrom, cutTo, shards }: Manifest) {
  const total = (count: (shard: Manifest["shards"][number]) => number): number =>
    shards.reduce((sum, shard) => sum + count(shard), 0);
  return {
    path,
    cluster: cluster.name,
    clusterId: cluster.id,
    encrypted: cluster.keyCheck !== undefined,
    engine,
    version,
    cutFrom,
    cutTo,
    shards: cluster.shards,
    records: total(recordsOf),
    snapshots: total(({ snapshots }) => snapshots.length),
    bytes: total(bytesOf),
  };
}

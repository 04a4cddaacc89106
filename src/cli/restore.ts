// `sheaf restore DIR` fills an empty engine with what `sheaf backup` has copied.

import { restoreBackup } from "../backup/index.ts";
import { backupFolder, folderAt } from "./backup-folder.ts";
import type { Run } from "./context.ts";
import { type EngineFlags, atWork, sizeOf, withEngine } from "./kept-engine.ts";

type RestoreFlags = EngineFlags & { readonly again?: boolean };

export const restore: Run<RestoreFlags> = async (context, [dir = ""], flags) => {
  const { output } = context;
  const path = folderAt(context.cwd, dir);
  const done = await atWork(context, flags, async (work) => {
    const folder = await backupFolder(path, false);
    return withEngine(context, flags, "fill", async (engine) => {
      const restored = await restoreBackup({ ...work, engine, folder, again: flags.again === true });
      return { ...restored, engine: engine.name };
    });
  });
  if (done === 130) return done;
  const { manifest, generation, records, bytes, engine } = done;
  const { name, id, shards } = manifest.cluster;
  const facts = {
    path,
    cluster: name,
    clusterId: id,
    engine,
    generation,
    shards,
    records,
    bytes,
    cutTo: manifest.cutTo,
  };
  output.one(
    "sheaf.restore/v1",
    facts,
    (paint) =>
      `${paint("green", "✓")} ${name} is restored into ${engine}  ${shards} shards  ${records} records  ${sizeOf(bytes)}  as it was at ${new Date(manifest.cutTo).toISOString()}`,
    id,
  );
  output.note("Start its nodes on it. They may keep their folders: what is newer in them is left out.");
  return 0;
};

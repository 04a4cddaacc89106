// What `backup`, `restore` and `engine verify` have in common: the engine that is named, the key, progress, and Ctrl-C.

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import type { Progress, Work } from "../backup/index.ts";
import { asSheafError, checkLimits, fromHex, SheafError } from "../base/index.ts";
import { openEngine } from "../engines/index.ts";
import type { Engine } from "../journal/index.ts";
import { realClock, realCompress, realCrypto } from "../platform/index.ts";
import type { Context } from "./context.ts";
import { limitsOf } from "./limit-flags.ts";
import { liveLine } from "./live-line.ts";
import { encryptionKey, engineOf, usualFolder } from "./server-options.ts";

export type EngineFlags = {
  readonly engine?: string;
  readonly data?: string;
  readonly encryptionKeyFile?: string;
  readonly limit?: readonly string[];
};

/** Opens the engine that the command line names, for as long as `act` takes. One that only looks makes no folder. */
export async function withEngine<T>(
  context: Context,
  flags: EngineFlags,
  purpose: "look" | "fill",
  act: (engine: Engine) => Promise<T>,
): Promise<T> {
  const { maxRecordBytes } = checkLimits(limitsOf(context, flags.limit ?? []));
  const named = engineOf(context, flags);
  const folder = named.url === undefined ? resolve(context.cwd, flags.data ?? usualFolder) : named.folder;
  if (purpose === "look" && folder !== undefined && !existsSync(join(folder, "journal.db"))) {
    throw new SheafError("NO_CLUSTER", `there is no cluster in ${folder}`, {
      hint: "Name its engine with --engine, or its folder with --data.",
    });
  }
  const engine = await openEngine(named.url ?? `sqlite:${folder}`, { maxRecordBytes });
  try {
    return await act(engine);
  } finally {
    await engine.close();
  }
}

/** The work's surroundings. Its progress is told on stderr; a first Ctrl-C calls it off, a second ends the process. */
export async function atWork<T>(
  context: Context,
  flags: EngineFlags,
  act: (work: Work) => Promise<T>,
): Promise<T | 130> {
  const { output } = context;
  const key = encryptionKey(context, flags.encryptionKeyFile);
  const quiet = output.flags.quiet || output.flags.json;
  const line = quiet ? undefined : liveLine(output.terminal.err, () => process.stderr.columns || 80);
  let cancelled = false;
  const interrupt = (): void => {
    if (cancelled) process.exit(130);
    cancelled = true;
    line?.print("stopping …");
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  try {
    return await act({
      host: { clock: realClock(), crypto: realCrypto, compress: realCompress },
      key: key === undefined ? undefined : fromHex(key),
      onProgress: (progress) => line?.say(lineOf(progress)),
      cancelled: () => cancelled,
    });
  } catch (error) {
    if (!cancelled || asSheafError(error).code !== "CANCELLED") throw error;
    line?.close();
    output.note("stopped; nothing that was written is left");
    return 130;
  } finally {
    line?.close();
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  }
}

const lineOf = ({ doing, shardsDone, shards, records, bytes }: Progress): string =>
  `${doing} …  ${shardsDone} of ${shards} shards  ${records} records  ${sizeOf(bytes)}`;

/** Bytes as people read them. */
export function sizeOf(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  const power = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  return power === 0 ? `${bytes} bytes` : `${(bytes / 1024 ** power).toFixed(1)} ${units[power]}`;
}

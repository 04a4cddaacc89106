// A folder of the file system as that of a backup. Names are made by us; a manifest that names another file is damaged.

import { createReadStream } from "node:fs";
import { mkdir, open, readdir, rename, rm, rmdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { SheafError } from "../base/index.ts";
import type { Folder } from "../backup/index.ts";

const chunkBytes = 1024 * 1024;

/** `made`: the folder was not there before. `undo` removes it then, when it is empty. */
export type BackupFolder = Folder & { readonly path: string; undo(): Promise<void> };

/** Rejects USAGE when the folder cannot be made or read. */
export async function backupFolder(path: string, make: boolean): Promise<BackupFolder> {
  const made = make ? await mkdir(path, { recursive: true, mode: 0o700 }).catch(refuse(path)) : undefined;
  const files = new Set<string>();
  const at = (name: string): string => {
    if (!/^[a-z0-9.-]+$/.test(name)) throw new SheafError("CORRUPT", `the backup names a file ${JSON.stringify(name)}`);
    return join(path, name);
  };
  return {
    path,
    list: () => readdir(path).catch(refuse(path)),
    async append(name, bytes) {
      // The first time it must not be there: two backups into one folder would mix.
      const file = await open(at(name), files.has(name) ? "a" : "ax", 0o600).catch(refuse(path));
      files.add(name);
      try {
        for (let from = 0; from < bytes.length;) from += (await file.write(bytes, from)).bytesWritten;
      } catch (error) {
        throw full(error, path);
      } finally {
        await file.close();
      }
    },
    async sync(name) {
      await synced(at(name));
      await synced(path);
    },
    async rename(from, to) {
      await rename(at(from), at(to));
      await synced(path);
    },
    async remove(name) {
      await rm(at(name), { force: true });
      files.delete(name);
    },
    async *read(name) {
      try {
        for await (const chunk of createReadStream(at(name), { highWaterMark: chunkBytes })) yield chunk as Uint8Array;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
        throw new SheafError("NOT_FOUND", `there is no file ${name} in ${path}`);
      }
    },
    async undo() {
      if (made !== undefined) await rmdir(path).catch(() => {});
    },
  };
}

/** The folder a command line names. */
export const folderAt = (cwd: string, dir: string): string => resolve(cwd, dir);

async function synced(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

const refuse =
  (path: string) =>
  (error: unknown): never => {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") throw new SheafError("NOT_FOUND", `there is no folder ${path}`);
    if (code === "EEXIST") throw new SheafError("IN_USE", `another backup is being written to ${path}`);
    throw full(error, path, new SheafError("USAGE", `the folder cannot be used: ${message}`));
  };

function full(error: unknown, path: string, other = error): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== "ENOSPC" && code !== "EDQUOT") return other;
  return new SheafError("ENGINE_FULL", `there is no space left for the backup in ${path}`, { cause: error });
}

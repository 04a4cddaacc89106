// Keeps a folder to one process, or to several that know of each other. The lock is the operating system's own, taken through SQLite's portable
// locking: it is gone the moment its process is, killed or not, so there is no stale lock to judge.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { SheafError } from "../base/index.ts";

export type FolderLock = {
  /** Lets the next process in. Ending the process does the same. */
  release(): void;
};

/** The process that wrote its number beside the lock, if it still runs. */
function holder(path: string): string {
  try {
    const pid = Number(readFileSync(path, "utf8"));
    process.kill(pid, 0);
    return `process ${pid}`;
  } catch (error) {
    // Running, but of another user: it has a number all the same.
    if ((error as NodeJS.ErrnoException).code === "EPERM") return `process ${readFileSync(path, "utf8").trim()}`;
    return "another process";
  }
}

/** Takes the folder, made when missing, for this process; `shared`: for it and for all others that take it so. Throws IN_USE,
 *  naming a holder, while another has it otherwise, and ENGINE_REFUSED when the folder cannot be written. */
export function lockFolder(dir: string, how: "alone" | "shared" = "alone"): FolderLock {
  const pidFile = join(dir, "lock.pid");
  let db: DatabaseSync | undefined;
  try {
    mkdirSync(dir, { recursive: true });
    db = new DatabaseSync(join(dir, "lock"), { timeout: 0 });
    db.exec(how === "alone" ? "BEGIN EXCLUSIVE" : "BEGIN; SELECT count(*) FROM sqlite_schema");
    writeFileSync(pidFile, `${process.pid}\n`);
  } catch (error) {
    db?.close();
    if ((error as { errcode?: number }).errcode === 5) {
      const who = holder(pidFile);
      throw new SheafError("IN_USE", `${who} is using ${dir}`, {
        hint: `stop ${who}, or choose another --data directory`,
      });
    }
    const why = error instanceof Error ? error.message : String(error);
    throw new SheafError("ENGINE_REFUSED", `${dir} cannot be used: ${why}`, {
      cause: error,
      hint: "make the directory writable for this user, or choose another --data directory",
    });
  }
  const held = db;
  return { release: () => void (held.isOpen && held.close()) };
}

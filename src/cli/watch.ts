// Tells when files in some folders were saved: once per burst of changes, with the names that changed.

import { existsSync, type FSWatcher, watch } from "node:fs";
import { basename } from "node:path";

export interface Watch {
  /** Watches exactly these folders from now on (not the folders inside them). */
  follow(folders: readonly string[]): void;
  close(): void;
}

/** Editors write in several steps: a change is reported when nothing more came for so long. */
const settleMs = 50;
const ofInterest = /\.(?:[cm]?[jt]s|json)$/;

export function watchFiles(changed: (names: ReadonlySet<string>) => void): Watch {
  const watchers = new Map<string, FSWatcher>();
  let names = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  const settle = (): void => {
    const batch = names;
    names = new Set();
    changed(batch);
  };
  const open = (folder: string): void => {
    const watcher = watch(folder, (_event, name) => {
      if (name === null || !ofInterest.test(name)) return;
      names.add(basename(name));
      clearTimeout(timer);
      timer = setTimeout(settle, settleMs);
    });
    // A folder that is removed ends its watch; it is watched again when the app is loaded from it again.
    watcher.on("error", () => drop(folder));
    watchers.set(folder, watcher);
  };
  const drop = (folder: string): void => {
    watchers.get(folder)?.close();
    watchers.delete(folder);
  };
  return {
    follow(folders) {
      if (closed) return;
      for (const folder of watchers.keys()) if (!folders.includes(folder)) drop(folder);
      for (const folder of folders) if (!watchers.has(folder) && existsSync(folder)) open(folder);
    },
    close() {
      closed = true;
      clearTimeout(timer);
      for (const folder of watchers.keys()) drop(folder);
    },
  };
}

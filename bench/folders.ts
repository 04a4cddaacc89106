// Folders for what is measured, beside the repository's own files rather than in memory, and gone with the process.

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** On the disk that the repository is on; ignored by git. */
export const cacheFolder = fileURLToPath(new URL("../.cache", import.meta.url));
let home: string | undefined;

/** Removes them all: to be called when nothing uses them any more. */
export function removeFolders(): void {
  if (home !== undefined) rmSync(home, { recursive: true, force: true });
}

/** An empty folder on the disk that the repository is on. */
export function freshFolder(): string {
  if (home === undefined) {
    mkdirSync(cacheFolder, { recursive: true });
    home = mkdtempSync(join(cacheFolder, "bench-"));
    process.on("exit", removeFolders);
  }
  return mkdtempSync(join(home, "f-"));
}

// Where this package is on disk, which version it is, and the files it ships beside its code.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The package's folder, with a trailing slash. The published one is laid out like the repository. */
export const packageFolder: string = fileURLToPath(new URL("../../", import.meta.url));

/** This package's own name and version. */
export function release(): { readonly name: string; readonly version: string } {
  return JSON.parse(readFileSync(`${packageFolder}package.json`, "utf8")) as { name: string; version: string };
}

/** The script to start a further `sheaf` process with. */
export const commandFile: string = `${packageFolder}bin/sheaf.mjs`;

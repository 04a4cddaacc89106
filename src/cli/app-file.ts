// The user's app file: found, imported as TypeScript, imported anew after a change, and its mistakes told as the user's own.
//
// Node keeps every module it has imported. A resolve hook gives the user's files a new address per reload, so that the app file
// and all it imports are read again, while packages and Sheaf itself stay as they are.

import { existsSync, statSync } from "node:fs";
import { registerHooks } from "node:module";
import { dirname, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { SheafError } from "../base/index.ts";
import type { AppShape } from "../model/index.ts";
import { packageFolder } from "./release.ts";

const usual = ["src/app.ts", "app.ts", "src/app.js", "app.js"];

/** The app file: the one given, or the usual one of the folder. */
export function findApp(cwd: string, given: string | undefined): string {
  if (given === undefined) {
    const found = usual.map((name) => resolve(cwd, name)).find((path) => existsSync(path));
    if (found !== undefined) return found;
    throw new SheafError("USAGE", `there is no ${usual[0]} or ${usual[1]} here`, {
      hint: "Name the app file: sheaf dev path/to/app.ts",
    });
  }
  const path = resolve(cwd, given);
  if (!existsSync(path)) throw new SheafError("NOT_FOUND", `there is no file ${path}`);
  if (!statSync(path).isDirectory()) return path;
  const inside = usual.map((name) => resolve(path, name)).find((file) => existsSync(file));
  if (inside !== undefined) return inside;
  throw new SheafError("NOT_FOUND", `${path} has no ${usual[0]} or ${usual[1]}`);
}

export interface AppFile {
  readonly path: string;
  /** Imports the app as it is on disk now. Rejects USAGE or NOT_FOUND with a message that points into the user's files. */
  load(): Promise<AppShape>;
  /** Folders of the user's files imported so far. */
  folders(): readonly string[];
}

const sheafItself = ["src/", "dist/", "bin/"].map((part) => pathToFileURL(packageFolder + part).href);
const isUsers = (url: string): boolean =>
  url.startsWith("file:") && !url.includes("/node_modules/") && !sheafItself.some((part) => url.startsWith(part));

/** At most one per process: the hook stays. */
export function openAppFile(path: string): AppFile {
  let version = 0;
  const folders = new Set([dirname(path)]);
  registerHooks({
    resolve(specifier, context, next) {
      const found = next(specifier, context);
      if (!isUsers(found.url)) return found;
      const url = new URL(found.url);
      folders.add(dirname(fileURLToPath(url)));
      url.searchParams.set("sheaf", String(version));
      return { ...found, url: url.href };
    },
  });
  return {
    path,
    folders: () => [...folders],
    async load() {
      version++;
      let loaded: { default?: unknown };
      try {
        loaded = (await import(pathToFileURL(path).href)) as { default?: unknown };
      } catch (error) {
        throw told(error, path);
      }
      const found = loaded.default as Partial<AppShape> | undefined;
      if (found?.kind === "app") return found as AppShape;
      throw new SheafError("USAGE", `${path} does not export an app by default`, {
        hint: `Write: export default app("name", { entities: [ … ] });`,
      });
    },
  };
}

/** What went wrong in the user's code, with the place in it and none of the frames that are not the user's. */
function told(error: unknown, path: string): SheafError {
  if (!(error instanceof Error)) return new SheafError("USAGE", `${path} threw ${String(error)}`);
  const place = placeOf(error) ?? path;
  const isMissing = error.message.startsWith("Cannot find package");
  const hint =
    error instanceof SheafError ? error.hint : isMissing ? "Run npm install in the app's folder." : undefined;
  const name = error instanceof SheafError || error.name === "Error" ? "" : `${error.name}: `;
  const message = error.message.replaceAll(/file:\/\/\S+/g, plainPath).trim();
  return new SheafError("USAGE", `${place}: ${name}${message}`, { hint, cause: error });
}

/** `file:line:column` of the first place in the user's own files, if the error tells one. */
function placeOf(error: Error): string | undefined {
  for (const line of (error.stack ?? "").split("\n")) {
    const match = /(?:^|[\s(])((?:file:\/\/|\/|[A-Z]:\\)[^()]+?):(\d+)(?::(\d+))?\)?$/.exec(line.trim());
    if (match === null) continue;
    const address = match[1]!.startsWith("file:") ? match[1]! : pathToFileURL(match[1]!).href;
    if (!isUsers(address)) continue;
    return [plainPath(address), match[2], match[3]].filter((part) => part !== undefined).join(":");
  }
  return undefined;
}

/** A file address as a path, without our version mark. */
function plainPath(text: string): string {
  const match = /^(file:\/\/[^?:]*(?:\?sheaf=\d+)?)(.*)$/.exec(text);
  if (match === null || !URL.canParse(match[1]!)) return text;
  const url = new URL(match[1]!);
  url.search = "";
  return fileURLToPath(url) + match[2];
}

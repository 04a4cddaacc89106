// What a running node leaves in its data folder for the CLI on the same machine: where it listens, who it is, and a token
// for its admin API. The file says who ran last; only the folder's lock says whether that one still runs.

import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export type NodeFile = {
  readonly gateway: string;
  readonly admin: string;
  readonly pid: number;
  /** The process to stop when this one is to stay stopped: the `sheaf dev` that keeps it running, or itself. */
  readonly stop: number;
  readonly cluster: string;
  readonly app: string;
  readonly startedAt: number;
  /** Of a node in a cluster: where others reach it, and the folder of the certificate authority. */
  readonly peer?: { readonly address: string; readonly authority: string } | undefined;
};

const fileName = "node.json";
const tokenName = "admin.token";

/** The running or last node of a data folder; undefined when none has run or the file is not readable as one. */
export function readNodeFile(dir: string): NodeFile | undefined {
  try {
    const found = JSON.parse(readFileSync(join(dir, fileName), "utf8")) as NodeFile;
    return typeof found.gateway === "string" && typeof found.admin === "string" ? found : undefined;
  } catch {
    return undefined;
  }
}

/** The nodes of a data folder, those included that one command runs beside the first. */
export function readNodeFiles(dir: string): readonly NodeFile[] {
  let names: string[] = [];
  try {
    names = readdirSync(dir).filter((name) => /^node-\d+$/.test(name));
  } catch {
    // No folder, no nodes.
  }
  return ["", ...names.sort()].flatMap((name) => readNodeFile(join(dir, name)) ?? []);
}

export function writeNodeFile(dir: string, node: NodeFile): void {
  writeFileSync(join(dir, fileName), `${JSON.stringify(node, null, 2)}\n`, { mode: 0o600 });
}

export function removeNodeFile(dir: string): void {
  rmSync(join(dir, fileName), { force: true });
}

/** The admin token of a data folder, readable by its owner only; undefined when there is none or it may not be read. */
export function readAdminToken(dir: string): string | undefined {
  try {
    return readFileSync(join(dir, tokenName), "utf8").trim() || undefined;
  } catch {
    return undefined;
  }
}

/** Keeps the token that is there, so that it stays good over restarts; else makes one. */
export function ensureAdminToken(dir: string, make: () => string): string {
  const there = readAdminToken(dir);
  if (there !== undefined) return there;
  const token = make();
  const path = join(dir, tokenName);
  if (existsSync(path)) rmSync(path);
  writeFileSync(path, `${token}\n`, { mode: 0o600 });
  return token;
}

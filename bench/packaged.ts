// The package as users install it: built once, compiled, run by its own command. For what compiling changes: how soon it is there
// and what it holds in memory.

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { freshFolder } from "./folders.ts";

const repository = fileURLToPath(new URL("..", import.meta.url));
let built: string | undefined;

/** None may be left behind by a run that fails. */
const children = new Set<ChildProcess>();
process.on("exit", () => children.forEach((child) => child.kill("SIGKILL")));

/** The folder of the compiled package. */
function packageFolder(): string {
  if (built === undefined) {
    const folder = join(freshFolder(), "dist");
    execFileSync(process.execPath, [join(repository, "scripts", "build.mjs"), folder], { stdio: ["ignore", 2, 2] });
    built = folder;
  }
  return built;
}

/** The command of the compiled package, to be run by this Node. */
export const packagedCommand = (): string => join(packageFolder(), "bin", "sheaf.mjs");

export type Packaged = {
  readonly gateway: string;
  /** Process of the node. */
  readonly pid: number;
  /** From starting the command until it said that it serves. */
  readonly readyMs: number;
  stop(signal: "SIGTERM" | "SIGKILL"): Promise<void>;
};

/** One node on the folder, by `sheaf start` or `sheaf dev`. */
export async function startPackaged(verb: "start" | "dev", data: string): Promise<Packaged> {
  const command = packagedCommand();
  const app = join(packageFolder(), "src", "cli", "bench-app.js");
  const flags = ["--data", data, "--port", "0", "--admin-port", "0", "--json"];
  const began = performance.now();
  const child = spawn(
    process.execPath,
    [command, verb, app, ...flags, ...(verb === "start" ? ["--create", "--insecure"] : [])],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  children.add(child);
  child.once("exit", () => children.delete(child));
  const { gateway, pid } = await firstEvent(child);
  const readyMs = performance.now() - began;
  return {
    gateway,
    pid,
    readyMs,
    async stop(signal) {
      const ended = once(child, "exit");
      child.kill(signal);
      await ended;
    },
  };
}

async function firstEvent(child: ChildProcess): Promise<{ readonly gateway: string; readonly pid: number }> {
  const line = once(createInterface({ input: child.stdout! }), "line") as Promise<[string]>;
  const early = once(child, "exit").then(([code]) => Promise.reject(new Error(`sheaf ended with ${code}`)));
  const [text] = await Promise.race([line, early]);
  return (JSON.parse(text) as { data: { gateway: string; pid: number } }).data;
}

// Finds a Node new enough for Sheaf and runs it in place of this one. Old syntax on purpose: this file must load on any
// Node from 20 up, and use nothing but Node's own modules.

import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";

/** The oldest major version that runs the sources. */
const oldest = 24;

/** Set for the child that `runInstead` starts, so that it ends when its parent is killed without warning. */
const lifeline = "SHEAF_LIFELINE";

/** Whether a version such as `v24.1.0` is new enough. */
export function isModern(version) {
  const match = /^v?(\d+)\./.exec(version);
  return match !== null && Number(match[1]) >= oldest;
}

/** The version that a Node binary reports, or "" when it cannot be run. */
function versionOf(binary) {
  const said = spawnSync(binary, ["--version"], { encoding: "utf8" });
  return said.status === 0 ? said.stdout.trim() : "";
}

/** The first new enough `node_modules/.bin/node`, looking from each folder upwards in turn; undefined when there is none. */
export function findNode(folders) {
  for (const start of folders) {
    for (let folder = start; ; folder = dirname(folder)) {
      const binary = join(folder, "node_modules", ".bin", process.platform === "win32" ? "node.exe" : "node");
      if (existsSync(binary) && isModern(versionOf(binary))) return binary;
      if (dirname(folder) === folder) break;
    }
  }
  return undefined;
}

/**
 * Runs `binary` with `args` as if it had been started instead of this process: terminal, signals and exit code pass through.
 * A terminal sends Ctrl-C to both processes at once, so there it is not passed on a second time.
 */
export function runInstead(binary, args) {
  const child = spawn(binary, args, {
    stdio: ["inherit", "inherit", "inherit", "ipc"],
    env: { ...process.env, [lifeline]: "1" },
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"]) {
    const fromTerminal = process.stdin.isTTY && (signal === "SIGINT" || signal === "SIGQUIT");
    process.on(signal, () => void (fromTerminal || child.kill(signal)));
  }
  child.once("error", (error) => {
    process.stderr.write(`Could not run ${binary}: ${error.message}\n`);
    process.exit(1);
  });
  child.once("exit", (code, signal) => {
    if (signal === null) process.exit(code === null ? 1 : code);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

/** In a child of `runInstead`: stops in good order when the parent is gone, so that no process is left behind unseen. */
export function holdLifeline() {
  if (process.env[lifeline] === undefined) return;
  delete process.env[lifeline];
  if (!process.channel) return;
  process.once("disconnect", () => process.kill(process.pid, "SIGTERM"));
  process.channel.unref();
}

// A program that `sheaf dev` runs beside the app: its load generator or its checker. It finds the nodes by SHEAF_URL (their
// gateways, separated by commas), SHEAF_TOKEN and SHEAF_DATA, and prints a line of JSON, { line, ok }, whenever it has something
// new to say.

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import type { Ready } from "./supervisor.ts";

export interface Companion {
  /** Ends it and starts it anew, with the code as it is now. */
  restart(): void;
  /** Asks it to end, and resolves when it has; forces it after ten seconds. */
  stop(): Promise<void>;
}

export type Heard = {
  readonly said: (line: string, ok: boolean) => void;
  readonly print: (text: string) => void;
};

export function startCompanion(file: string, nodes: readonly Ready[], heard: Heard): Companion {
  const SHEAF_URL = nodes.map(({ gateway }) => gateway).join(",");
  const SHEAF_DATA = nodes[0]?.home ?? "";
  let wanted = true;
  let child = start();

  function start(): ChildProcess {
    const env = { ...process.env, SHEAF_URL, SHEAF_DATA };
    // The channel says nothing: it is there so that the program notices when we are gone.
    const started = spawn(process.execPath, [file], { env, stdio: ["ignore", "pipe", "pipe", "ipc"] });
    createInterface({ input: started.stdout! }).on("line", (line) => {
      const message = read(line);
      if (message === undefined) heard.print(line);
      else heard.said(message.line, message.ok);
    });
    createInterface({ input: started.stderr! }).on("line", heard.print);
    started.on("exit", (code, signal) => {
      if (!wanted || started !== child || code === 0) return;
      heard.print(`ended with ${signal ?? `code ${code}`}`);
      heard.said("stopped", code !== 6);
    });
    return started;
  }

  return {
    restart() {
      const old = child;
      old.once("exit", () => wanted && (child = start()));
      if (old.exitCode !== null || old.signalCode !== null) child = start();
      else old.kill("SIGTERM");
    },
    stop() {
      wanted = false;
      return end(child);
    },
  };
}

function read(line: string): { line: string; ok: boolean } | undefined {
  try {
    const found = JSON.parse(line) as { line?: unknown; ok?: unknown };
    return typeof found.line === "string" ? { line: found.line, ok: found.ok !== false } : undefined;
  } catch {
    return undefined;
  }
}

function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    const force = setTimeout(() => child.kill("SIGKILL"), 10_000);
    child.once("exit", () => {
      clearTimeout(force);
      resolve();
    });
    child.kill("SIGTERM");
  });
}

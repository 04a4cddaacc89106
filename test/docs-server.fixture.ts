// A node for the documentation's console blocks: started on free ports, killed and started again as a page asks.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { root } from "./docs-pages.fixture.ts";

export const sheafFile = join(root, "bin/sheaf.mjs");

export interface TestNode {
  readonly gateway: string;
  readonly admin: string;
  /** kill -9, and a new start on what is there. */
  again(): Promise<void>;
  end(): Promise<void>;
}

type Running = {
  readonly child: ChildProcess;
  readonly gone: Promise<unknown>;
  readonly gateway: string;
  readonly admin: string;
};

async function start(app: string, cwd: string): Promise<Running> {
  const flags = ["--create", "--insecure", "--port", "0", "--admin-port", "0", "--json"];
  const child = spawn(process.execPath, [sheafFile, "start", app, ...flags], {
    cwd,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const gone = once(child, "exit");
  const said = text(child.stderr);
  for await (const line of createInterface({ input: child.stdout })) {
    const { gateway, admin } = (JSON.parse(line) as { data: { gateway: string; admin: string } }).data;
    return { child, gone, gateway, admin };
  }
  throw new Error(`the node of ${app} did not start:\n${await said}`);
}

/** Starts `app` with its data in `cwd`/.sheaf. */
export async function startNode(app: string, cwd: string): Promise<TestNode> {
  let running = await start(app, cwd);
  const kill = async (): Promise<void> => {
    running.child.kill("SIGKILL");
    await running.gone;
  };
  return {
    get gateway() {
      return running.gateway;
    },
    get admin() {
      return running.admin;
    },
    async again() {
      await kill();
      running = await start(app, cwd);
    },
    end: kill,
  };
}

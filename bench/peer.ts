// What a user would pick instead, each in a module of `peers/`: `serve` runs in a process of its own, `open` here. Their packages
// are installed when they are first needed, beside the product's and never with it.

import { fork, spawnSync } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { whyStale } from "../scripts/bootstrap.mjs";
import type { Contender } from "./contender.ts";

/** What a module of `peers/` exports. */
type PeerModule = {
  open(address: unknown): Promise<{ once(n: number): Promise<unknown>; close(): unknown }>;
};

/** Something that has to run besides, such as a database. */
export type Beside = { readonly pids: readonly number[]; readonly given: unknown; stop(): unknown };

const nothing = async (): Promise<Beside> => ({ pids: [], given: null, stop() {} });

/** `file`: name of the module; what is beside it is handed to its `serve`. */
export const peer = (name: string, file: string, beside: () => Promise<Beside> = nothing): Contender => ({
  name,
  role: "peer",
  async start() {
    ensurePeers();
    const { pids, given, stop } = await beside();
    const path = new URL(`./peers/${file}.mjs`, import.meta.url);
    const child = fork(fileURLToPath(new URL("./peers/child.mjs", import.meta.url)), [file, JSON.stringify(given)], {
      stdio: ["ignore", "ignore", "inherit", "ipc"],
      env: { ...process.env, NODE_ENV: "production" },
    });
    const ended = once(child, "exit");
    const close = async (): Promise<void> => {
      child.kill("SIGKILL");
      await ended;
      await stop();
    };
    try {
      const early = ended.then(([code]) => Promise.reject(new Error(`${name} ended with ${code}`)));
      const [address] = (await Promise.race([once(child, "message"), early])) as [unknown];
      const opened = await ((await import(path.href)) as PeerModule).open(address);
      return {
        once: opened.once,
        pids: [child.pid!, ...pids],
        async stop() {
          await opened.close();
          await close();
        },
      };
    } catch (error) {
      await close();
      throw error;
    }
  },
});

const folder = fileURLToPath(new URL(".", import.meta.url));
let installed = false;

/** Installs what `bench/package-lock.json` names, when it is not there. */
function ensurePeers(): void {
  if (installed) return;
  const why = whyStale(folder);
  if (why !== undefined) {
    process.stderr.write(`Installing what is measured beside (${why}) …\n`);
    const args = ["ci", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    const done = spawnSync("npm", args, { stdio: ["ignore", 2, 2] });
    if (done.status !== 0) throw new Error("npm could not install the peers: npm ci --prefix bench says why");
  }
  installed = true;
}

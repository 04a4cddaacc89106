// What a process costs: how soon it is there, how soon it is back with many entities, what it holds in memory. All of the
// compiled package.

import { execFile, execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import app, { Counter } from "../../src/cli/bench-app.ts";
import { quantile } from "../../src/cli/bench-rounds.ts";
import { connect } from "../../src/client/index.ts";
import { residentBytes } from "../cost.ts";
import { fill, filledKey } from "../fill.ts";
import { freshFolder } from "../folders.ts";
import { packagedCommand, type Packaged, startPackaged } from "../packaged.ts";
import type { Row } from "../row.ts";

/** A node collects what starting left once it has been idle for some seconds. */
const idleMs = 15_000;
const middle = (values: number[]): number => quantile(values, 0.5);

const spanOf = (run: () => unknown): number => {
  const began = performance.now();
  run();
  return performance.now() - began;
};

const times = async <T>(count: number, run: () => T | Promise<T>): Promise<T[]> => {
  const all: T[] = [];
  for (let n = 0; n < count; n++) all.push(await run());
  return all;
};

export const start: Row = {
  id: "start",
  title: "how soon a command is there",
  async run({ runs }) {
    const command = packagedCommand();
    const run = (...args: string[]): number => spanOf(() => execFileSync(process.execPath, args));
    // The first run of all fills the compile cache, as the first run after an installation does.
    const firstMs = run(command, "--help");
    const helpMs = middle(await times(5 * runs, () => run(command, "--help")));
    const nodeMs = middle(await times(5 * runs, () => run("--eval", "0")));
    const devMs = await times(runs, async () => {
      const node = await startPackaged("dev", join(freshFolder(), "data"));
      await node.stop("SIGTERM");
      return node.readyMs;
    });
    const facts = [
      { name: "help, first time", value: firstMs, unit: "ms" },
      { name: "help", value: helpMs, unit: "ms" },
      { name: "node --eval 0", value: nodeMs, unit: "ms" },
      { name: "dev, serving", value: middle(devMs), unit: "ms" },
    ];
    const checks = [
      { says: "sheaf dev ready, ms", value: middle(devMs), bound: "at most", target: 1500 },
      { says: "help, ms", value: helpMs, bound: "at most", target: 150 },
    ] as const;
    return { facts, checks };
  },
};

const many = 1_000_000;

/** Until the first durable command on one of its entities is answered too. */
async function firstWrite({ gateway, readyMs }: Packaged): Promise<number> {
  const client = connect(app.contract, { url: gateway });
  const began = performance.now();
  await client.entity(Counter, filledKey(many >> 1)).add({ by: 1, memo: "" });
  client.close();
  return readyMs + (performance.now() - began);
}

export const restart: Row = {
  id: "restart",
  title: "one node with 1,000,000 entities of 200 bytes starts again",
  async run({ runs, note }) {
    const folder = join(freshFolder(), "data");
    await (await startPackaged("start", folder)).stop("SIGTERM");
    await fill(folder, many, 200);
    note("filled; the next start replays the journal");
    const replayed = await startPackaged("start", folder);
    await replayed.stop("SIGTERM");
    const again = async (signal: "SIGTERM" | "SIGKILL"): Promise<readonly [serving: number, written: number]> => {
      const node = await startPackaged("start", folder);
      const written = await firstWrite(node);
      await node.stop(signal);
      note(`serving after ${Math.round(node.readyMs)} ms, first write after ${Math.round(written)} ms`);
      return [node.readyMs, written];
    };
    const clean = await times(runs, () => again("SIGTERM"));
    await again("SIGKILL");
    const killed = await times(runs, () => again("SIGKILL"));
    rmSync(folder, { recursive: true });
    const [cleanMs, killedMs] = [clean, killed].map((found) => middle(found.map(([serving]) => serving)));
    const facts = [
      { name: "serving, all of the journal replayed", value: replayed.readyMs, unit: "ms" },
      { name: "serving, after a clean stop", value: cleanMs!, unit: "ms" },
      {
        name: "first command answered, after a clean stop",
        value: middle(clean.map(([, written]) => written)),
        unit: "ms",
      },
      { name: "serving, after kill -9", value: killedMs!, unit: "ms" },
      {
        name: "first command answered, after kill -9",
        value: middle(killed.map(([, written]) => written)),
        unit: "ms",
      },
    ];
    const checks = [
      { says: "serving from the local store, clean stop, ms", value: cleanMs, bound: "at most", target: 3000 },
      { says: "serving from the local store, kill -9, ms", value: killedMs, bound: "at most", target: 3000 },
    ] as const;
    return { facts, checks };
  },
};

const [few, hot] = [1000, 100_000];
const hotProgram = fileURLToPath(new URL("../hot.ts", import.meta.url));

type Held = { readonly resident: number; readonly inUse: number };

export const memory: Row = {
  id: "memory",
  title: "what one node holds",
  async run({ note }) {
    const node = await startPackaged("start", join(freshFolder(), "data"));
    await pause(idleMs);
    const idle = residentBytes([node.pid]) / 2 ** 20;
    await node.stop("SIGTERM");
    note(`idle ${Math.round(idle)} MB`);
    const args = ["--expose-gc", hotProgram, String(few), String(hot)];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    const { before, after } = JSON.parse(stdout) as { readonly before: Held; readonly after: Held };
    const each = (what: keyof Held): number => (after[what] - before[what]) / (hot - few);
    const facts = [
      { name: "idle node", value: idle, unit: "MB" },
      {
        name: "each of 100,000 hot entities with a state of 200 bytes, resident",
        value: each("resident"),
        unit: "bytes",
      },
      { name: "the same, in use by heap and buffers", value: each("inUse"), unit: "bytes" },
    ];
    const checks = [
      { says: "idle node, MB", value: idle, bound: "at most", target: 120 },
      {
        says: "hot entity over its state, resident, bytes",
        value: each("resident") - 200,
        bound: "at most",
        target: 1024,
      },
    ] as const;
    return { facts, checks };
  },
};

// What a process costs: how soon it is there, how soon it is back with many entities, what it holds in memory. All of the
// compiled package.

import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import app, { Counter } from "../../src/cli/bench-app.ts";
import { quantile } from "../../src/cli/bench-rounds.ts";
import { connect } from "../../src/client/index.ts";
import { residentBytes } from "../cost.ts";
import { fill, filledKey } from "../fill.ts";
import { freshFolder } from "../folders.ts";
import { packagedCommand, type Packaged, startPackaged } from "../packaged.ts";
import type { Row } from "../row.ts";

/** A node collects what starting and working left once it has been idle for some seconds. */
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
      { name: "sheaf --help, first time", value: firstMs, unit: "ms" },
      { name: "sheaf --help", value: helpMs, unit: "ms" },
      { name: "node --eval 0", value: nodeMs, unit: "ms" },
      { name: "sheaf dev, serving", value: middle(devMs), unit: "ms" },
    ];
    const checks = [
      { says: "sheaf dev ready, ms", value: middle(devMs), bound: "at most", target: 1500 },
      { says: "sheaf --help, ms", value: helpMs, bound: "at most", target: 150 },
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

export const memory: Row = {
  id: "memory",
  title: "what one node holds",
  async run({ note }) {
    const node = await startPackaged("start", join(freshFolder(), "data"));
    const client = connect(app.contract, { url: node.gateway });
    const held = async (): Promise<number> => {
      await pause(idleMs);
      return residentBytes([node.pid]);
    };
    const idle = await held();
    const [memo, entities] = ["x".repeat(180), 100_000];
    // As much work on few entities first: what work as such leaves is not what entities take.
    const work = async (spread: number): Promise<void> => {
      let n = 0;
      const caller = async (): Promise<void> => {
        while (n < entities) await client.entity(Counter, filledKey(n++ % spread)).add({ by: 1, memo });
      };
      await Promise.all(Array.from({ length: 512 }, caller));
    };
    await work(1000);
    const before = await held();
    await work(entities);
    const after = await held();
    note(`idle ${idle >> 20} MB, after work ${before >> 20} MB, with ${entities} entities ${after >> 20} MB`);
    client.close();
    await node.stop("SIGTERM");
    const perEntity = (after - before) / (entities - 1000) - 200;
    const facts = [
      { name: "idle", value: idle / 2 ** 20, unit: "MB" },
      { name: "idle again after 100,000 commands on 1,000 entities", value: before / 2 ** 20, unit: "MB" },
      { name: "idle again with 100,000 hot entities of 200 bytes", value: after / 2 ** 20, unit: "MB" },
      { name: "each hot entity over its state", value: perEntity, unit: "bytes" },
    ];
    const checks = [
      { says: "idle node, MB", value: idle / 2 ** 20, bound: "at most", target: 120 },
      { says: "hot entity over its state, bytes", value: perEntity, bound: "at most", target: 1024 },
    ] as const;
    return { facts, checks };
  },
};

// A cluster of real processes from one `sheaf start --nodes N`, and callers that never stop and remember what they were told.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Status } from "../admin/index.ts";
import { messageOf, SheafError, shardOf } from "../base/index.ts";
import { connect, type ConnectedClient } from "../client/index.ts";
import app, { Counter } from "./bench-app.ts";
import { clean } from "./cli.fixture.ts";
import { commandFile } from "./release.ts";

/** What `sheaf start --json` says of one of its nodes. */
export type NodeReady = {
  readonly gateway: string;
  readonly admin: string;
  readonly pid: number;
  readonly node: string;
  readonly name: string;
};

type Event = {
  readonly event: string;
  readonly name?: string;
  readonly how?: string;
  readonly restartsInMs?: number | null;
} & Partial<NodeReady>;

/** A test, or whatever else says when it is over. */
type Lasting = { after(fn: () => void): void };

export interface RealCluster {
  readonly child: ChildProcess;
  /** As each was last ready, by name. */
  readonly nodes: ReadonlyMap<string, NodeReady>;
  readonly gateways: readonly string[];
  /** Everything that was said on stderr. */
  err(): string;
  /** The next event from now on that fits. Rejects with what was said when the command ends first. */
  heard(fits: (event: Event) => boolean): Promise<Event>;
  /** As the node of that name, or any that answers, sees it. */
  status(name?: string): Promise<Status>;
  /** The node that owns the shard of a counter's key, once somebody does. */
  ownerOf(key: string): Promise<NodeReady>;
  /** Exit code. */
  stop(): Promise<number | null>;
}

export const benchApp = fileURLToPath(new URL("./bench-app.ts", import.meta.url));

export async function startCluster(
  t: Lasting,
  data: string,
  nodes: number,
  args: readonly string[] = [],
  revive = true,
  appFile = benchApp,
): Promise<RealCluster> {
  const flags = "--create --insecure --port 0 --admin-port 0 --shards 8 --json".split(" ");
  const words = [
    "start",
    appFile,
    "--data",
    data,
    "--nodes",
    String(nodes),
    ...flags,
    ...(revive ? ["--restart"] : []),
    ...args,
  ];
  const child = spawn(process.execPath, [commandFile, ...words], { env: clean, stdio: ["ignore", "pipe", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  const known = new Map<string, NodeReady>();
  const waiting = new Set<{
    fits: (event: Event) => boolean;
    resolve: (e: Event) => void;
    reject: (e: Error) => void;
  }>();
  let err = "";
  child.stderr.on("data", (chunk) => (err += String(chunk)));
  createInterface({ input: child.stdout }).on("line", (line) => {
    const { data: event } = JSON.parse(line) as { data: Event };
    if (event.event === "ready") known.set(event.name ?? "", event as NodeReady);
    for (const one of waiting) {
      if (!one.fits(event)) continue;
      waiting.delete(one);
      one.resolve(event);
    }
  });
  const ended = once(child, "exit") as Promise<[number | null]>;
  void ended.then(([code]) => {
    for (const { reject } of waiting) reject(new Error(`the command ended with ${code}: ${err.slice(-4000)}`));
  });
  const heard = (fits: (event: Event) => boolean): Promise<Event> =>
    new Promise((resolve, reject) => void waiting.add({ fits, resolve, reject }));
  const statusAt = async ({ admin }: NodeReady): Promise<Status> => {
    const authorization = `Bearer ${readFileSync(join(data, "admin.token"), "utf8").trim()}`;
    const answer = await fetch(`${admin}/admin/v1/status`, { headers: { authorization } });
    return (await answer.json()) as Status;
  };
  const cluster: RealCluster = {
    child,
    nodes: known,
    get gateways() {
      return [...known.values()].map(({ gateway }) => gateway);
    },
    err: () => err,
    heard,
    async status(name) {
      for (const node of known.values()) {
        if (name !== undefined && node.name !== name) continue;
        const status = await statusAt(node).catch(() => undefined);
        if (status !== undefined) return status;
      }
      throw new Error("no node tells its status");
    },
    async ownerOf(key) {
      return until(`somebody owns ${key}`, async () => {
        const { shards } = await cluster.status();
        const owner = shards[shardOf(Counter.name, key, shards.length)]?.owner;
        return [...known.values()].find(({ node }) => node === owner);
      });
    },
    async stop() {
      child.kill("SIGTERM");
      return (await ended)[0];
    },
  };
  await heard(({ event }) => event === (nodes === 1 ? "ready" : "cluster-ready"));
  return cluster;
}

/** Asks again and again. Rejects after a minute, with the last error. */
export async function until<T>(what: string, ask: () => Promise<T | undefined>, ms = 60_000): Promise<T> {
  const end = performance.now() + ms;
  let last: unknown;
  for (;;) {
    try {
      const found = await ask();
      if (found !== undefined) return found;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) throw new Error(`gave up waiting until ${what}`, { cause: last });
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export interface Callers {
  readonly client: ConnectedClient<typeof app.contract>;
  /** Calls answered so far. */
  readonly answered: number;
  /** When the calls that failed did, and how. */
  readonly failures: readonly string[];
  /** Resolves when one more call for the key, begun after now, was answered. Milliseconds since now. */
  next(key: string): Promise<number>;
  /** Stops, and compares what is there with what was acknowledged. What is wrong, a line each. */
  verify(): Promise<readonly string[]>;
}

type Told = {
  acknowledged: number;
  unknown: number;
  last: number;
  waiting: { since: number; resolve: (ms: number) => void }[];
};

/** One caller for each key, which adds one after another and looks at the total that it is told, until the test ends. */
export function startCallers(t: Lasting, gateways: readonly string[], keys: readonly string[]): Callers {
  const client = connect(app.contract, { url: gateways });
  const told = new Map(keys.map((key): [string, Told] => [key, { acknowledged: 0, unknown: 0, last: 0, waiting: [] }]));
  const failures: string[] = [];
  const wrong: string[] = [];
  let answered = 0;
  let stopping = false;
  t.after(() => {
    stopping = true;
    client.close();
  });
  const work = async (key: string): Promise<void> => {
    const one = told.get(key)!;
    while (!stopping) {
      const began = performance.now();
      try {
        const { total } = await client.entity(Counter, key).add({ by: 1, memo: "" });
        one.acknowledged++;
        answered++;
        if (total <= one.last || total > one.acknowledged + one.unknown)
          wrong.push(`${key}: the answer was ${total} after ${one.last}, with ${one.acknowledged} acknowledged`);
        one.last = total;
        const now = performance.now();
        for (const { since, resolve } of one.waiting.filter(({ since }) => began >= since)) resolve(now - since);
        one.waiting = one.waiting.filter(({ since }) => began < since);
      } catch (error) {
        if (!(error instanceof SheafError) || error.outcome === "unknown") one.unknown++;
        failures.push(`${key}: ${messageOf(error)}`);
      }
    }
  };
  const works = keys.map(work);
  return {
    client,
    get answered() {
      return answered;
    },
    failures,
    next: (key) => new Promise((resolve) => void told.get(key)!.waiting.push({ since: performance.now(), resolve })),
    async verify() {
      stopping = true;
      await Promise.all(works);
      for (const [key, { acknowledged, unknown }] of told) {
        const { total } = await client.entity(Counter, key).total({ consistency: "strong" });
        if (total < acknowledged) wrong.push(`${key}: ${acknowledged - total} acknowledged additions are lost`);
        if (total > acknowledged + unknown) wrong.push(`${key}: ${total - acknowledged - unknown} additions too many`);
      }
      client.close();
      return wrong;
    },
  };
}

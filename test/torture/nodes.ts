// The nodes that are tortured: real processes, each `sheaf start` in a place of its own, started again when they end.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { clean } from "../../src/cli/cli.fixture.ts";
import { commandFile } from "../../src/cli/release.ts";
import { type Place, tied } from "./private-world.ts";
import { type SetClock, settableClock } from "./settable-clock.ts";
import type { DeadLetter } from "./workload.ts";

/** So many that each node owns some: one of three owns none in one cluster of 17,000. */
export const shards = 24;
/** A start that takes longer hangs. */
const startMs = 120_000;

type Ready = { readonly gateway: string; readonly peer: string };

export interface TorturedNode {
  readonly name: string;
  /** Where callers reach it; the same over restarts. */
  readonly gateway: string;
  /** It runs and serves. */
  readonly isUp: boolean;
  signal(name: NodeJS.Signals): void;
  /** Its wall clock. */
  readonly clock: SetClock;
  /** kill -9, and no new start before `start`. Resolves when it is gone. */
  kill(): Promise<void>;
  /** Stops it in good order. Resolves when it has ended, with its exit code. */
  stop(): Promise<number | null>;
  /** Resolves when it serves. */
  start(): Promise<void>;
}

export interface Nodes {
  readonly all: readonly TorturedNode[];
  /** An API key for callers. */
  readonly key: string;
  /** Ends by themselves: nobody had asked for them. */
  readonly crashes: readonly string[];
  /** What was given up, of the whole cluster. */
  deadLetters(): Promise<readonly DeadLetter[]>;
  end(): Promise<void>;
}

export type NodesOptions = {
  readonly places: readonly Place[];
  /** Of the module that holds the application. */
  readonly app: URL;
  readonly engine: string;
  /** Their data folders are in it. */
  readonly folder: string;
  /** What they say goes there, a file each, and what their clocks are set by. */
  readonly logs: string;
};

export async function startNodes(options: NodesOptions): Promise<Nodes> {
  const crashes: string[] = [];
  const all = options.places.map((place, at) => nodeAt(place, at, options, crashes));
  const [first, ...others] = all as [Started, ...Started[]];
  const { peer } = await first.ready(["--create"]);
  const key = (await first.sheaf("key", "create", "torture")).trim();
  const joining = async (): Promise<string[]> =>
    options.engine.startsWith("sqlite:")
      ? []
      : ["--join", (await first.sheaf("node", "token", "--address", peer)).trim()];
  for (const other of others) await other.ready(await joining());
  return {
    all,
    key,
    crashes,
    async deadLetters() {
      const found: DeadLetter[] = [];
      for (let after: string[] = []; ;) {
        const said = await first.sheaf("dlq", "ls", "--json", "--limit", "1000", ...after);
        const { data, next } = JSON.parse(said) as { data: readonly DeadLetter[]; next: string | null };
        found.push(...data);
        if (next === null) return found;
        after = ["--after", next];
      }
    },
    async end() {
      await Promise.all(all.map((each) => each.stop()));
    },
  };
}

type Started = TorturedNode & {
  ready(flags: readonly string[]): Promise<Ready>;
  /** Runs another command of `sheaf` where the node runs. */
  sheaf(...words: readonly string[]): Promise<string>;
};

function nodeAt(place: Place, at: number, options: NodesOptions, crashes: string[]): Started {
  const name = `node-${at + 1}`;
  const data = join(options.folder, name);
  const log = join(options.logs, `${name}.log`);
  const clock = settableClock(join(options.logs, `${name}.clock`));
  let child: ChildProcess | undefined;
  let isUp = false;
  /** Its end was asked for. */
  let ending = false;
  let known: Ready | undefined;

  const launch = (words: readonly string[]): ChildProcess => {
    const [command = "", ...rest] = [...place.enter, ...tied, process.execPath, ...clock.flags, commandFile, ...words];
    return spawn(command, rest, { env: { ...clean, ...clock.env }, stdio: ["ignore", "pipe", "pipe"] });
  };

  async function ready(flags: readonly string[]): Promise<Ready> {
    const { address } = place;
    const alone = place.enter.length > 0;
    const port = known === undefined ? "0" : new URL(known.gateway).port;
    const peerPort = known === undefined ? "0" : known.peer.slice(known.peer.lastIndexOf(":") + 1);
    mkdirSync(data, { recursive: true });
    const words = `start ${fileURLToPath(options.app)} --json --data ${data} --engine ${options.engine} --name ${name} --shards ${shards}`;
    const where = `--host ${address} --peer-host ${address} --port ${alone ? 4000 : port} --admin-port 0 --peer-port ${alone ? 4100 : peerPort}`;
    const started = launch([...words.split(" "), ...where.split(" "), ...flags]);
    child = started;
    ending = false;
    let said = "";
    started.stderr!.on("data", (chunk) => {
      said = `${said}${String(chunk)}`.slice(-2_000);
      appendFileSync(log, String(chunk));
    });
    started.once("exit", (code, signal) => {
      isUp = false;
      if (ending || child !== started) return;
      crashes.push(`${name} ended with ${signal ?? code}: ${said.trim().split("\n").at(-1)}`);
      void sleep(500).then(() => (ending ? undefined : ready([]).catch(() => undefined)));
    });
    const timer = setTimeout(() => started.kill("SIGKILL"), startMs);
    try {
      for await (const line of createInterface({ input: started.stdout! })) {
        const { data } = JSON.parse(line) as { data: { event: string } & Ready };
        if (data.event !== "ready") continue;
        isUp = true;
        return (known = data);
      }
    } finally {
      clearTimeout(timer);
      started.stdout!.resume();
    }
    throw new Error(`${name} did not start: ${said}`);
  }

  const gone = async (signal: NodeJS.Signals): Promise<number | null> => {
    ending = true;
    const leaving = child;
    if (leaving === undefined || leaving.exitCode !== null || leaving.signalCode !== null) return null;
    const exit = once(leaving, "exit") as Promise<[number | null]>;
    leaving.kill(signal);
    return (await exit)[0];
  };
  return {
    name,
    clock,
    get gateway() {
      return known?.gateway ?? "";
    },
    get isUp() {
      return isUp;
    },
    signal: (given) => void child?.kill(given),
    async kill() {
      await gone("SIGKILL");
    },
    stop: () => gone("SIGTERM"),
    async start() {
      if (child !== undefined && !ending) return;
      await ready([]);
    },
    ready,
    async sheaf(...words) {
      const asked = launch([...words, "--data", data]);
      let out = "";
      let err = "";
      asked.stdout!.on("data", (chunk) => (out += String(chunk)));
      asked.stderr!.on("data", (chunk) => (err += String(chunk)));
      const [code] = (await once(asked, "close")) as [number | null];
      if (code !== 0) throw new Error(`sheaf ${words.join(" ")} ended with ${code}: ${err}`);
      return out;
    },
  };
}

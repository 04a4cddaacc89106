// `sheaf bench`: closed loops through `connect()` from this process against a node in another, each as a ratio to what the
// machine itself can do, measured in the same run. Starts a node of its own beside the data folder, unless --url names one
// that runs the bench app.

import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { SheafError } from "../base/index.ts";
import { connect, type ConnectedClient } from "../client/index.ts";
import app, { Counter, Echo } from "./bench-app.ts";
import { measureLimit } from "./bench-limit.ts";
import { median, Rounds, type Timing } from "./bench-rounds.ts";
import type { Column } from "./output.ts";
import { type Context, parseCount, type Run } from "./context.ts";
import { type RemoteOptions, tokenOf } from "./remote.ts";
import { serverOptions } from "./server-options.ts";
import { superviseServer } from "./supervisor.ts";

type BenchOptions = RemoteOptions & {
  readonly concurrency: string;
  readonly seconds: string;
  readonly runs: string;
  readonly work: string;
  readonly keys: string;
};

export type BenchClient = ConnectedClient<typeof app.contract>;

/** What is done once, and whether the limit it is held against syncs a disk. */
type Work = {
  readonly says: string;
  readonly durable: boolean;
  readonly once: (client: BenchClient, n: number, keys: number) => Promise<unknown>;
};

const memo = "x".repeat(80);
export const works = {
  write: {
    says: "durable command, spread over keys",
    durable: true,
    once: (client, n, keys) => client.entity(Counter, `k${n % keys}`).add({ by: 1, memo }),
  },
  hot: {
    says: "durable command, one key",
    durable: true,
    once: (client) => client.entity(Counter, "hot").add({ by: 1, memo }),
  },
  read: {
    says: "strong query, spread over keys",
    durable: false,
    once: (client, n, keys) => client.entity(Counter, `k${n % keys}`).total({ consistency: "strong" }),
  },
  call: { says: "procedure, 100 bytes", durable: false, once: (client) => client.service(Echo).say({ by: 1, memo }) },
} as const satisfies Readonly<Record<string, Work>>;

type WorkName = keyof typeof works;

type Result = Timing & {
  readonly name: string;
  readonly concurrency: number;
  readonly limit: string;
  readonly limitOpsPerSec: number;
  readonly ratioToLimit: number;
  readonly clientCpuMicrosPerOp: number;
  readonly diskBytesPerOp: number | null;
};

const columns: readonly Column<Result>[] = [
  { title: "work", value: ({ name }) => name },
  { title: "in flight", value: ({ concurrency }) => concurrency, align: "right" },
  { title: "per second", value: ({ opsPerSec }) => Math.round(opsPerSec), align: "right" },
  { title: "p50 ms", value: ({ p50Ms }) => p50Ms.toFixed(2), align: "right" },
  { title: "p99 ms", value: ({ p99Ms }) => p99Ms.toFixed(2), align: "right" },
  { title: "limit", value: ({ limit, limitOpsPerSec }) => `${limit} ${Math.round(limitOpsPerSec)}`, align: "right" },
  { title: "of limit", value: ({ ratioToLimit }) => `${(ratioToLimit * 100).toFixed(0)} %`, align: "right" },
];

export const bench: Run<BenchOptions> = async (context, _args, options) => {
  const chosen = options.work.split(",").map((name) => {
    if (Object.hasOwn(works, name)) return name as WorkName;
    throw new SheafError("USAGE", `there is no work "${name}"`, { hint: `Work: ${Object.keys(works).join(", ")}` });
  });
  const levels = options.concurrency.split(",").map((text) => parseCount(text, "--concurrency", 1, 4096));
  const ms = parseCount(options.seconds, "--seconds", 1, 3600) * 1000;
  const runs = parseCount(options.runs, "--runs", 1, 100);
  const keys = parseCount(options.keys, "--keys", 1, 10_000_000);
  const folder = mkdtempSync(join(dirname(resolve(context.cwd, options.data)), ".sheaf-bench-"));
  try {
    const place = await placeOf(context, options, folder);
    try {
      const results: Result[] = [];
      for (const name of chosen) {
        for (const concurrency of levels) {
          context.output.note(`${name} with ${concurrency} in flight: ${works[name].says}`);
          results.push(await measure(name, { concurrency, ms, runs, keys, folder, place }));
        }
      }
      context.output.list("sheaf.bench/v1", results, {
        columns,
        id: (result) => `${result.name} ${result.concurrency} ${Math.round(result.opsPerSec)}`,
      });
    } finally {
      place.client.close();
      await place.stop();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return 0;
};

type Place = {
  readonly client: BenchClient;
  /** Folder of our own node's data. */ readonly data: string | undefined;
  stop(): Promise<void>;
};

async function placeOf(context: Context, options: BenchOptions, folder: string): Promise<Place> {
  if (options.url !== undefined) {
    const client = connect(app.contract, { url: options.url, token: tokenOf(context, options) });
    return { client, data: undefined, stop: async () => {} };
  }
  const data = join(folder, "data");
  const file = fileURLToPath(new URL("./bench-app.ts", import.meta.url));
  const [asked] = serverOptions(context, "dev", file, { data, host: "127.0.0.1", port: "0", adminPort: "0" });
  const server = superviseServer(asked, true, (news) => {
    if (news.kind === "printed") context.output.note(news.text);
  });
  const { gateway } = await server.ready;
  return { client: connect(app.contract, { url: gateway }), data, stop: () => server.stop() };
}

type Conditions = {
  readonly concurrency: number;
  readonly ms: number;
  readonly runs: number;
  readonly keys: number;
  readonly folder: string;
  readonly place: Place;
};

/** Alternates ours and the limit, so that a machine that slows down meanwhile slows both. */
async function measure(name: WorkName, { concurrency, ms, runs, keys, folder, place }: Conditions): Promise<Result> {
  const work: Work = works[name];
  const ours: Timing[] = [];
  const limits: Timing[] = [];
  let done = 0;
  let cpu = 0;
  const before = bytesIn(place.data);
  for (let run = 0; run < runs; run++) {
    const used = process.cpuUsage();
    const rounds = new Rounds(concurrency, (n) => {
      done++;
      return work.once(place.client, n, keys);
    });
    ours.push(await rounds.run(ms));
    const { user, system } = process.cpuUsage(used);
    cpu += user + system;
    limits.push(await measureLimit(concurrency, Math.min(ms, 2000), work.durable ? folder : undefined));
  }
  const timing = median(ours);
  const limit = median(limits);
  return {
    name,
    concurrency,
    ...timing,
    limit: work.durable ? "append+sync" : "TCP echo",
    limitOpsPerSec: limit.opsPerSec,
    ratioToLimit: timing.opsPerSec / limit.opsPerSec,
    clientCpuMicrosPerOp: cpu / done,
    diskBytesPerOp: place.data === undefined || !work.durable ? null : (bytesIn(place.data) - before) / done,
  };
}

function bytesIn(folder: string | undefined): number {
  if (folder === undefined) return 0;
  let sum = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) sum += statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.size ?? 0;
  }
  return sum;
}

// Clusters of one node to back up and restore: simulated host, memory engine and store, a folder in memory.

import { SheafError } from "../base/index.ts";
import { type Engine, memoryDisk, memoryEngine, type MemoryFate, type MemoryRequest } from "../journal/index.ts";
import { app, entity } from "../model/index.ts";
import { type Node, startNode } from "../node/index.ts";
import type { Call, Reply } from "../rpc/index.ts";
import { memoryStore, type Store } from "../shards/index.ts";
import { memoryDisk as simFolder } from "../sim/disk.ts";
import { seeded } from "../sim/random.ts";
import { type SimHost, simHost } from "../sim/sim-host.ts";
import { z } from "zod";
import type { Folder } from "./index.ts";

const Purse = entity("purse", {
  state: z.object({ n: z.number(), memo: z.string() }),
  commands: {
    add: { input: z.number(), output: z.number() },
    pass: { input: z.object({ to: z.string(), n: z.number() }) },
  },
  queries: { get: { output: z.number() } },
  events: { grown: z.number() },
});
const purses = app("purses", {
  entities: [
    Purse.implement({
      initial: () => ({ n: 0, memo: "" }),
      add: ({ state, input, emit }) => {
        emit("grown", input);
        state.memo = "some text that fills the journal ".repeat(3);
        return (state.n += input);
      },
      async pass({ state, input, call, key }) {
        await call.entity(Purse, key.replace("from", "sent")).add(input.n);
        await call.entity(Purse, input.to).add(input.n);
        state.n -= input.n;
      },
      get: ({ state }) => state.n,
    }),
  ],
});

export const shardCount = 3;

export type Kept = {
  readonly host: SimHost;
  readonly disk: ReturnType<typeof memoryDisk>;
  readonly store: Store;
  readonly node: Node;
  readonly run: <T>(promise: Promise<T>) => Promise<T>;
  readonly send: (key: string, name: string, input?: unknown, extra?: Partial<Call>) => Promise<Reply>;
  readonly ask: (key: string, name: string, input?: unknown, extra?: Partial<Call>) => Promise<Reply>;
};

export type KeptOptions = {
  readonly key?: Uint8Array | undefined;
  readonly disk?: ReturnType<typeof memoryDisk>;
  /** Goes on with the time, the folder and, unless another disk is given, the disk of an earlier one. */
  readonly from?: Kept;
  readonly store?: Store;
  /** So many bytes of journal make a snapshot. */
  readonly snapshotEveryBytes?: number;
};

const folders = new WeakMap<Kept, ReturnType<typeof simFolder>>();

/** A node that serves. */
export async function kept(options: KeptOptions = {}): Promise<Kept> {
  const { from, key, snapshotEveryBytes = 4 * 1024 * 1024 } = options;
  const folder = (from && folders.get(from)) ?? simFolder();
  const host = simHost(from ? { disk: folder, schedule: from.host.schedule } : { disk: folder, random: seeded(7) });
  const disk = options.disk ?? from?.disk ?? memoryDisk();
  const store = options.store ?? memoryStore();
  const run = runOn(host);
  const engine = memoryEngine({ disk, clock: host.clock });
  const limits = { snapshotEveryBytes, saveEveryMs: 50 };
  const node = await run(
    startNode({
      host,
      engine,
      store,
      app: purses,
      cluster: "purses",
      shards: shardCount,
      create: !options.from,
      limits,
      encryptionKey: key,
    }),
  );
  const send: Kept["send"] = (name, command, input, extra) =>
    node.call({
      target: { kind: command === "get" ? "query" : "command", entity: "purse", key: name, name: command },
      input,
      principal: { id: "tester", roles: [] },
      deadline: host.clock.tick() + 60_000,
      ...extra,
    });
  const one: Kept = { host, disk, store, node, run, send, ask: (...args) => run(send(...args)) };
  folders.set(one, folder);
  return one;
}

export const runOn =
  ({ schedule }: SimHost) =>
  async <T>(promise: Promise<T>): Promise<T> => {
    let settled = false;
    const done = (): void => void (settled = true);
    promise.then(done, done);
    await schedule.run({ done: () => settled, until: schedule.now() + 600_000 });
    return settled ? promise : Promise.reject(new Error("nothing is left to happen, and the promise has not settled"));
  };

export const keys = Array.from({ length: 9 }, (_, i) => `p${i}`);
export const secret = Uint8Array.from({ length: 32 }, (_, i) => i * 5);

/** Adds `times` to each of the keys, each time with a name of its own, and waits until all is saved. */
export async function fill({ ask, run, host }: Kept, times: number): Promise<void> {
  for (let n = 0; n < times; n++)
    for (const key of keys) await ask(key, "add", 1, { op: { id: `${key}-${n}`, issuedAt: undefined } });
  await run(new Promise<void>((resolve) => void host.clock.after(200, resolve)));
}

/** Makes the journal grow, and with it snapshots and trims, without more to remember. */
export async function churn({ ask, run, host }: Kept, times: number): Promise<void> {
  for (let n = 0; n < times; n++) {
    for (const key of keys) await ask(key, "add", n % 2 === 0 ? 1 : -1);
    if (n % 5 === 0) await run(new Promise<void>((resolve) => void host.clock.after(100, resolve)));
  }
}

export const engineOn = (
  { disk, host }: Pick<Kept, "disk" | "host">,
  decide?: (request: MemoryRequest) => MemoryFate,
): Engine => memoryEngine({ disk, clock: host.clock, ...(decide && { decide }) });

export type MemoryFolder = Folder & {
  readonly files: Map<string, Uint8Array>;
  /** Acts so far. From `fails` on each rejects, as of a process that was killed. */
  acts: number;
  fails: number;
};

export function memoryFolder(files = new Map<string, Uint8Array>()): MemoryFolder {
  const act = (): void => {
    if (++folder.acts >= folder.fails) throw new Error("killed");
  };
  const need = (name: string): Uint8Array => {
    const found = files.get(name);
    if (!found) throw new SheafError("NOT_FOUND", name);
    return found;
  };
  const folder: MemoryFolder = {
    files,
    acts: 0,
    fails: Number.POSITIVE_INFINITY,
    list: async () => [...files.keys()],
    async append(name, bytes) {
      act();
      files.set(name, Uint8Array.from([...(files.get(name) ?? []), ...bytes]));
    },
    async sync() {
      act();
    },
    async rename(from, to) {
      act();
      files.set(to, need(from));
      files.delete(from);
    },
    async remove(name) {
      act();
      files.delete(name);
    },
    async *read(name) {
      const bytes = need(name);
      for (let at = 0; at < bytes.length; at += 1000) yield bytes.slice(at, at + 1000);
    },
  };
  return folder;
}

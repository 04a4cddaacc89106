// Worlds of one node for this folder's tests: simulated host, memory engine with fates, memory store, virtual time.

import assert from "node:assert/strict";
import { z } from "zod";
import type { Limits, SheafError } from "../base/index.ts";
import type { Post } from "../gateway/index.ts";
import { type Engine, type MemoryFate, type MemoryRequest, memoryDisk, memoryEngine } from "../journal/index.ts";
import { app, type AppShape, entity, service } from "../model/index.ts";
import type { Call, Reply } from "../rpc/index.ts";
import { memoryStore, type Store } from "../shards/index.ts";
import { memoryDisk as simFolder } from "../sim/disk.ts";
import { seeded } from "../sim/random.ts";
import { type SimHost, simHost } from "../sim/sim-host.ts";
import { type Node, startNode } from "./index.ts";

export const Counter = entity("counter", {
  state: z.object({ n: z.number().int() }),
  commands: {
    add: { input: z.number().int(), output: z.number().int() },
    refuse: { errors: { NO: z.object({ n: z.number() }) } },
    explode: {},
    hang: {},
    slow: { input: z.number() },
    relay: { input: z.object({ to: z.string(), n: z.number() }), output: z.number() },
    ping: { input: z.string() },
    bomb: { input: z.string() },
    plant: { input: z.string() },
  },
  queries: { get: { output: z.number(), consistency: "strong" } },
});
export const counter = Counter.implement({
  initial: () => ({ n: 0 }),
  add: ({ state, input }) => (state.n += input),
  refuse: ({ state, fail }) => {
    state.n = 99;
    return fail("NO", { n: 1 });
  },
  explode({ state }) {
    state.n = 99;
    throw new Error("boom");
  },
  hang: async ({ state }) => {
    state.n = 99;
    await new Promise(() => {});
  },
  slow: async ({ state, signal }) => {
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    state.n = 99;
  },
  relay: async ({ call, input, state }) => {
    state.n += 1;
    return call.entity(Counter, input.to).add(input.n);
  },
  ping: async ({ call, input, key }) => call.entity(Counter, input).ping(key),
  bomb: ({ input }) => bomb.explode(input),
  plant: async ({ call, input }) => call.entity(Counter, input).bomb("x"),
  get: ({ state }) => state.n,
});
/** What `bomb` does: a crash of the process is the end of the host between two instructions. */
export const bomb: { explode: (input: string) => void } = { explode: () => {} };
const Echo = service("echo", { procedures: { say: { input: z.string(), output: z.string() } } });
const tests = app("tests", { entities: [counter], services: [Echo.implement({ say: ({ input }) => input })] });

export type Send = (key: string, name: string, input?: unknown, extra?: Partial<Call>) => Promise<Reply>;
export type World = {
  host: SimHost;
  folder: ReturnType<typeof simFolder>;
  node: Node;
  store: Store;
  disk: ReturnType<typeof memoryDisk>;
  send: Send;
  ask: Send;
  run: <T>(promise: Promise<T>) => Promise<T>;
  pass: (ms: number) => Promise<void>;
};

export type WorldOptions = {
  readonly decide?: (request: MemoryRequest) => MemoryFate;
  readonly limits?: Partial<Limits>;
  /** Takes over the world's disk, folder, store and time. */
  readonly from?: World;
  readonly shards?: number;
  readonly seed?: number;
  readonly app?: AppShape;
  readonly store?: Store;
  readonly post?: Post;
  /** Stands before the memory engine. */
  readonly before?: (engine: Engine) => Engine;
};

export async function world(options: WorldOptions = {}): Promise<World> {
  const { from, before = (engine) => engine } = options;
  const folder = from?.folder ?? simFolder();
  const host = simHost(
    from ? { disk: folder, schedule: from.host.schedule } : { disk: folder, random: seeded(options.seed ?? 1) },
  );
  const disk = from?.disk ?? memoryDisk();
  const store = options.store ?? from?.store ?? memoryStore();
  const engine = before(memoryEngine({ disk, clock: host.clock, ...(options.decide && { decide: options.decide }) }));
  const run = async <T>(promise: Promise<T>): Promise<T> => {
    let settled = false;
    const done = (): void => void (settled = true);
    promise.then(done, done);
    await host.schedule.run({ done: () => settled, until: host.schedule.now() + 600_000 });
    return settled ? promise : Promise.reject(new Error("nothing is left to happen, and the promise has not settled"));
  };
  const pass = (ms: number): Promise<void> => run(new Promise<void>((resolve) => void host.clock.after(ms, resolve)));
  const { app: code = tests, limits, shards = 4 } = options;
  const node = await run(
    startNode({ host, engine, store, app: code, cluster: "tests", shards, create: true, limits, post: options.post }),
  );
  const send: Send = (key, name, input, extra) => node.call(callTo(host, key, name, input, extra));
  return { host, folder, node, store, disk, run, pass, send, ask: (...args) => run(send(...args)) };
}

/** A call to the counter entity unless `extra` says otherwise; `get` is a query, all else a command. */
const callTo = (host: SimHost, key: string, name: string, input?: unknown, extra: Partial<Call> = {}): Call => ({
  target: { kind: name === "get" ? "query" : "command", entity: "counter", key, name },
  input,
  principal: { id: "tester", roles: [] },
  deadline: host.clock.tick() + 1000,
  ...extra,
});

export const code = (expected: string, outcome?: string) => (error: SheafError) => {
  assert.equal(error.code, expected, error.stack);
  if (outcome) assert.equal(error.outcome, outcome);
  return true;
};

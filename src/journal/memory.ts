// The memory engine: journals in this process, for simulation and unit tests. Several handles share one disk, as several
// nodes share one database. What real engines were measured to do wrong, it does when told: nothing here rolls dice.

import { invariant, type Millis, never, type Seq, type Shard, SheafError } from "../base/index.ts";
import type { Clock } from "../host/index.ts";
import type { Append, AppendResult, Cluster, Engine, Head, Page, Registry, Restoration, Snapshots } from "./engine.ts";
import { type Inside, type MemoryDisk, memoryDisk } from "./memory-disk.ts";
import { checkRegistryEntry, checkRegistryKey } from "./registry.ts";

/** A request as `decide` sees it. */
export type MemoryRequest =
  | {
      readonly kind: "append";
      readonly shard: Shard;
      readonly epoch: number;
      readonly expected: Seq;
      readonly bytes: number;
    }
  | { readonly kind: "read"; readonly shard: Shard; readonly from: Seq }
  | { readonly kind: "tail" | "barrier"; readonly shards: readonly Shard[] }
  /** Not a request: a hint on its way to one watcher. `fail` loses it. */
  | { readonly kind: "hint"; readonly shards: readonly Shard[] }
  | { readonly kind: "registry"; readonly act: "put" | "renew" | "delete"; readonly key: string }
  | { readonly kind: "registry"; readonly act: "list" | "look" }
  | { readonly kind: "trim"; readonly shard: Shard; readonly through: Seq }
  | { readonly kind: "identify" | "create" | "restore" }
  | { readonly kind: "snapshot"; readonly act: "put" | "get" | "list" | "delete"; readonly shard: Shard };

/** What becomes of a request. `latencyMs` passes before anything happens. Fates other than `ok`, `fail` and `hang` are
 *  for appends only, but for `stale`, which is for reads, tails, and lists and looks of the registry. */
export type MemoryFate = { readonly latencyMs?: Millis } & (
  | { readonly kind: "ok" }
  /** Not done. Appends: unknown. Others reject ENGINE_UNAVAILABLE. */
  | { readonly kind: "fail" }
  /** Done at once, answered only after `ms`: a stuck disk, a lost packet. */
  | { readonly kind: "hang"; readonly ms: Millis }
  /** Stored, answered unknown. */
  | { readonly kind: "lost-ack" }
  /** Answered unknown, arrives at the engine `ms` later: a packet that a broken connection delivers after all. */
  | { readonly kind: "late"; readonly ms: Millis }
  /** Refused with ENGINE_FULL. */
  | { readonly kind: "full" }
  /** Stored, answered fenced: the driver sent it twice and reports the second answer (F5). */
  | { readonly kind: "fenced-own-copy" }
  /** Compares the sequence and not the epoch, as some engines do: a stale owner's pipelined append gets in. */
  | { readonly kind: "unfenced" }
  /** Shows each journal as it was `behind` entries ago, the registry as it was `behind` changes ago. */
  | { readonly kind: "stale"; readonly behind: number }
);

export type MemoryEngineOptions = {
  /** Shared with the other handles; its own when left out. */
  readonly disk?: MemoryDisk | undefined;
  /** Needed when `decide` makes anything take time. */
  readonly clock?: Clock | undefined;
  /** Asked once per request, per shard for appends, when it is made. Everything is ok when left out. */
  readonly decide?: ((request: MemoryRequest) => MemoryFate) | undefined;
};

/** Carries out a request as its fate says. */
type Carry = <T>(asked: MemoryRequest, act: (fate: MemoryFate) => T) => Promise<T>;

const ok: MemoryFate = { kind: "ok" };
const unavailable = (says: string): SheafError => new SheafError("ENGINE_UNAVAILABLE", `memory engine: ${says}`);

/** One node's handle on a disk. */
export function memoryEngine(options: MemoryEngineOptions = {}): Engine {
  const disk = options.disk ?? memoryDisk();
  const { inside } = disk;
  const decide = options.decide ?? (() => ok);
  const pending = new Set<Promise<unknown>>();
  const watches = new Set<() => void>();
  let closed = false;

  const pause = pauseOn(options.clock);

  /** Runs `act` as the fate says; rejects when the disk lost power while the request was under way. */
  const request: Carry = async (asked, act) => {
    if (closed) throw unavailable("closed");
    const life = inside.life();
    const fate = decide(asked);
    const alive = (): void => {
      if (inside.life() !== life) throw unavailable("the connection broke");
    };
    await pause(fate.latencyMs ?? 0);
    alive();
    if (fate.kind === "fail") throw unavailable("the request failed");
    const done = act(fate);
    if (fate.kind !== "hang") return done;
    await pause(fate.ms);
    alive();
    return done;
  };

  const snapshots = snapshotsOf(inside, request);
  /** Each step takes what a request takes. */
  const restore = async (cluster: Cluster, again = false): Promise<Restoration> => {
    const step = async <T>(act: () => Promise<T>): Promise<T> => await request({ kind: "restore" }, act);
    const begun = await step(async () => inside.restore(cluster, again, snapshots.put));
    return {
      load: (shard, generation, entries) => step(() => begun.load(shard, generation, entries)),
      put: begun.put,
      finish: () => step(begun.finish),
      abandon: () => step(begun.abandon),
    };
  };

  const appendOne = async (one: Append): Promise<AppendResult> => {
    const { shard, epoch, expected, record } = one;
    try {
      return await request({ kind: "append", shard, epoch, expected, bytes: record.length }, (fate) =>
        store(inside, pause, one, fate),
      );
    } catch (error) {
      return { kind: "unknown", error };
    }
  };

  return {
    name: "memory",
    maxRecordBytes: disk.maxRecordBytes,
    identify: () => request({ kind: "identify" }, (): Cluster | undefined => inside.identify()),
    create: (cluster) => request({ kind: "create" }, () => inside.create(cluster)),
    restore,
    append(batch) {
      if (closed) return Promise.resolve(batch.map(() => ({ kind: "refused", error: unavailable("closed") })));
      const results = Promise.all(batch.map(appendOne));
      pending.add(results);
      void results.then(() => pending.delete(results));
      return results;
    },
    barrier: (shards) =>
      request({ kind: "barrier", shards }, (): readonly Head[] => shards.map((shard) => inside.head(shard))),
    read: (shard, from, limit) =>
      request({ kind: "read", shard, from }, (fate): Page => inside.read(shard, from, limit, behindOf(fate))),
    tail: (asks, limit) =>
      request({ kind: "tail", shards: asks.map(({ shard }) => shard) }, (fate) =>
        inside.tail(asks, limit, behindOf(fate)),
      ),
    watch(onGrown) {
      const end = watch(inside, decide, pause, onGrown);
      watches.add(end);
      if (closed) end();
      return () => void (end(), watches.delete(end));
    },
    trim: (shard, through) => request({ kind: "trim", shard, through }, () => inside.trim(shard, through)),
    snapshots,
    registry: registryOf(inside, request),
    describe: () =>
      Promise.resolve({ durable: false, entries: disk.entryCount(), maxRecordBytes: disk.maxRecordBytes }),
    async close() {
      closed = true;
      for (const end of watches) end();
      watches.clear();
      await Promise.all(pending);
    },
  };
}

/** Resolves after `ms`: in the next microtask when that is 0, so that no caller sees its answer too early. */
const pauseOn =
  (clock: Clock | undefined) =>
  (ms: Millis): Promise<void> => {
    if (ms <= 0) return Promise.resolve();
    invariant(clock !== undefined, "a memory engine that takes time has a clock");
    return new Promise((resolve) => void clock.after(ms, resolve));
  };

const behindOf = (fate: MemoryFate): number => (fate.kind === "stale" ? fate.behind : 0);

/** Tells one watcher, gathering what grows until the hint arrives. */
function watch(
  inside: Inside,
  decide: (request: MemoryRequest) => MemoryFate,
  pause: (ms: Millis) => Promise<void>,
  onGrown: (shards: readonly Shard[]) => void,
): () => void {
  const grown = new Set<Shard>();
  let ended = false;
  const tell = async (): Promise<void> => {
    const fate = decide({ kind: "hint", shards: [...grown] });
    await pause((fate.latencyMs ?? 0) + (fate.kind === "hang" ? fate.ms : 0));
    const shards = [...grown];
    grown.clear();
    if (!ended && fate.kind !== "fail") onGrown(shards);
  };
  const unwatch = inside.watch((shard) => {
    grown.add(shard);
    if (grown.size === 1) void tell();
  });
  return () => {
    ended = true;
    unwatch();
  };
}

function store(inside: Inside, pause: (ms: Millis) => Promise<void>, one: Append, fate: MemoryFate): AppendResult {
  switch (fate.kind) {
    case "ok":
    case "hang":
      return inside.append(one);
    case "unfenced":
      return inside.append(one, true);
    case "full":
      return { kind: "refused", error: new SheafError("ENGINE_FULL") };
    case "lost-ack":
      inside.append(one);
      return { kind: "unknown", error: unavailable("the answer was lost") };
    case "fenced-own-copy": {
      const result = inside.append(one);
      return result.kind === "durable" ? { kind: "fenced" } : result;
    }
    case "late": {
      const life = inside.life();
      const copy = { ...one, record: one.record.slice() };
      void pause(fate.ms).then(() => inside.life() === life && inside.append(copy));
      return { kind: "unknown", error: unavailable("no answer came") };
    }
    case "fail":
    case "stale":
      throw unavailable("the request failed");
    default:
      return never(fate);
  }
}

function snapshotsOf(inside: Inside, request: Carry): Snapshots {
  return {
    async put(name, chunks) {
      const copies: Uint8Array[] = [];
      for await (const chunk of chunks) copies.push(new Uint8Array(chunk));
      await request({ kind: "snapshot", act: "put", shard: name.shard }, () => inside.putSnapshot(name, copies));
    },
    get: (name) =>
      copies(() => request({ kind: "snapshot", act: "get", shard: name.shard }, () => inside.getSnapshot(name))),
    list: (shard) => request({ kind: "snapshot", act: "list", shard }, () => inside.listSnapshots(shard)),
    delete: (name) =>
      request({ kind: "snapshot", act: "delete", shard: name.shard }, () => inside.deleteSnapshot(name)),
  };
}

async function* copies(chunks: () => Promise<readonly Uint8Array[]>): AsyncGenerator<Uint8Array> {
  for (const chunk of await chunks()) yield new Uint8Array(chunk);
}

function registryOf({ registry }: Inside, request: Carry): Registry {
  const write = async (act: "put" | "renew", key: string, value: Uint8Array): Promise<void> => {
    checkRegistryEntry(key, value);
    const copy = new Uint8Array(value);
    await request({ kind: "registry", act, key }, () => registry()[act](key, copy));
  };
  return {
    put: (key, value) => write("put", key, value),
    renew: (key, value) => write("renew", key, value),
    async delete(key) {
      checkRegistryKey(key);
      await request({ kind: "registry", act: "delete", key }, () => registry().delete(key));
    },
    list: () =>
      request({ kind: "registry", act: "list" }, (fate) => registry().look(undefined, [], behindOf(fate)).told),
    async look(since, keys) {
      keys.forEach(checkRegistryKey);
      return request({ kind: "registry", act: "look" }, (fate) => registry().look(since, keys, behindOf(fate)));
    },
  };
}

// The memory engine: journals in this process, for simulation and unit tests. Several handles share one disk, as several
// nodes share one database. What real engines were measured to do wrong, it does when told: nothing here rolls dice.

import { invariant, type Millis, never, type Seq, type Shard, SheafError } from "../base/index.ts";
import type { Clock } from "../host/index.ts";
import type { Append, AppendResult, Cluster, Engine, Head, Page, Snapshots } from "./engine.ts";
import { type Inside, type MemoryDisk, memoryDisk } from "./memory-disk.ts";

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
  | { readonly kind: "barrier"; readonly shards: readonly Shard[] }
  | { readonly kind: "trim"; readonly shard: Shard; readonly through: Seq }
  | { readonly kind: "identify" | "create" }
  | { readonly kind: "snapshot"; readonly act: "put" | "get" | "list" | "delete"; readonly shard: Shard };

/** What becomes of a request. `latencyMs` passes before anything happens. Fates other than `ok`, `fail` and `hang` are
 *  for appends only, but for `stale`, which is for reads. */
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
  /** Shows the journal as it was `behind` entries ago. */
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
type Ask = <T>(asked: MemoryRequest, act: (fate: MemoryFate) => T) => Promise<T>;

const ok: MemoryFate = { kind: "ok" };
const unavailable = (says: string): SheafError => new SheafError("ENGINE_UNAVAILABLE", `memory engine: ${says}`);

/** One node's handle on a disk. */
export function memoryEngine(options: MemoryEngineOptions = {}): Engine {
  const disk = options.disk ?? memoryDisk();
  const { inside } = disk;
  const decide = options.decide ?? (() => ok);
  const pending = new Set<Promise<unknown>>();
  let closed = false;

  const pause = pauseOn(options.clock);

  /** Runs `act` as the fate says; rejects when the disk lost power while the request was under way. */
  const request: Ask = async (asked, act) => {
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
      request({ kind: "read", shard, from }, (fate): Page =>
        inside.read(shard, from, limit, fate.kind === "stale" ? fate.behind : 0),
      ),
    trim: (shard, through) => request({ kind: "trim", shard, through }, () => inside.trim(shard, through)),
    snapshots: snapshotsOf(inside, request),
    describe: () =>
      Promise.resolve({ durable: false, entries: disk.entryCount(), maxRecordBytes: disk.maxRecordBytes }),
    async close() {
      closed = true;
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

function snapshotsOf(inside: Inside, request: Ask): Snapshots {
  return {
    async put(name, chunks) {
      const copies: Uint8Array[] = [];
      for await (const chunk of chunks) copies.push(new Uint8Array(chunk));
      await request({ kind: "snapshot", act: "put", shard: name.shard }, () => inside.putSnapshot(name, copies));
    },
    async *get(name) {
      const chunks = await request({ kind: "snapshot", act: "get", shard: name.shard }, () => inside.getSnapshot(name));
      for (const chunk of chunks) yield new Uint8Array(chunk);
    },
    list: (shard) => request({ kind: "snapshot", act: "list", shard }, () => inside.listSnapshots(shard)),
    delete: (name) =>
      request({ kind: "snapshot", act: "delete", shard: name.shard }, () => inside.deleteSnapshot(name)),
  };
}

// One node's connection to the engine that all nodes of a world share, with delays and faults in between. The engine
// behind it is the memory engine, which keeps the contract; everything that goes wrong goes wrong on the way.
//
// E1. What was reported durable is in the shared engine.
// E2. Nothing is answered to a node that is dead; what it had sent may still land.
// E3. A request that was answered "unknown" may land after any later request (F5).

import { SheafError, type Millis, type Shard } from "../base/index.ts";
import type { Append, AppendResult, Engine, SnapshotName, Snapshots } from "../journal/index.ts";
import type { Random } from "./random.ts";
import type { Schedule } from "./schedule.ts";
import type { Weather } from "./weather.ts";

export type ConnectionOptions = {
  readonly shared: Engine;
  readonly schedule: Schedule;
  readonly random: Random;
  readonly weather: Weather;
  /** The node's name. */
  readonly name: string;
  readonly alive: () => boolean;
  /** Bits that have flipped, by snapshot; shared by all connections. */
  readonly rot: Map<string, number>;
};

/** Chances per append while the fault is enabled. */
const chance = { lostAck: 0.06, unknown: 0.06, hang: 0.03, hangRead: 0.02 };
const unavailable = (): SheafError => new SheafError("ENGINE_UNAVAILABLE", "the simulated engine cannot be reached");
const lost = (): AppendResult => ({ kind: "unknown", error: unavailable() });

export const snapshotId = (name: SnapshotName): string =>
  `${name.shard}/${name.generation}/${name.epoch}/${name.seq}/${name.hash}`;

/** What becomes of one append on its way. */
type Fate =
  | { readonly kind: "kept"; readonly answer: "true" | "unknown" | "fenced" | "never" }
  | { readonly kind: "dropped"; readonly answer: "unknown" | "never" }
  | { readonly kind: "late"; readonly afterMs: Millis }
  | { readonly kind: "refused" };

function fateOf(options: ConnectionOptions): Fate {
  const { random, weather, name } = options;
  const { enabled, tally } = weather;
  const ambiguous = (fault: "lost-ack" | "unknown" | "hang"): void => {
    tally.injected[fault]++;
    tally.ambiguous++;
  };
  if (weather.cutFromEngine.has(name)) {
    tally.ambiguous++;
    return random.chance(0.8) ? { kind: "dropped", answer: "unknown" } : { kind: "kept", answer: "unknown" };
  }
  if (weather.full) return { kind: "refused" };
  if (enabled.has("lost-ack") && random.chance(chance.lostAck)) {
    ambiguous("lost-ack");
    return { kind: "kept", answer: random.chance(0.7) ? "unknown" : "fenced" };
  }
  if (enabled.has("unknown") && random.chance(chance.unknown)) {
    ambiguous("unknown");
    if (random.chance(0.4)) return { kind: "late", afterMs: random.between(0, random.chance(0.5) ? 5 : 150) };
    return random.chance(0.5) ? { kind: "kept", answer: "unknown" } : { kind: "dropped", answer: "unknown" };
  }
  if (enabled.has("hang") && random.chance(chance.hang)) {
    ambiguous("hang");
    return { kind: random.chance(0.5) ? "kept" : "dropped", answer: "never" };
  }
  return { kind: "kept", answer: "true" };
}

export function connectEngine(options: ConnectionOptions): Engine {
  const { shared, schedule, random, weather, name, alive } = options;
  const labels = { send: `${name}>engine`, answer: `engine>${name}` };
  let closed = false;
  const delay = (): Millis => (0.02 + random.float() * random.float() * 2) * weather.slowness;
  const later = (ms: Millis, label: string, run: () => void): void => void schedule.after(ms, label, run);

  /** Carries a look at the engine there and its answer back, unless the way is cut. */
  const ask = <T>(look: () => Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      if (!alive()) return;
      if (closed) return reject(unavailable());
      const hangs = weather.enabled.has("hang") && random.chance(chance.hangRead);
      if (hangs) weather.tally.injected.hang++;
      const fails = hangs && random.chance(0.5);
      later(delay() + (hangs ? random.between(10, 120) : 0), labels.send, () => {
        if (fails || weather.cutFromEngine.has(name))
          return later(delay(), labels.answer, () => alive() && reject(unavailable()));
        look().then(
          (value) => later(delay(), labels.answer, () => alive() && resolve(value)),
          (error) => later(delay(), labels.answer, () => alive() && reject(error as Error)),
        );
      });
    });

  const append = (batch: readonly Append[]): Promise<readonly AppendResult[]> =>
    new Promise((resolve) => {
      if (!alive()) return;
      const all = (result: () => AppendResult): readonly AppendResult[] => batch.map(result);
      if (closed) return resolve(all(lost));
      weather.tally.appends++;
      schedule.hash.text(name);
      for (const one of batch) {
        schedule.hash.number(one.shard * 4096 + one.expected);
        schedule.hash.bytes(one.record);
      }
      const fate = fateOf(options);
      const answer = (results: readonly AppendResult[]): void =>
        later(delay(), labels.answer, () => alive() && resolve(results));
      later(delay(), labels.send, () => {
        switch (fate.kind) {
          case "refused":
            return answer(all(() => ({ kind: "refused", error: new SheafError("ENGINE_FULL") })));
          case "dropped":
            return fate.answer === "unknown" ? answer(all(lost)) : undefined;
          case "late":
            later(fate.afterMs, "engine:late", () => void shared.append(batch));
            return answer(all(lost));
          case "kept":
            return void shared.append(batch).then((results) => {
              for (const result of results) schedule.hash.text(result.kind);
              const heard = fate.answer;
              if (heard !== "never") answer(results.map((result) => garble(result, heard)));
            });
        }
      });
    });

  return {
    name: shared.name,
    maxRecordBytes: shared.maxRecordBytes,
    identify: () => ask(() => shared.identify()),
    create: (cluster) => ask(() => shared.create(cluster)),
    append,
    barrier: (shards) => ask(() => shared.barrier(shards)),
    read: (shard, from, limit) => ask(() => shared.read(shard, from, limit)),
    trim: (shard, through) => ask(() => shared.trim(shard, through)),
    snapshots: snapshotsOver(options, ask),
    describe: () => ask(() => shared.describe()),
    async close() {
      closed = true;
    },
  };
}

/** What the node hears of a request that was kept or turned down. */
function garble(result: AppendResult, answer: "true" | "unknown" | "fenced"): AppendResult {
  if (answer === "true") return result;
  return answer === "fenced" ? { kind: "fenced" } : lost();
}

/** A snapshot arrives whole after a while, or not at all when its writer dies meanwhile. */
function snapshotsOver(options: ConnectionOptions, ask: <T>(look: () => Promise<T>) => Promise<T>): Snapshots {
  const { shared, rot } = options;
  return {
    async put(name, chunks) {
      const kept: Uint8Array[] = [];
      for await (const chunk of chunks) kept.push(chunk.slice());
      await ask(async () => undefined);
      await ask(async () => undefined);
      await ask(() => shared.snapshots.put(name, kept));
    },
    async *get(name) {
      const chunks = await ask(async () => {
        const kept: Uint8Array[] = [];
        for await (const chunk of shared.snapshots.get(name)) kept.push(chunk);
        return kept;
      });
      const bit = rot.get(snapshotId(name));
      yield* bit === undefined ? chunks : flipped(chunks, bit);
    },
    list: (shard: Shard) => ask(() => shared.snapshots.list(shard)),
    delete: (name) => ask(() => shared.snapshots.delete(name)),
  };
}

/** Copies of the chunks with one bit changed; `bit` counts from the first, modulo their length. */
function flipped(chunks: readonly Uint8Array[], bit: number): Uint8Array[] {
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  let at = (bit >>> 3) % Math.max(1, length);
  return chunks.map((chunk) => {
    const copy = chunk.slice();
    if (at >= 0 && at < copy.length) copy[at] = (copy[at] as number) ^ (1 << (bit & 7));
    at -= chunk.length;
    return copy;
  });
}

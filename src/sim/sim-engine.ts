// One node's connection to the engine that all nodes of a world share, with delays and faults in between. The engine
// behind it is the memory engine, which keeps the contract; everything that goes wrong goes wrong on the way.
//
// E1. What was reported durable is in the shared engine.
// E2. Nothing is answered to a node that is dead; what it had sent may still land.
// E3. A request that was answered "unknown" may land after any later request (F5).

import { SheafError, type Millis, type Shard } from "../base/index.ts";
import {
  checkRegistryEntry,
  checkRegistryKey,
  type Append,
  type AppendResult,
  type Engine,
  type MemoryFate,
  type MemoryRequest,
  type Registry,
  type SnapshotName,
  type Snapshots,
} from "../journal/index.ts";
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
  /** Hands an answer to the node: now, later while it is paused, or never once it is dead. */
  readonly deliver: (act: () => void) => void;
  /** How many shards the cluster has. */
  readonly shards: number;
  /** Bits that have flipped, by snapshot; shared by all connections. */
  readonly rot: Map<string, number>;
};

/** Chances per request while the fault is enabled. */
const chance = { lostAck: 0.06, unknown: 0.06, hang: 0.03, hangRead: 0.02, stale: 0.06 };
/** Chances per hint of growth while any fault is enabled: nobody was promised one. */
const hintChance = { lost: 0.1, late: 0.1, repeated: 0.05, vague: 0.1, false: 0.05 };
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

const delayOf = ({ random, weather }: ConnectionOptions): Millis =>
  (0.02 + random.float() * random.float() * 2) * weather.slowness;

export function connectEngine(options: ConnectionOptions): Engine {
  const { shared, schedule, random, weather, name, alive, deliver } = options;
  const labels = { send: `${name}>engine`, answer: `engine>${name}` };
  const watches = new Set<() => void>();
  let closed = false;
  /** Appends on their way to the engine: it stores them in the moment in which they arrive. */
  let underWay = 0;
  let onLanded: (() => void) | undefined;
  let landed: Promise<void> | undefined;
  const delay = (): Millis => delayOf(options);
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
          return later(delay(), labels.answer, () => deliver(() => reject(unavailable())));
        look().then(
          (value) => later(delay(), labels.answer, () => deliver(() => resolve(value))),
          (error) => later(delay(), labels.answer, () => deliver(() => reject(error as Error))),
        );
      });
    });

  const append = (batch: readonly Append[]): Promise<readonly AppendResult[]> =>
    new Promise((resolve) => {
      if (!alive()) return;
      const all = (result: () => AppendResult): readonly AppendResult[] => batch.map(result);
      if (closed) return resolve(all(() => ({ kind: "refused", error: unavailable() })));
      weather.tally.appends++;
      schedule.hash.text(name);
      for (const one of batch) {
        schedule.hash.number(one.shard * 4096 + one.expected);
        schedule.hash.bytes(one.record);
      }
      const fate = fateOf(options);
      const answer = (results: readonly AppendResult[]): void =>
        later(delay(), labels.answer, () => deliver(() => resolve(results)));
      underWay++;
      later(delay(), labels.send, () => {
        if (--underWay === 0) onLanded?.();
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
    restore: (cluster, again) => ask(() => shared.restore(cluster, again)),
    append,
    barrier: (shards) => ask(() => shared.barrier(shards)),
    read: (shard, from, limit) => ask(() => shared.read(shard, from, limit)),
    tail: (asks, limit) => ask(() => shared.tail(asks, limit)),
    watch: (onGrown) => {
      const end = closed ? () => {} : hintsOver(options, onGrown);
      watches.add(end);
      return () => void (end(), watches.delete(end));
    },
    trim: (shard, through) => ask(() => shared.trim(shard, through)),
    snapshots: snapshotsOver(options, ask),
    registry: registryOver(options, ask),
    describe: () => ask(() => shared.describe()),
    async close() {
      closed = true;
      for (const end of watches) end();
      watches.clear();
      landed ??= underWay === 0 ? Promise.resolve() : new Promise((resolve) => (onLanded = resolve));
      await landed;
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
    get: (name) =>
      found(
        () =>
          ask(async () => {
            const kept: Uint8Array[] = [];
            for await (const chunk of shared.snapshots.get(name)) kept.push(chunk);
            return kept;
          }),
        () => rot.get(snapshotId(name)),
      ),
    list: (shard: Shard) => ask(() => shared.snapshots.list(shard)),
    delete: (name) => ask(() => shared.snapshots.delete(name)),
  };
}

async function* found(
  look: () => Promise<readonly Uint8Array[]>,
  rot: () => number | undefined,
): AsyncGenerator<Uint8Array> {
  const chunks = await look();
  const bit = rot();
  yield* bit === undefined ? chunks : flipped(chunks, bit);
}

/** What the shared engine does with requests for which an old answer is allowed: some are answered as things were a little
 *  ago. And it takes what the world appends for a replaced owner, comparing sequences alone. */
export const staleness =
  (weather: Weather, random: Random) =>
  (request: MemoryRequest): MemoryFate => {
    if (weather.haunted && request.kind === "append") return { kind: "unfenced" };
    const { kind } = request;
    const shows = kind === "registry" && (request.act === "list" || request.act === "look");
    const mayBeOld = kind === "tail" || kind === "read" || shows;
    if (!mayBeOld || !weather.enabled.has("stale") || !random.chance(chance.stale)) return { kind: "ok" };
    weather.tally.injected.stale++;
    return { kind: "stale", behind: 1 + random.below(5) };
  };

/** Hints of growth arrive after a while; in bad weather late, twice, for any shard, for one that did not grow, or not. */
function hintsOver(options: ConnectionOptions, onGrown: (shards: readonly Shard[] | undefined) => void): () => void {
  const { shared, schedule, random, weather, name, alive, deliver } = options;
  let ended = false;
  const tell = (shards: readonly Shard[] | undefined, ms: Millis): void =>
    void schedule.after(ms, `engine>${name}`, () => {
      if (!ended && !weather.cutFromEngine.has(name)) deliver(() => !ended && onGrown(shards));
    });
  const unwatch = shared.watch((shards) => {
    if (!alive()) return end();
    if (weather.enabled.size === 0) return tell(shards, delayOf(options));
    if (random.chance(hintChance.lost)) return;
    const told = random.chance(hintChance.vague) ? undefined : shards;
    tell(told, delayOf(options) + (random.chance(hintChance.late) ? random.between(5, 200) : 0));
    if (random.chance(hintChance.repeated)) tell(told, delayOf(options) + random.between(0, 50));
    if (random.chance(hintChance.false)) tell([random.below(options.shards)], delayOf(options));
  });
  function end(): void {
    ended = true;
    unwatch();
  }
  return end;
}

/** What a member says reaches the registry, or the member hears that it did not though at times it did. */
function registryOver(
  { shared, weather, random }: ConnectionOptions,
  ask: <T>(look: () => Promise<T>) => Promise<T>,
): Registry {
  const change = (act: () => Promise<void>): Promise<void> =>
    ask(async () => {
      if (weather.registryAway) throw unavailable();
      const lostAck = weather.enabled.has("lost-ack") && random.chance(chance.lostAck);
      if (lostAck) weather.tally.injected["lost-ack"]++;
      await act();
      if (lostAck) throw unavailable();
    });
  // As a real engine: what is refused is refused before it is sent, and the caller's array is its own again at once.
  const write = async (act: "put" | "renew", key: string, value: Uint8Array): Promise<void> => {
    checkRegistryEntry(key, value);
    const copy = value.slice();
    await change(() => shared.registry[act](key, copy));
  };
  const look = <T>(act: () => Promise<T>): Promise<T> =>
    ask(async () => {
      if (weather.registryAway) throw unavailable();
      return act();
    });
  return {
    put: (key, value) => write("put", key, value),
    renew: (key, value) => write("renew", key, value),
    async delete(key) {
      checkRegistryKey(key);
      await change(() => shared.registry.delete(key));
    },
    list: () => look(() => shared.registry.list()),
    look: (since, keys) => look(() => shared.registry.look(since, keys)),
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

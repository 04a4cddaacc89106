// One simulated machine: a folder and a local store that last, and the node that runs on it now, if any.
//
// X1. A node that crashed gets no answer and no timer any more, and every call it had accepted ends as CALL_LOST.
// X2. What a machine keeps across a crash is its notes and its local store; across a power loss only what was synced.

import { type Limits, type Millis, type Shard, SheafError } from "../base/index.ts";
import type { Engine } from "../journal/index.ts";
import type { AppShape } from "../model/index.ts";
import { type AskedApart, type Meeting, type Node, startNode } from "../node/index.ts";
import { memoryDisk, type SimDisk } from "./disk.ts";
import type { Network } from "./network.ts";
import type { Random } from "./random.ts";
import type { Schedule } from "./schedule.ts";
import { connectEngine } from "./sim-engine.ts";
import { type LogLine, type SimHost, simHost } from "./sim-host.ts";
import { type SimStore, simStore } from "./sim-store.ts";
import type { Weather } from "./weather.ts";

/** What all machines of a world share. */
export type Ground = {
  readonly schedule: Schedule;
  readonly random: Random;
  readonly weather: Weather;
  /** The memory engine behind all connections. */
  readonly shared: Engine;
  readonly rot: Map<string, number>;
  readonly app: AppShape;
  readonly each?: ((name: string) => Setup) | undefined;
  readonly shards: number;
  readonly apart?: readonly AskedApart[] | undefined;
  readonly limits: Partial<Limits>;
  readonly mutants: ReadonlySet<string>;
  readonly encryptionKey: Uint8Array | undefined;
  /** Nodes find and follow each other by themselves over this; absent where the world says who claims what. */
  readonly network: Network | undefined;
  /** Nodes speak to the shared engine at once and without faults. */
  readonly direct: boolean;
  readonly onLog: (line: LogLine) => void;
  /** Something happened that no fault explains. */
  readonly onProblem: (says: string) => void;
};

/** What is a machine's own; the world's application and everything of it when absent. */
export type Setup = {
  readonly app?: AppShape;
  readonly zone?: string;
  readonly roles?: readonly string[];
};

export type MachineState =
  | { readonly kind: "down" }
  | { readonly kind: "starting"; readonly host: SimHost; readonly ready: Promise<Node> }
  | { readonly kind: "up"; readonly host: SimHost; readonly node: Node };

export interface Machine {
  readonly name: string;
  readonly disk: SimDisk;
  readonly store: SimStore;
  state(): MachineState;
  /** Starts a node that claims these shards (all when absent). Does nothing unless down. Rejects when the start fails. */
  start(claim?: readonly Shard[]): Promise<void>;
  /** Kills the node between two events. */
  crash(): void;
  /** Stops the node in good order. */
  stop(): Promise<void>;
  /** Runs `onDeath` if this run of the node ends before the returned function is called. */
  watch(onDeath: () => void): () => void;
}

export function createMachine(ground: Ground, name: string): Machine {
  const disk = memoryDisk();
  const store = simStore();
  const watchers = new Set<() => void>();
  let state: MachineState = { kind: "down" };
  let runs = 0;
  /** Ends this run's connections. */
  let unlisten: (() => void) | undefined;

  const meeting = ({ alive, deliver }: SimHost): Meeting | undefined => {
    const { network } = ground;
    if (!network) return undefined;
    const station = { name, alive, deliver };
    const { zone, roles } = ground.each?.(name) ?? {};
    return {
      name,
      zone,
      roles,
      address: name,
      dial: network.dialer(station),
      listen: (accept) => (unlisten = network.listen(station, accept)),
    };
  };

  const boot = async (host: SimHost, claim: readonly Shard[] | undefined): Promise<Node> => {
    const engine = ground.direct
      ? keptOpen(ground.shared)
      : connectEngine({ ...ground, name, alive: host.alive, deliver: host.deliver, random: ground.random.fork(name) });
    return startNode({
      host,
      engine,
      store: store.open(host.alive),
      app: ground.each?.(name).app ?? ground.app,
      cluster: "simulation",
      shards: ground.shards,
      apart: ground.apart,
      create: true,
      encryptionKey: ground.encryptionKey,
      limits: ground.limits,
      id: `${name}-${runs}`,
      claim,
      meeting: meeting(host),
    });
  };

  const start = async (claim?: readonly Shard[]): Promise<void> => {
    if (state.kind === "starting") return void (await state.ready);
    if (state.kind === "up") return;
    runs++;
    const host = simHost({
      schedule: ground.schedule,
      random: ground.random.fork(`${name}/${runs}`),
      disk,
      name,
      mutants: ground.mutants,
      onLog: ground.onLog,
    });
    const ready = boot(host, claim);
    const starting: MachineState = { kind: "starting", host, ready };
    state = starting;
    const died = new Promise<never>((_, reject) => {
      watchers.add(() => reject(new SheafError("UNREACHABLE", `${name} died while it started`)));
    });
    died.catch(() => undefined);
    try {
      const node = await Promise.race([ready, died]);
      if (state === starting) state = { kind: "up", host, node };
    } catch (error) {
      if (state === starting) {
        host.kill();
        unlisten?.();
        state = { kind: "down" };
      }
      throw error;
    }
  };

  const end = (): void => {
    if (state.kind === "down") return;
    state.host.kill();
    unlisten?.();
    unlisten = undefined;
    state = { kind: "down" };
    const ended = [...watchers];
    watchers.clear();
    for (const onDeath of ended) onDeath();
  };

  return {
    name,
    disk,
    store,
    state: () => state,
    start,
    crash: end,
    async stop() {
      if (state.kind !== "up") return end();
      const stopping = state;
      await stopping.node.stop(stopDeadlineMs);
      if (state === stopping) end();
    },
    watch(onDeath) {
      watchers.add(onDeath);
      return () => watchers.delete(onDeath);
    },
  };
}

const stopDeadlineMs: Millis = 200;

/** The shared engine under a handle whose closing closes nothing. */
const keptOpen = (shared: Engine): Engine => ({
  name: shared.name,
  maxRecordBytes: shared.maxRecordBytes,
  identify: () => shared.identify(),
  create: (cluster) => shared.create(cluster),
  restore: (cluster, again) => shared.restore(cluster, again),
  append: (batch) => shared.append(batch),
  barrier: (shards) => shared.barrier(shards),
  read: (shard, from, limit) => shared.read(shard, from, limit),
  tail: (asks, limit) => shared.tail(asks, limit),
  watch: (onGrown) => shared.watch(onGrown),
  trim: (shard, through) => shared.trim(shard, through),
  snapshots: shared.snapshots,
  registry: shared.registry,
  describe: () => shared.describe(),
  close: async () => undefined,
});

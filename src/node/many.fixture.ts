// Clusters of many whole nodes in simulation, without faults of their own, with every message between the nodes and every
// question to the engine counted. For the bench of control-plane traffic, and for tests of how soon a loss is noticed.

import { defaultLimits, SheafError } from "../base/index.ts";
import { defaultTiming, Watch } from "../cluster/index.ts";
import { memberNamed } from "../cluster/world.fixture.ts";
import type { AppShape } from "../model/index.ts";
import { type Engine, memoryEngine, type Registry } from "../journal/index.ts";
import type { Pipe } from "../rpc/index.ts";
import { memoryStore } from "../shards/index.ts";
import { createDriver } from "../sim/drive.ts";
import { createNetwork, type Network, type Station, wayOf } from "../sim/network.ts";
import { seeded } from "../sim/random.ts";
import { createSchedule } from "../sim/schedule.ts";
import { type SimHost, simHost } from "../sim/sim-host.ts";
import { newWeather } from "../sim/weather.ts";
import { type Node, startNode } from "./index.ts";
import { Peers } from "./peers.ts";
import { Roll } from "./roll.ts";

/** `members`: bytes that the engine's registry answered with: who is there. */
export type Counts = { messages: number; bytes: number; asked: number; members: number };

/** The network, with what goes over it counted. */
function counting(network: Network, counts: Counts): Network {
  const counted = (pipe: Pipe): Pipe => ({
    ...pipe,
    send(message) {
      counts.messages++;
      counts.bytes += message.length;
      pipe.send(message);
    },
  });
  return {
    dialer: (from) => {
      const dial = network.dialer(from);
      return (address, end) => dial(address, { ...end, opened: (pipe) => end.opened(counted(pipe)) });
    },
    listen: (station, accept) => network.listen(station, (pipe) => accept(counted(pipe))),
  };
}

/** The shared engine, with what it is asked counted; closing it closes nothing. Nothing reaches it while it is `away`. */
function asked(shared: Engine, counts: Counts, away: () => boolean): Engine {
  const unavailable = (): SheafError => new SheafError("ENGINE_UNAVAILABLE");
  const counted = <A extends readonly unknown[], R>(ask: (...args: A) => Promise<R>): ((...args: A) => Promise<R>) => {
    return (...args) => {
      counts.asked++;
      return away() ? Promise.reject(unavailable()) : ask(...args);
    };
  };
  const { registry } = shared;
  return {
    ...shared,
    append: (batch) =>
      away()
        ? Promise.resolve(batch.map(() => ({ kind: "unknown", error: unavailable() })))
        : counted(() => shared.append(batch))(),
    barrier: counted((of) => shared.barrier(of)),
    tail: counted((asks, limit) => shared.tail(asks, limit)),
    registry: {
      ...registry,
      put: counted((key, value) => registry.put(key, value)),
      renew: counted((key, value) => registry.renew(key, value)),
      look: counted(async (since, keys) => {
        const look = await registry.look(since, keys);
        for (const shown of [look.told, look.found])
          for (const record of shown.values()) counts.members += record.length;
        return look;
      }),
    },
    close: async () => {},
  };
}

export type One = {
  readonly name: string;
  readonly host: SimHost;
  readonly node: Node;
  /** Ends the process, as kill -9 does: its connections break, and its address refuses. */
  kill(): void;
};

export type Extra = { readonly name: string; readonly host: SimHost; kill(): void };

type ExtraOptions = {
  readonly host: SimHost;
  readonly name: string;
  readonly station: Station;
  readonly network: Network;
  readonly registry: Registry;
  /** Names of the whole nodes, and of all. */
  readonly whole: readonly string[];
  readonly ids: readonly string[];
  readonly cluster: string;
};

/** A member that beats, answers whole nodes, and asks them as seldom as one of so many nodes does. */
function startExtra({ host, name, station, network, registry, whole, ids, cluster }: ExtraOptions): Extra {
  const member = memberNamed(name, { peer: name, entities: false });
  const roll = new Roll(registry, name);
  const watch = new Watch(name, defaultTiming);
  watch.among(ids);
  const peers = new Peers({
    host,
    limits: defaultLimits,
    dial: network.dialer(station),
    cluster,
    self: name,
    beatMs: defaultTiming.beatMs,
    calls: { call: () => Promise.resolve({ output: undefined }) },
    changed: () => {},
    heard: () => {},
  });
  const end = network.listen(station, (pipe) => peers.accept(pipe));
  peers.want(whole.map((id) => ({ id, peer: id })));
  const beat = (ticks: number): void => {
    peers.rest((node) => watch.restMs(node, host.clock.tick()));
    if (ticks % 2 === 0) void roll.tell(member, []);
    host.clock.after(defaultTiming.beatMs, () => beat(ticks + 1));
  };
  beat(0);
  return { name, host, kill: () => (host.kill(), end()) };
}

export type Many = {
  readonly nodes: readonly One[];
  /** So far, of all nodes. */
  readonly counts: Counts;
  now(): number;
  /** Nothing that one sends arrives at another. */
  cut(from: One, to: One): void;
  /** Nothing that one asks reaches the engine. */
  cutOff(one: One): void;
  start(name: string): Promise<One>;
  readonly crowd: readonly Extra[];
  /** One more of those. */
  extra(name: string): Extra;
  sleep(ms: number): Promise<void>;
};

/** Runs `play` once so many nodes have started. `extras` more are members whose other halves are left out: what they say in the
 *  registry, their connections with the whole nodes, and which of those they watch. They host nothing, are connected to no other
 *  extra, and what they send is not counted: a cluster of a thousand whole nodes has a million connections. */
export function among<T>(
  app: AppShape,
  nodes: number,
  shards: number,
  play: (many: Many) => Promise<T>,
  extras = 0,
): Promise<T> {
  const random = seeded(nodes);
  const schedule = createSchedule(random.fork("schedule"));
  const weather = newWeather([]);
  const counts: Counts = { messages: 0, bytes: 0, asked: 0, members: 0 };
  const uncounted = createNetwork({ schedule, random: random.fork("network"), weather });
  const network = counting(uncounted, counts);
  const shared = memoryEngine();
  const away = new Set<string>();
  const driver = createDriver({ schedule, strict: false, jumps: true, patienceMs: 120_000 });
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => void schedule.after(ms, "sleep", resolve));
  const start = async (name: string): Promise<One> => {
    const host = simHost({ schedule, random: random.fork(name), name, onLog: () => {} });
    const station: Station = { name, alive: host.alive, deliver: host.deliver };
    const ends: (() => void)[] = [];
    const node = await startNode({
      host,
      engine: asked(shared, counts, () => away.has(name)),
      store: memoryStore(),
      app,
      cluster: "many",
      shards,
      create: true,
      id: name,
      meeting: {
        name,
        address: name,
        dial: network.dialer(station),
        listen(accept) {
          const end = network.listen(station, accept);
          ends.push(end);
          return end;
        },
      },
    });
    const kill = (): void => {
      host.kill();
      for (const end of ends) end();
    };
    return { name, host, node, kill };
  };
  const run = async (): Promise<T> => {
    const first = await start("node-1");
    const whole = Array.from({ length: nodes }, (_, n) => `node-${n + 1}`);
    const ids = [...whole, ...Array.from({ length: extras }, (_, n) => `extra-${n + 1}`)];
    const extra = (name: string): Extra => {
      const host = simHost({ schedule, random: random.fork(name), name, onLog: () => {} });
      const station: Station = { name, alive: host.alive, deliver: host.deliver };
      return startExtra({
        host,
        name,
        station,
        network: uncounted,
        registry: shared.registry,
        whole,
        ids,
        cluster: first.node.cluster.id,
      });
    };
    const crowd = ids.slice(nodes).map(extra);
    const others = await Promise.all(whole.slice(1).map(start));
    const cut = (from: One, to: One): void => void weather.cutBetween.add(wayOf(from.name, to.name));
    const cutOff = ({ name }: One): void => void away.add(name);
    return play({
      nodes: [first, ...others],
      crowd,
      extra,
      counts,
      now: () => schedule.now(),
      sleep,
      cut,
      cutOff,
      start,
    });
  };
  return driver.drive(run());
}

/** What each whole node of an idle cluster sends and asks in a second. */
export async function idle({ nodes, counts, sleep }: Many): Promise<Counts> {
  await sleep(3000);
  const before = { ...counts };
  await sleep(3000);
  const each = (what: keyof Counts): number => (counts[what] - before[what]) / nodes.length / 3;
  return { messages: each("messages"), bytes: each("bytes"), asked: each("asked"), members: each("members") };
}

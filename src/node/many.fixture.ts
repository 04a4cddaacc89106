// Clusters of many whole nodes in simulation, without faults of their own, with every message between the nodes and every
// question to the engine counted. For the bench of control-plane traffic, and for tests of how soon a loss is noticed.

import type { AppShape } from "../model/index.ts";
import { type Engine, memoryEngine } from "../journal/index.ts";
import type { Pipe } from "../rpc/index.ts";
import { memoryStore } from "../shards/index.ts";
import { createDriver } from "../sim/drive.ts";
import { createNetwork, type Network, type Station, wayOf } from "../sim/network.ts";
import { seeded } from "../sim/random.ts";
import { createSchedule } from "../sim/schedule.ts";
import { type SimHost, simHost } from "../sim/sim-host.ts";
import { newWeather } from "../sim/weather.ts";
import { type Node, startNode } from "./index.ts";

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

/** The shared engine, with what it is asked counted; closing it closes nothing. */
function asked(shared: Engine, counts: Counts): Engine {
  const counted = <A extends readonly unknown[], R>(ask: (...args: A) => R): ((...args: A) => R) => {
    return (...args) => {
      counts.asked++;
      return ask(...args);
    };
  };
  const { registry } = shared;
  return {
    ...shared,
    append: counted((batch) => shared.append(batch)),
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

export type Many = {
  readonly nodes: readonly One[];
  /** So far, of all nodes. */
  readonly counts: Counts;
  now(): number;
  /** Nothing that one sends arrives at another. */
  cut(from: One, to: One): void;
  sleep(ms: number): Promise<void>;
};

/** Runs `play` once so many nodes have started. */
export function among<T>(app: AppShape, nodes: number, shards: number, play: (many: Many) => Promise<T>): Promise<T> {
  const random = seeded(nodes);
  const schedule = createSchedule(random.fork("schedule"));
  const weather = newWeather([]);
  const counts: Counts = { messages: 0, bytes: 0, asked: 0, members: 0 };
  const network = counting(createNetwork({ schedule, random: random.fork("network"), weather }), counts);
  const shared = memoryEngine();
  const driver = createDriver({ schedule, strict: false, jumps: true, patienceMs: 120_000 });
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => void schedule.after(ms, "sleep", resolve));
  const start = async (name: string): Promise<One> => {
    const host = simHost({ schedule, random: random.fork(name), name, onLog: () => {} });
    const station: Station = { name, alive: host.alive, deliver: host.deliver };
    const ends: (() => void)[] = [];
    const node = await startNode({
      host,
      engine: asked(shared, counts),
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
    const others = await Promise.all(Array.from({ length: nodes - 1 }, (_, n) => start(`node-${n + 2}`)));
    const cut = (from: One, to: One): void => void weather.cutBetween.add(wayOf(from.name, to.name));
    return play({ nodes: [first, ...others], counts, now: () => schedule.now(), sleep, cut });
  };
  return driver.drive(run());
}

// What nodes of an idle cluster tell each other and ask of the engine, for clusters of many sizes: whole nodes in simulation, so
// that a hundred fit in one process, with every message between them counted.

import benchApp from "../../src/cli/bench-app.ts";
import { type Engine, memoryEngine } from "../../src/journal/index.ts";
import { type Node, startNode } from "../../src/node/index.ts";
import type { Pipe } from "../../src/rpc/index.ts";
import { memoryStore } from "../../src/shards/index.ts";
import { createDriver } from "../../src/sim/drive.ts";
import { createNetwork, type Network, type Station } from "../../src/sim/network.ts";
import { seeded } from "../../src/sim/random.ts";
import { createSchedule } from "../../src/sim/schedule.ts";
import { simHost } from "../../src/sim/sim-host.ts";
import { newWeather } from "../../src/sim/weather.ts";
import type { Check, Fact } from "../outcome.ts";
import type { Row } from "../row.ts";

const sizes = [3, 10, 30, 100];
const shards = 64;
const settleMs = 3000;
const countedMs = 3000;

/** `members`: bytes that the engine's registry answered with: who is there. */
type Counts = { messages: number; bytes: number; asked: number; members: number };

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
      list: counted(async () => {
        const all = await registry.list();
        for (const record of all.values()) counts.members += record.length;
        return all;
      }),
    },
    close: async () => {},
  };
}

/** What each node of an idle cluster sends and asks in a second. */
async function perNode(nodes: number): Promise<Counts> {
  const random = seeded(nodes);
  const schedule = createSchedule(random.fork("schedule"));
  const weather = newWeather([]);
  const counts: Counts = { messages: 0, bytes: 0, asked: 0, members: 0 };
  const network = counting(createNetwork({ schedule, random: random.fork("network"), weather }), counts);
  const shared = memoryEngine();
  const driver = createDriver({ schedule, strict: false, jumps: true, patienceMs: 120_000 });
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => void schedule.after(ms, "sleep", resolve));
  const start = (name: string): Promise<Node> => {
    const host = simHost({ schedule, random: random.fork(name), name, onLog: () => {} });
    const station: Station = { name, alive: host.alive, deliver: host.deliver };
    return startNode({
      host,
      engine: asked(shared, counts),
      store: memoryStore(),
      app: benchApp,
      cluster: "bench",
      shards,
      create: true,
      id: name,
      meeting: {
        name,
        address: name,
        dial: network.dialer(station),
        listen: (accept) => network.listen(station, accept),
      },
    });
  };
  const run = async (): Promise<Counts> => {
    await start("node-1");
    await Promise.all(Array.from({ length: nodes - 1 }, (_, n) => start(`node-${n + 2}`)));
    await sleep(settleMs);
    const before = { ...counts };
    await sleep(countedMs);
    const each = (what: keyof Counts): number => (counts[what] - before[what]) / nodes / (countedMs / 1000);
    return { messages: each("messages"), bytes: each("bytes"), asked: each("asked"), members: each("members") };
  };
  return driver.drive(run());
}

export const traffic: Row = {
  id: "traffic",
  title: `what each node of an idle cluster with ${shards} shards tells the others and asks of the engine, in simulation`,
  async run({ note }) {
    const [facts, found]: [Fact[], Counts[]] = [[], []];
    for (const nodes of sizes) {
      const counts = await perNode(nodes);
      note(`${nodes} nodes: ${Math.round(counts.messages)} messages/s, ${Math.round(counts.bytes)} bytes/s each`);
      found.push(counts);
      facts.push(
        { name: `${nodes} nodes, messages to other nodes`, value: counts.messages, unit: "/s" },
        { name: `${nodes} nodes, bytes to other nodes`, value: counts.bytes, unit: "bytes/s" },
        { name: `${nodes} nodes, questions to the engine`, value: counts.asked, unit: "/s" },
        { name: `${nodes} nodes, what it answers of who is there`, value: counts.members, unit: "bytes/s" },
      );
    }
    const [first, last] = [found[0]!, found.at(-1)!];
    const growth = (what: keyof Counts, says: string): Check => ({
      says: `${says}, ${sizes.at(-1)} nodes ÷ ${sizes[0]}`,
      value: last[what] / first[what],
      bound: "at most",
      target: 1.2,
    });
    const checks = [
      growth("bytes", "bytes to other nodes"),
      growth("asked", "questions to the engine"),
      growth("members", "bytes from the engine on who is there"),
    ];
    return { facts, checks, notes: ["Headers of TCP and TLS, some 60 bytes for each message, come on top."] };
  },
};

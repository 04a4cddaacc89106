// Connections between nodes on a simulated network: how many there are, what goes over them, and what shows that they are broken.

import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultLimits, SheafError, type Tick } from "../base/index.ts";
import type { PeerState, Pipe, PipeEnd, Reply } from "../rpc/index.ts";
import { createNetwork, type Network, type Station, wayOf } from "../sim/network.ts";
import { type Random, seeded } from "../sim/random.ts";
import { createSchedule, type Schedule } from "../sim/schedule.ts";
import { simHost } from "../sim/sim-host.ts";
import { newWeather, type Weather } from "../sim/weather.ts";
import { pack, readMessage } from "../wire/index.ts";
import { Peers } from "./peers.ts";

const beatMs = 150;

/** Open connections, each `dialler>other`, and all that ever were. */
type Connections = { readonly open: string[]; made: number };

type Side = {
  readonly peers: Peers;
  readonly states: [node: string, state: PeerState, at: Tick][];
  readonly heardAt: Map<string, Tick>;
  call(to: string, ms?: number): Promise<Reply>;
  answer: (from: string) => Promise<Reply>;
  kill(): void;
  pause(): void;
  resume(): void;
};

/** As a node of the release before says HELLO: it knows of no calls that come back. */
function older(pipe: Pipe): Pipe {
  return {
    ...pipe,
    send(message) {
      const [first] = readMessage(message, { maxBytes: 1e6, maxDepth: 64 });
      pipe.send(first?.[0] === 1 ? Uint8Array.from(pack([first.slice(0, 7)])) : message);
    },
  };
}

class Net {
  readonly connections: Connections = { open: [], made: 0 };
  readonly schedule: Schedule;
  readonly weather: Weather = newWeather([]);
  readonly random: Random;
  readonly #network: Network;

  constructor(seed: number) {
    this.random = seeded(seed);
    this.schedule = createSchedule(this.random.fork("schedule"));
    this.#network = createNetwork({
      schedule: this.schedule,
      random: this.random.fork("network"),
      weather: this.weather,
    });
  }

  pass(ms: number): Promise<unknown> {
    return this.schedule.run({ until: this.schedule.now() + ms });
  }

  cut(from: string, to: string): void {
    this.weather.cutBetween.add(wayOf(from, to));
  }

  node(name: string, isOlder = false): Side {
    const host = simHost({ schedule: this.schedule, random: this.random.fork(name), name });
    const station: Station = { name, alive: host.alive, deliver: host.deliver };
    const dial = this.#network.dialer(station);
    const states: Side["states"] = [];
    const heardAt = new Map<string, Tick>();
    const peers = new Peers({
      host,
      limits: defaultLimits,
      dial: (address, end) =>
        dial(address, {
          ...end,
          opened: (pipe) => this.#counted(wayOf(name, address), end.opened(isOlder ? older(pipe) : pipe)),
        }),
      cluster: "c",
      self: name,
      beatMs,
      calls: { call: ({ principal }) => side.answer(principal.id) },
      changed: (node, state) => void states.push([node, state, this.schedule.now()]),
      heard: (node) => void heardAt.set(node, this.schedule.now()),
    });
    const unlisten = this.#network.listen(station, (pipe) => peers.accept(pipe));
    const side: Side = {
      peers,
      states,
      heardAt,
      answer: (from) => Promise.resolve({ output: `${name} to ${from}` }),
      call(to, ms = 10_000) {
        const peer = peers.get(to);
        if (!peer) return Promise.reject(new SheafError("UNREACHABLE"));
        return peer.call({
          target: { kind: "command", entity: "account", key: "a", name: "deposit" },
          input: 1,
          principal: { id: name, roles: [] },
          deadline: host.clock.tick() + ms,
        });
      },
      kill() {
        host.kill();
        unlisten();
      },
      pause: host.pause,
      resume: host.resume,
    };
    return side;
  }

  #counted(way: string, end: PipeEnd): PipeEnd {
    this.connections.open.push(way);
    this.connections.made++;
    return {
      message: (bytes) => end.message(bytes),
      drained: () => end.drained(),
      closed: (why) => {
        this.connections.open.splice(this.connections.open.indexOf(way), 1);
        end.closed(why);
      },
    };
  }
}

const members = (...names: string[]): { id: string; peer: string }[] => names.map((id) => ({ id, peer: id }));

async function outcomeOf(net: Net, call: Promise<Reply>): Promise<unknown> {
  let got: unknown;
  call.then(
    ({ output }) => (got = output),
    (error: SheafError) => (got = `${error.code} ${error.outcome}`),
  );
  await net.pass(50);
  return got;
}

/** Two nodes that know each other since `apartMs` one after the other. */
async function pair({ seed = 1, first = "a", apartMs = 0, olderNodes = [] as string[] } = {}) {
  const net = new Net(seed);
  const nodes = { a: net.node("a", olderNodes.includes("a")), b: net.node("b", olderNodes.includes("b")) };
  const names = first === "a" ? (["a", "b"] as const) : (["b", "a"] as const);
  nodes[names[0]].peers.want(members("a", "b"));
  await net.pass(apartMs);
  nodes[names[1]].peers.want(members("a", "b"));
  await net.pass(100);
  return { net, ...nodes };
}

test("peers: two nodes keep one connection, the one that the lower id has dialled, whoever dials first; both call over it (N1)", async () => {
  for (const first of ["a", "b"])
    for (const apartMs of [0, 1, 2, 5, 500])
      for (let seed = 1; seed <= 5; seed++) {
        const { net, a, b } = await pair({ seed, first, apartMs });
        assert.deepEqual(net.connections.open, ["a>b"], `${first} first, ${apartMs} ms apart, seed ${seed}`);
        assert.deepEqual([await outcomeOf(net, a.call("b")), await outcomeOf(net, b.call("a"))], ["b to a", "a to b"]);
        await net.pass(10_000);
        assert.deepEqual([net.connections.open, a.states.length, b.states.length], [["a>b"], 1, 1]);
        assert.ok(
          net.schedule.now() - a.heardAt.get("b")! < beatMs && net.schedule.now() - b.heardAt.get("a")! < beatMs,
        );
      }
});

test("peers: what is under way on a connection that a better one replaces is answered, and then it ends", async () => {
  const net = new Net(1);
  const [a, b] = [net.node("a"), net.node("b")];
  let answer: (reply: Reply) => void = () => {};
  a.answer = () => new Promise((resolve) => void (answer = resolve));
  b.peers.want(members("a", "b"));
  await net.pass(100);
  const call = b.call("a");
  await net.pass(100);
  a.peers.want(members("a", "b"));
  await net.pass(500);
  assert.deepEqual(net.connections.open, ["b>a", "a>b"]);
  answer({ output: "late" });
  assert.equal(await outcomeOf(net, call), "late");
  assert.deepEqual(net.connections.open, ["a>b"]);
});

test("peers: with a node of the release before there are two connections, one for the calls of each side", async () => {
  for (const olderNodes of [["a"], ["a", "b"]]) {
    const { net, a, b } = await pair({ olderNodes });
    await net.pass(1_000);
    assert.deepEqual(net.connections.open.toSorted(), ["a>b", "b>a"]);
    assert.deepEqual([await outcomeOf(net, a.call("b")), await outcomeOf(net, b.call("a"))], ["b to a", "a to b"]);
    assert.deepEqual([a.states.map(([, state]) => state), b.states.map(([, state]) => state)], [["up"], ["up"]]);
  }
});

test("peers: a node whose process dies is known to be gone at once, whichever of the two had dialled", async () => {
  for (const [dies, stays] of [
    ["a", "b"],
    ["b", "a"],
  ] as const) {
    const { net, ...nodes } = await pair();
    const lost = outcomeOf(net, nodes[stays].call(dies));
    nodes[dies].answer = () => new Promise(() => {});
    const at = net.schedule.now();
    nodes[dies].kill();
    assert.ok(["CALL_LOST unknown", "UNREACHABLE not-applied"].includes(String(await lost)));
    const [, state, when] = nodes[stays].states.at(-1)!;
    assert.equal(state, "refused");
    assert.ok(when - at < 20, `after ${when - at} ms`);
  }
});

test("peers: a connection that carries nothing one way is given up by both nodes, and made anew when it can be", async () => {
  for (const [from, to] of [
    ["a", "b"],
    ["b", "a"],
  ] as const) {
    const { net, a, b } = await pair();
    net.cut(from, to);
    const at = net.schedule.now();
    await net.pass(8 * beatMs);
    for (const { states } of [a, b]) {
      const silent = states.find(([, state]) => state === "silent");
      assert.ok(silent && silent[2] - at <= 6 * beatMs, JSON.stringify(states));
    }
    net.weather.cutBetween.clear();
    await net.pass(2_000);
    assert.deepEqual(net.connections.open, ["a>b"]);
    assert.deepEqual([await outcomeOf(net, a.call("b")), await outcomeOf(net, b.call("a"))], ["b to a", "a to b"]);
  }
});

test("peers: a node that closes answers what it was sent over a connection on which it asks nothing any more", async () => {
  for (const closes of ["a", "b"] as const) {
    const { net, ...nodes } = await pair();
    const stays = closes === "a" ? "b" : "a";
    let answer: (reply: Reply) => void = () => {};
    nodes[closes].answer = () => new Promise((resolve) => void (answer = resolve));
    const call = nodes[stays].call(closes);
    await net.pass(20);
    const closed = nodes[closes].peers.close(1_000);
    await net.pass(100);
    answer({ output: "the last" });
    assert.equal(await outcomeOf(net, call), "the last");
    await closed;
    assert.equal(nodes[stays].states.findIndex(([, state]) => state !== "up") > 0, true);
  }
});

test("peers: whatever happens to the ways between nodes, every call ends once, and one connection for each pair is left (N1)", async () => {
  for (let seed = 1; seed <= 30; seed++) {
    const net = new Net(seed);
    const dice = net.random.fork("faults");
    const names = ["a", "b", "c"];
    const nodes = new Map(names.map((name) => [name, net.node(name)]));
    for (const name of seed % 2 === 0 ? names : names.toReversed()) {
      nodes.get(name)!.peers.want(members(...names));
      await net.pass(dice.below(20));
    }
    let [made, ended] = [0, 0];
    for (let step = 0; step < 60; step++) {
      const from = dice.pick(names);
      const to = dice.pick(names.filter((name) => name !== from));
      const fate = dice.below(6);
      if (fate === 0) net.cut(from, to);
      if (fate === 1) net.weather.cutBetween.clear();
      if (fate === 2) {
        nodes.get(from)!.pause();
        await net.pass(dice.below(1_500));
        nodes.get(from)!.resume();
      }
      if (fate > 2) {
        made++;
        const over = (): void => void ended++;
        nodes.get(from)!.call(to, 2_000).then(over, over);
      }
      await net.pass(dice.below(400));
    }
    net.weather.cutBetween.clear();
    await net.pass(4_000);
    assert.deepEqual(net.connections.open.toSorted(), ["a>b", "a>c", "b>c"], `seed ${seed}`);
    assert.equal(ended, made);
    for (const from of names)
      for (const to of names.filter((name) => name !== from))
        assert.equal(await outcomeOf(net, nodes.get(from)!.call(to)), `${to} to ${from}`, `seed ${seed}`);
  }
});

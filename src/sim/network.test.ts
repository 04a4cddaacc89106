// Guarantees of the simulated network between nodes, and of a node that is paused.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pipe, PipeEnd } from "../rpc/index.ts";
import { createNetwork, type Station, wayOf } from "./network.ts";
import { seeded } from "./random.ts";
import { createSchedule } from "./schedule.ts";
import { simHost, type SimHost } from "./sim-host.ts";
import { newWeather } from "./weather.ts";

type Node = { readonly host: SimHost; readonly station: Station; readonly heard: string[]; pipe: Pipe | undefined };

/** Two nodes of which `a` has dialed `b`; both note what they hear. */
function pair(seed = 1) {
  const random = seeded(seed);
  const schedule = createSchedule(random.fork("schedule"));
  const weather = newWeather([]);
  const network = createNetwork({ schedule, random: random.fork("network"), weather });
  const node = (name: string): Node => {
    const host = simHost({ schedule, random: random.fork(name), name });
    return { host, station: { name, alive: host.alive, deliver: host.deliver }, heard: [], pipe: undefined };
  };
  const [a, b] = [node("a"), node("b")];
  const at = (of: Node, pipe: Pipe): PipeEnd => {
    of.pipe = pipe;
    return {
      message: (bytes) => void of.heard.push(String(bytes[0])),
      drained: () => {},
      closed: (why) => void of.heard.push(why),
    };
  };
  const unlisten = network.listen(b.station, (pipe) => at(b, pipe));
  network.dialer(a.station)("b", {
    opened: (pipe) => at(a, pipe),
    failed: (why, refused) => void a.heard.push(`${why}${refused ? " (refused)" : ""}`),
  });
  const pass = (ms: number): Promise<unknown> => schedule.run({ until: schedule.now() + ms });
  return { a, b, weather, pass, unlisten, network };
}

test("network: messages of one connection arrive in order, whatever the delays", async () => {
  const { a, b, pass, weather } = pair();
  await pass(10);
  weather.lagBetween.set(wayOf("a", "b"), 30);
  for (let n = 0; n < 50; n++) a.pipe?.send(Uint8Array.of(n));
  await pass(200);
  assert.deepEqual(
    b.heard,
    Array.from({ length: 50 }, (_, n) => String(n)),
  );
});

test("network: a way that is cut one way carries nothing that way until it is mended, and all the other way", async () => {
  const { a, b, pass, weather } = pair();
  await pass(10);
  weather.cutBetween.add(wayOf("a", "b"));
  a.pipe?.send(Uint8Array.of(1));
  b.pipe?.send(Uint8Array.of(2));
  await pass(50);
  assert.deepEqual([a.heard, b.heard], [["2"], []]);
  weather.cutBetween.clear();
  await pass(50);
  assert.deepEqual(b.heard, ["1"]);
});

test("network: who dies is hung up on, and refuses new connections", async () => {
  const { a, b, pass, network, unlisten } = pair();
  await pass(10);
  b.host.kill();
  unlisten();
  await pass(10);
  assert.deepEqual(a.heard, ["the other side died"]);
  network.dialer(a.station)("b", {
    opened: () => assert.fail("nobody is there"),
    failed: (why, refused) => void a.heard.push(`${why} ${String(refused)}`),
  });
  await pass(10);
  assert.deepEqual(a.heard.slice(1), ["nothing listens there true"]);
});

test("network: a paused node is connected to and hears nothing; when it goes on it hears everything, in order", async () => {
  const { a, b, pass } = pair();
  b.host.pause();
  await pass(10);
  assert.ok(a.pipe !== undefined, "its machine accepts");
  for (let n = 0; n < 3; n++) a.pipe?.send(Uint8Array.of(n));
  await pass(100);
  assert.deepEqual(b.heard, []);
  b.host.resume();
  await pass(10);
  assert.deepEqual(b.heard, ["0", "1", "2"]);
});

test("pause: timers wait while both clocks go on; one that is cancelled meanwhile never fires", async () => {
  const { a, pass } = pair();
  await pass(10);
  const { clock } = a.host;
  const [wall, tick] = [clock.now(), clock.tick()];
  const fired: string[] = [];
  const late = clock.after(8, () => fired.push("late"));
  clock.after(5, () => {
    fired.push(`at ${clock.tick() - tick}`);
    late.cancel();
  });
  a.host.pause();
  await pass(100);
  assert.deepEqual(fired, []);
  assert.deepEqual([clock.now() - wall, clock.tick() - tick], [100, 100]);
  a.host.resume();
  await pass(1);
  assert.deepEqual(fired, ["at 100"]);
});

test("pause: a node that dies while it is paused hears nothing of what waited", async () => {
  const { a, b, pass } = pair();
  await pass(10);
  b.host.pause();
  a.pipe?.send(Uint8Array.of(1));
  await pass(10);
  b.host.kill();
  b.host.resume();
  await pass(10);
  assert.deepEqual(b.heard, []);
});

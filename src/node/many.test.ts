// What a node tells the others, and how soon a loss is noticed, in clusters of several sizes.

import assert from "node:assert/strict";
import { test } from "node:test";
import benchApp from "../cli/bench-app.ts";
import { defaultTiming, neighboursOf } from "../cluster/index.ts";
import { among, type Counts, idle, type Many, type One } from "./many.fixture.ts";

const shards = 32;

/** Which node serves each shard, as these say of themselves. */
async function owners(nodes: readonly One[]): Promise<(string | undefined)[]> {
  const found = Array.from({ length: shards }, (): string | undefined => undefined);
  for (const { node } of nodes)
    for (const { shard, owner } of (await node.local.status()).shards) if (owner === node.id) found[shard] = owner;
  return found;
}

/** Milliseconds until the others serve all that a node had which is lost now. What the others had stays where it is. */
async function takenOverAfter({ nodes, now, sleep }: Many, lose: (victim: One) => void): Promise<number> {
  await sleep(6000);
  const before = await owners(nodes);
  assert.ok(before.every((owner) => owner !== undefined));
  const victim = nodes.find(({ node }) => node.id === before[0]) as One;
  const lostAt = now();
  lose(victim);
  const others = nodes.filter((one) => one !== victim);
  for (;;) {
    await sleep(20);
    const after = await owners(others);
    assert.ok(now() - lostAt < 5000, "the shards are not served");
    if (after.includes(undefined)) continue;
    const spent = now() - lostAt;
    await sleep(2000);
    const moved = (await owners(others)).flatMap((owner, shard) => (owner === before[shard] ? [] : [before[shard]]));
    assert.deepEqual([...new Set(moved)], [victim.node.id]);
    return spent;
  }
}

/** What each whole node sends and asks in a second, while nothing happens. */
const eachOf = (count: number, extras = 0): Promise<Counts> => among(benchApp, count, shards, idle, extras);

test("many nodes: what each tells the others, asks of the engine and is told of them does not grow with their number", async () => {
  const [ten, forty] = [await eachOf(10), await eachOf(40)];
  assert.ok(ten.messages < 90, `each of 10 nodes sends ${ten.messages} messages in a second`);
  for (const what of ["messages", "bytes", "asked", "members"] as const)
    assert.ok(forty[what] < 1.2 * ten[what], `${what} in a second: ${forty[what]} of each of 40, ${ten[what]} of 10`);
});

test("many nodes: of a thousand, a node says and is told in a second what one of ten is", async () => {
  const [ten, thousand] = [await eachOf(3, 7), await eachOf(3, 997)];
  for (const what of ["messages", "bytes", "asked", "members"] as const)
    assert.ok(thousand[what] < 1.2 * ten[what], `${what} in a second: ${thousand[what]} of 1,000, ${ten[what]} of 10`);
});

test("many nodes: what a loss makes all say and read grows with their number, not with its square", async (t) => {
  // Each asks those that it does not watch once in two beats for each node: of 36 once meanwhile, of 12 three times.
  const span = 2 * defaultTiming.beatMs * 36;
  const all = (count: number, lose: (victim: One) => void): Promise<Counts> =>
    among(benchApp, count, shards, async ({ nodes, counts, sleep }) => {
      await sleep(6000);
      const quiet = { ...counts };
      await sleep(span);
      const before = { ...counts };
      lose(nodes[count >> 1] as One);
      await sleep(span);
      // Than those that are left said before.
      const left = (count - 1) / count;
      const more = (what: keyof Counts): number => counts[what] - before[what] - (before[what] - quiet[what]) * left;
      return { messages: more("messages"), bytes: more("bytes"), asked: more("asked"), members: more("members") };
    });
  const kill = (victim: One): void => victim.kill();
  const pause = (victim: One): void => victim.host.pause();
  const killed = await all(36, kill);
  assert.ok(killed.bytes <= 0, `all see for themselves who was killed, and say ${killed.bytes} bytes of it`);
  const [few, many] = [await all(12, pause), await all(36, pause)];
  t.diagnostic(JSON.stringify({ killed, few, many }));
  assert.ok(
    many.bytes < 1.5 * 3 * few.bytes,
    `36 nodes say ${many.bytes} bytes of one that is frozen, 12 ${few.bytes}`,
  );
  // The record of the lost one, at each look: some hundred bytes.
  const looks = span / defaultTiming.beatMs;
  for (const { members } of [killed, many])
    assert.ok(members / 36 / looks < 120, `each reads ${members / 36 / looks} bytes more at each look`);
});

for (const count of [3, 10, 50]) {
  test(`many nodes: of ${count}, a killed one's shards are served within 300 ms, and nothing else moves`, async (t) => {
    const spent = await among(benchApp, count, shards, (many) => takenOverAfter(many, (victim) => victim.kill()));
    t.diagnostic(`${Math.round(spent)} ms`);
    assert.ok(spent <= 300, `${spent} ms`);
  });

  test(`many nodes: of ${count}, a frozen one's shards are served within 1.6 s, and nothing else moves`, async (t) => {
    const spent = await among(benchApp, count, shards, (many) => takenOverAfter(many, (victim) => victim.host.pause()));
    t.diagnostic(`${Math.round(spent)} ms`);
    assert.ok(spent <= 1600, `${spent} ms`);
  });
}

for (const isOneWay of [false, true]) {
  const how = isOneWay ? "one way" : "both ways";
  test(`many nodes: of 12, five cut off from seven ${how} stand aside within 5 s, and then nothing moves`, () =>
    among(benchApp, 12, shards, async ({ nodes, sleep, cut }) => {
      await sleep(6000);
      const [few, many] = [nodes.slice(0, 5), nodes.slice(5)];
      for (const one of few)
        for (const other of many) {
          cut(one, other);
          if (!isOneWay) cut(other, one);
        }
      await sleep(5000);
      const held = await owners(many);
      assert.ok(held.every((owner) => owner !== undefined));
      for (let i = 0; i < 5; i++) {
        await sleep(1000);
        assert.deepEqual(
          await owners(few),
          held.map(() => undefined),
        );
        assert.deepEqual(await owners(many), held);
      }
    }));
}

test("many nodes: of 12, two that do not hear each other are noticed though nobody calls, and one of them stands aside", () =>
  among(benchApp, 12, shards, async ({ nodes, sleep, cut }) => {
    await sleep(6000);
    const [one, other] = [nodes[0], nodes[6]] as [One, One];
    for (const each of [one, other]) assert.ok((await owners([each])).includes(each.node.id));
    cut(one, other);
    await sleep(10_000);
    const aside = await Promise.all(
      [one, other].map(async (each) => (await owners([each])).every((owner) => owner === undefined)),
    );
    assert.deepEqual(aside.filter(Boolean).length, 1);
    assert.ok((await owners(nodes)).every((owner) => owner !== undefined));
  }));

test("many nodes: of 12, one that freezes together with all that watch it is noticed, and all is served within 4 s", () =>
  among(benchApp, 12, shards, async ({ nodes, now, sleep }) => {
    await sleep(6000);
    const ids = nodes.map(({ node }) => node.id);
    const watched = nodes[0]!.node.id;
    const watchers = neighboursOf(watched, ids);
    const [lost, left] = [true, false].map((isLost) =>
      nodes.filter(({ node }) => isLost === (node.id === watched || watchers.has(node.id))),
    ) as [One[], One[]];
    assert.equal(lost.length, 5);
    const lostAt = now();
    for (const one of lost) one.host.pause();
    while ((await owners(left)).includes(undefined)) {
      assert.ok(now() - lostAt < 4000, "the shards are not served");
      await sleep(20);
    }
  }));

test("many nodes: of 12, one that is cut off from the engine is set aside by all within 4 s, and what it had is served", () =>
  among(benchApp, 12, shards, async ({ nodes, now, sleep, cutOff }) => {
    await sleep(6000);
    const before = await owners(nodes);
    const victim = nodes.find(({ node }) => node.id === before[0]) as One;
    const others = nodes.filter((one) => one !== victim);
    const lostAt = now();
    cutOff(victim);
    while ((await owners(others)).includes(undefined)) {
      assert.ok(now() - lostAt < 4000, "the shards are not served");
      await sleep(20);
    }
  }));

test("many nodes: of 30, all know within a second who joins, and who leaves", () =>
  among(benchApp, 30, shards, async ({ nodes, now, sleep, start }) => {
    await sleep(3000);
    const allSee = async (alive: number): Promise<void> => {
      const from = now();
      const sees = ({ node, host }: One): boolean => {
        node.measure();
        return host.metric("sheaf_nodes", { standing: "alive" }) === alive;
      };
      while (!nodes.every(sees)) {
        assert.ok(now() - from <= 1000, `not all see ${alive} nodes`);
        await sleep(20);
      }
    };
    await allSee(30);
    const late = await start("late");
    await allSee(31);
    await late.node.stop();
    await allSee(30);
  }));

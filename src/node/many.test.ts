// What a node tells the others, and how soon a loss is noticed, in clusters of several sizes.

import assert from "node:assert/strict";
import { test } from "node:test";
import benchApp from "../cli/bench-app.ts";
import { among, type Many, type One } from "./many.fixture.ts";

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

test("many nodes: what each tells the others does not grow with their number", async () => {
  const told = (count: number): Promise<number> =>
    among(benchApp, count, shards, async ({ counts, sleep }) => {
      await sleep(3000);
      const before = counts.messages;
      await sleep(3000);
      return (counts.messages - before) / count / 3;
    });
  const [ten, forty] = [await told(10), await told(40)];
  assert.ok(ten < 90, `each of 10 nodes sends ${ten} messages in a second`);
  assert.ok(forty < 1.2 * ten, `each of 40 nodes sends ${forty} messages in a second, each of 10 sends ${ten}`);
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

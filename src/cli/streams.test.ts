// Readers of a topic at three real processes, while events are published without a pause: an owner is killed, one stands still, and the
// node that the reader is at is killed. Nothing is missed or turned round, and nothing comes twice.

import assert from "node:assert/strict";
import { once } from "node:events";
import process from "node:process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { connect } from "../client/index.ts";
import { folder } from "./cli.fixture.ts";
import { startCluster, until } from "./cluster.fixture.ts";
import app, { Posts } from "./streams-app.fixture.ts";

const appFile = fileURLToPath(new URL("./streams-app.fixture.ts", import.meta.url));

test("streams of three processes: a reader gets each event once and in order, whichever node dies or stands still", async (t) => {
  const cluster = await startCluster(t, folder(t), 3, [], false, appFile);
  const names = [...cluster.nodes.keys()];
  const [first, second, third] = names.map((name) => cluster.nodes.get(name)!);
  const publisher = connect(app.contract, { url: cluster.gateways });
  // It begins at the first, and knows of all.
  const reader = connect(app.contract, { url: first!.gateway });
  const roamer = connect(app.contract, { url: cluster.gateways });
  t.after(() => [publisher, reader, roamer].forEach((client) => client.close()));
  const told = new Map<string, number>();
  let stopping = false;
  const publishing = Array.from({ length: 8 }, async (_, index) => {
    const to = `k${index}`;
    for (let n = 1; !stopping; n++) {
      // Under one key until it is there: a publisher that does not know sends again.
      const options = { idempotencyKey: `${to}.${n}` };
      await until(`${to}.${n} is published`, () =>
        publisher
          .topic(Posts)
          .publish({ to, n }, options)
          .then(() => true),
      );
      told.set(to, n);
      await sleep(5);
    }
  });
  const got = { reader: new Map<string, number[]>(), roamer: new Map<string, number[]>() };
  const over = new AbortController();
  const follow = async (whose: keyof typeof got, client: typeof reader): Promise<void> => {
    for await (const { value } of client.topic(Posts).events({ signal: over.signal }))
      got[whose].set(value.to, [...(got[whose].get(value.to) ?? []), value.n]);
  };
  const following = [follow("reader", reader), follow("roamer", roamer)];
  const caughtUp = (whose: keyof typeof got): Promise<true> => {
    const goal = new Map(told);
    return until(
      `the ${whose} has all`,
      async () => [...goal].every(([to, n]) => (got[whose].get(to)?.at(-1) ?? 0) >= n) || undefined,
    );
  };
  await until("all have begun", async () => told.size === 8 || undefined);
  await caughtUp("reader");
  process.kill(second!.pid, "SIGSTOP");
  await sleep(2_000);
  process.kill(second!.pid, "SIGKILL");
  await caughtUp("reader");
  await caughtUp("roamer");
  process.kill(first!.pid, "SIGKILL");
  await sleep(500);
  await caughtUp("roamer");
  stopping = true;
  await Promise.all(publishing);
  await caughtUp("roamer");
  over.abort();
  await Promise.all(following);
  assert.ok(third);
  for (const [to, last] of told)
    assert.deepEqual(
      got.roamer.get(to),
      Array.from({ length: last }, (_, i) => i + 1),
      to,
    );
  // What the first has shown of each key is whole as far as it goes.
  for (const all of got.reader.values())
    assert.deepEqual(
      all,
      Array.from({ length: all.length }, (_, i) => i + 1),
    );
  cluster.child.kill("SIGKILL");
  await once(cluster.child, "exit");
});

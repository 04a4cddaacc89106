import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { after, before, test } from "node:test";
import type { Engine } from "../../journal/index.ts";
import { tcpProxy, type TcpProxy, type Way } from "../tcp-proxy.fixture.ts";
import { natsEngine } from "./engine.ts";
import { appendOf, checkKept, sample, textOf, wholeJournal, writer } from "./journals.fixture.ts";
import { natsBed, natsCluster, type NatsCluster, until, withoutNats } from "./nats-cluster.fixture.ts";

let cluster: NatsCluster;
let proxy: TcpProxy;
before(async () => {
  if (withoutNats) return;
  cluster = await natsCluster();
  const [host = "", port = ""] = (cluster.addresses[0] as string).split(":");
  proxy = await tcpProxy({ host, port: Number(port) });
});
after(async () => {
  await proxy?.close();
  await cluster?.end();
});

/** `through` reaches the servers by the proxy alone, `beside` by none. */
const doubtTest = (name: string, run: (through: Engine, beside: Engine) => Promise<void>): void =>
  void test(name, { skip: withoutNats }, async () => {
    const { options, destroy } = natsBed(cluster);
    const servers = [`127.0.0.1:${proxy.port}`];
    const engines = [
      await natsEngine({ ...options, streams: 2, servers, discover: false, pingMs: 60_000 }),
      await natsEngine(options),
    ] as const;
    try {
      await engines[0].create(sample);
      await run(...engines);
    } finally {
      for (const one of proxy.connections()) for (const way of ["up", "down"] as const) one.release(way);
      await Promise.allSettled(engines.map((engine) => engine.close()));
      await destroy();
    }
  });

const hold = (way: Way): void => {
  for (const one of proxy.connections()) one.hold(way);
};
const headsOf = async (engine: Engine, shards: readonly number[]): Promise<readonly number[]> =>
  (await engine.barrier(shards)).map(({ seq }) => seq);

doubtTest(
  "nats doubt: of 500 and more appends whose answer was lost or whose request was cut, each is kept exactly once",
  async (through, beside) => {
    const shards = Array.from({ length: 64 }, (_, shard) => shard);
    const writers = shards.map((shard) => writer(through, shard));
    let doubted = 0;
    await through.barrier(shards);
    for (let round = 0; round < 12; round++) {
      // Answers are lost after all was stored; requests are lost; or some of either get through, cut anywhere.
      const how = ["answers", "requests", "anywhere"][round % 3];
      if (how === "answers") hold("down");
      else if (how === "requests") hold("up");
      else for (const one of proxy.connections()) one.cutAfter(round % 2 ? "up" : "down", randomInt(20_000));
      const writes = Promise.all(writers.map((one) => one.write()));
      if (how === "answers")
        await until("all are stored", async () => (await headsOf(beside, shards)).every((seq) => seq === round + 1));
      if (how !== "anywhere") {
        doubted += 64;
        proxy.cutAll();
      }
      await writes;
    }
    assert.ok(doubted >= 500, `${doubted} appends in doubt`);
    await checkKept(beside, writers);
  },
);

doubtTest(
  "nats doubt: an append that was answered unknown is kept once or never, whatever is sent in its place",
  async (through, beside) => {
    await through.append([appendOf(1, 1, 0, "first")]);
    hold("up");
    const answer = await through.append([appendOf(1, 1, 1, "held")]);
    assert.deepEqual(
      answer.map(({ kind }) => kind),
      ["unknown"],
    );
    assert.equal((await beside.append([appendOf(1, 1, 1, "filled in")]))[0]?.kind, "durable");
    for (const one of proxy.connections()) one.release("up");
    // Whatever the proxy held is behind it once this is answered.
    assert.equal((await through.append([appendOf(1, 1, 2, "third")]))[0]?.kind, "durable");
    assert.deepEqual((await wholeJournal(beside, 1)).map(textOf), ["first", "filled in", "third"]);
  },
);

doubtTest(
  "nats doubt: appends that a stale owner pipelined while others claimed and wrote never land (fact 1)",
  async (through, beside) => {
    for (let round = 0; round < 20; round++) {
      const shard = round;
      await through.append([appendOf(shard, 1, 0, "old")]);
      hold("up");
      const stale = [1, 2, 3].map((expected) => through.append([appendOf(shard, 1, expected, `stale ${expected}`)]));
      // The sequences that the stale owner expects come to be, written by others.
      for (const [expected, epoch] of [
        [1, 2],
        [2, 2],
        [3, 3],
      ] as const)
        assert.equal((await beside.append([appendOf(shard, epoch, expected, `new ${expected}`)]))[0]?.kind, "durable");
      for (const one of proxy.connections()) one.release("up");
      for (const [answer] of await Promise.all(stale)) assert.notEqual(answer?.kind, "durable");
      assert.deepEqual((await wholeJournal(beside, shard)).map(textOf), ["old", "new 1", "new 2", "new 3"]);
    }
  },
);

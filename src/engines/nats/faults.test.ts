import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import type { Engine } from "../../journal/index.ts";
import { natsEngine } from "./engine.ts";
import { appendOf, checkKept, sample, textOf, wholeJournal, writer } from "./journals.fixture.ts";
import { natsBed, natsCluster, type NatsCluster, type NatsServer, until, withoutNats } from "./nats-cluster.fixture.ts";
import type { NatsOptions } from "./options.ts";

let cluster: NatsCluster;
before(async () => void (withoutNats || (cluster = await natsCluster())));
after(() => cluster?.end());

const faultTest = (
  name: string,
  run: (open: (more?: Partial<NatsOptions>) => Promise<Engine>, space: string) => Promise<void>,
): void =>
  void test(name, { skip: withoutNats }, async () => {
    const { options, destroy } = natsBed(cluster);
    const opened: Engine[] = [];
    try {
      await run(async (more = {}) => {
        const engine = await natsEngine({ ...options, ...more });
        opened.push(engine);
        return engine;
      }, options.space as string);
    } finally {
      for (const server of cluster.servers) server.thaw();
      await Promise.all(cluster.servers.map((server) => server.start()));
      await cluster.ready();
      await Promise.allSettled(opened.map((engine) => engine.close()));
      await destroy();
    }
  });

/** The server that leads a stream, as one that is asked says. */
async function leading(stream: string, asked: NatsServer): Promise<NatsServer> {
  const link = await connect({ servers: asked.address, timeout: 1000 });
  try {
    const { streams } = await jetstreamManager(link, { timeout: 1000 });
    return await until("the stream is led", async () => {
      const { cluster: group } = await streams.info(stream);
      return group?.leader ? cluster.server(group.leader) : undefined;
    });
  } finally {
    await link.close();
  }
}

const others = (than: NatsServer): readonly NatsServer[] => cluster.servers.filter((one) => one !== than);

faultTest(
  "nats fault: a barrier through a frozen server that led, answered when it thaws, shows what others wrote meanwhile",
  async (open, space) => {
    const first = await open({ streams: 1 });
    await first.create(sample);
    await first.append([appendOf(0, 1, 0, "a"), appendOf(1, 1, 0, "a")]);
    const frozen = await leading(`${space}_journal_0`, cluster.servers[0] as NatsServer);
    const awake = others(frozen).map((server) => server.address);
    // Its connection must outlive the freeze.
    const victim = await open({ servers: [frozen.address], discover: false, pingMs: 60_000 });
    const other = await open({ servers: awake, discover: false });
    for (const engine of [victim, other]) assert.equal((await engine.barrier([0]))[0]?.seq, 1);
    frozen.freeze();
    const result = await until("another server leads", async () => {
      const [head] = await other.barrier([0]);
      const [answer] = await other.append([appendOf(0, 2, head?.seq ?? 0, "b")]);
      return answer?.kind === "durable" && answer;
    });
    assert.equal(result.kind, "durable");
    const truth = await wholeJournal(other, 0);
    assert.deepEqual([textOf(truth[0]!), textOf(truth.at(-1)!)], ["a", "b"]);

    // Asked while it is frozen: it finds these before it hears that it was deposed.
    const barrier = victim.barrier([0]).then(
      ([head]) => head,
      () => undefined,
    );
    const append = victim.append([appendOf(0, 1, 1, "stale")]);
    frozen.thaw();
    const head = await barrier;
    if (head) assert.deepEqual(head, { shard: 0, generation: 1, epoch: 2, seq: truth.length });
    const [answer] = await append;
    assert.notEqual(answer?.kind, "durable");
    assert.deepEqual((await victim.barrier([0]))[0]?.seq, truth.length);
    assert.deepEqual((await wholeJournal(victim, 0)).map(textOf), truth.map(textOf));
  },
);

faultTest(
  "nats fault: killing the server that leads a stream under load loses no acknowledged record and leaves no gap",
  async (open, space) => {
    const engine = await open({ streams: 2 });
    await engine.create(sample);
    const writers = Array.from({ length: 8 }, (_, shard) => writer(engine, shard));
    const victim = await leading(`${space}_journal_0`, cluster.servers[0] as NatsServer);
    let isKilled = false;
    const load = writers.map(async (one) => {
      for (let afterwards = 0; afterwards < 25;) {
        await one.write();
        if (isKilled) afterwards++;
      }
    });
    await until("there is load", () => Promise.resolve(writers.every(({ kept }) => kept.length >= 20)));
    await victim.kill();
    isKilled = true;
    await Promise.all(load);
    await checkKept(engine, writers);
    await victim.start();
    await cluster.ready();
    const fresh = await open();
    await until("every stream is led", () => fresh.identify());
    await checkKept(fresh, writers);
  },
);

faultTest(
  "nats fault: when all servers are killed and started again, what was acknowledged is there and the same handle goes on",
  async (open) => {
    const engine = await open({ streams: 2 });
    await engine.create(sample);
    const writers = Array.from({ length: 8 }, (_, shard) => writer(engine, shard));
    for (let i = 0; i < 10; i++) await Promise.all(writers.map((one) => one.write()));
    await Promise.all(cluster.servers.map((server) => server.kill()));
    await Promise.all(cluster.servers.map((server) => server.start()));
    await cluster.ready();
    for (let i = 0; i < 5; i++) await Promise.all(writers.map((one) => one.write()));
    await checkKept(engine, writers);
    const fresh = await open();
    await until("every stream is led", () => fresh.identify());
    await checkKept(fresh, writers);
  },
);

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { jetstreamManager, type StreamAPI } from "@nats-io/jetstream";
import { connect, type ServerInfo } from "@nats-io/transport-node";
import { SheafError } from "../../base/index.ts";
import type { Engine } from "../../journal/index.ts";
import { openEngine } from "../index.ts";
import { natsEngine } from "./engine.ts";
import { appendOf, sample } from "./journals.fixture.ts";
import { layoutOf } from "./layout.ts";
import { natsBed, natsCluster, type NatsCluster, withoutNats } from "./nats-cluster.fixture.ts";
import type { NatsOptions } from "./options.ts";
import { checkServer } from "./server-check.ts";

let cluster: NatsCluster;
before(async () => void (withoutNats || (cluster = await natsCluster({ size: 1 }))));
after(() => cluster?.end());

/** What a promise rejects with, as "CODE: message". */
const refusal = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "resolved",
    (error: unknown) => (error instanceof SheafError ? `${error.code}: ${error.message}` : String(error)),
  );

type Bed = {
  readonly options: NatsOptions;
  readonly space: string;
  readonly streams: StreamAPI;
  open(more?: Partial<NatsOptions>): Promise<Engine>;
};
const serverTest = (name: string, run: (bed: Bed) => Promise<void>): void =>
  void test(name, { skip: withoutNats }, async () => {
    const { options: found, destroy } = natsBed(cluster);
    const options = { ...found, replicas: 1, streams: 2, patienceMs: 1500 };
    const link = await connect({ servers: [...cluster.addresses] });
    const { streams } = await jetstreamManager(link);
    const opened: Engine[] = [];
    try {
      await run({
        options,
        space: found.space as string,
        streams,
        async open(more = {}) {
          const engine = await natsEngine({ ...options, ...more });
          opened.push(engine);
          return engine;
        },
      });
    } finally {
      await Promise.allSettled(opened.map((engine) => engine.close()));
      await link.close();
      await destroy();
    }
  });

test("nats server: versions before 2.11, small messages and switched-off headers are refused by name", () => {
  const good = { version: "2.11.0", max_payload: 9 << 20, headers: true, server_name: "n1" } as ServerInfo;
  const check = (more: Partial<ServerInfo>): string => {
    try {
      checkServer({ ...good, ...more }, 8 << 20);
      return "fine";
    } catch (error) {
      return (error as Error).message;
    }
  };
  for (const version of ["2.11.0", "2.11.10", "2.15.1", "2.100.0-beta.1", "3.0.0"])
    assert.equal(check({ version }), "fine");
  for (const version of ["2.9.10", "2.10.27", "1.99.0", "0.0.1", "", "x"])
    assert.match(check({ version }), /version .*journals need 2\.11 or newer/, version);
  assert.match(check({ max_payload: 1 << 20 }), /takes messages of 1048576 bytes; records may have 8388608/);
  assert.match(check({ max_payload: 8 << 20 }), /takes messages/);
  assert.match(check({ headers: false }), /headers switched off/);
});

test(
  "nats server: without JetStream, or with messages of the usual 1 MiB, it is refused by name",
  { skip: withoutNats },
  async () => {
    const [bare, small] = await Promise.all([
      natsCluster({ size: 1, jetstream: false }),
      natsCluster({ size: 1, maxPayload: "1MB", syncInterval: "2m" }),
    ]);
    try {
      assert.equal(await refusal(natsEngine({ servers: bare.addresses })), "ENGINE_REFUSED: NATS: JetStream is off");
      assert.match(
        await refusal(natsEngine({ servers: small.addresses })),
        /^ENGINE_REFUSED: .* takes messages of 1048576 bytes/,
      );
      const monitors = [small.servers[0]?.monitor as string];
      assert.match(
        await refusal(natsEngine({ servers: small.addresses, maxRecordBytes: 1000, monitors })),
        /^ENGINE_REFUSED: .* acknowledges writes that it has not synced/,
      );
      await natsEngine({ servers: small.addresses, maxRecordBytes: 1000 }).then((engine) => engine.close());
    } finally {
      await Promise.all([bare.end(), small.end()]);
    }
  },
);

test("nats server: one that is not there is ENGINE_UNAVAILABLE and its password is not repeated", async () => {
  const said = await refusal(openEngine("nats://me:hunter2@127.0.0.1:1,127.0.0.1:2"));
  assert.match(said, /^ENGINE_UNAVAILABLE: NATS: no server answers at 127\.0\.0\.1:1, 127\.0\.0\.1:2$/);
});

test(
  "nats server: who gives no password, or a wrong one, is refused by name; the right one is let in",
  { skip: withoutNats },
  async () => {
    const guarded = await natsCluster({ size: 1, password: "hunter2" });
    const [address] = guarded.addresses;
    try {
      for (const who of ["", "me:wrong@", "you:hunter2@", "hunter2@"])
        assert.equal(
          await refusal(openEngine(`nats://${who}${address}?replicas=1`)),
          "ENGINE_REFUSED: NATS: the servers do not let this user in",
        );
      const engine = await openEngine(`nats://me:hunter2@${address}/inside?replicas=1&streams=1`);
      await engine.create(sample);
      assert.equal((await engine.append([appendOf(0, 1, 0, "a")]))[0]?.kind, "durable");
      assert.ok(!JSON.stringify(await engine.describe()).includes("hunter2"));
      await engine.close();
    } finally {
      await guarded.end();
    }
  },
);

serverTest(
  "nats server: one that syncs each write, as its monitoring says, is taken, and the facts tell how that is known",
  async ({ open }) => {
    const monitors = [cluster.servers[0]?.monitor as string];
    const [asked, unasked] = [await open({ monitors }), await open()];
    await asked.create(sample);
    assert.match(String((await asked.describe())["syncEveryWrite"]), /^yes/);
    assert.match(String((await unasked.describe())["syncEveryWrite"]), /^not known/);
    assert.match(await refusal(open({ monitors: ["http://127.0.0.1:1"] })), /^ENGINE_UNAVAILABLE/);
  },
);

serverTest("nats cluster: fewer than three copies are refused unless they were asked for", async ({ open }) => {
  const three = await open({ replicas: 3 });
  assert.match(await refusal(three.create(sample)), /^ENGINE_REFUSED: NATS: there are not 3 servers/);
  await (await open()).create(sample);
  assert.match(await refusal(three.identify()), /^ENGINE_REFUSED: .*num_replicas is 1, under 3/);
  assert.match(await refusal(three.read(1, 1, 1)), /^ENGINE_REFUSED/);
});

serverTest("nats cluster: every unsafe setting of a stream is refused by name", async ({ open, streams, space }) => {
  const made = await open();
  await made.create(sample);
  await made.append([appendOf(0, 1, 0, "a")]);
  const journal = layoutOf(space, 1).journal(0);
  const unsafe = [
    [{ max_age: 3_600e9 }, /max_age is set/],
    [{ max_msgs: 1000 }, /max_msgs is set/],
    [{ max_bytes: 1e9 }, /max_bytes is set/],
    [{ max_msgs_per_subject: 10 }, /max_msgs_per_subject is 10, not -1/],
    [{ discard: "old" }, /discard is old, not new/],
    [{ duplicate_window: 1e9 }, /duplicate_window is under 2 minutes/],
    [{ no_ack: true }, /no_ack is set/],
    [{ allow_direct: false }, /allow_direct is off/],
    [{ max_msg_size: 1e6 }, /max_msg_size is set/],
    [{ subjects: [`${space}.journal.0.*`, `${space}.more`] }, /its subjects are not those/],
  ] as const;
  const { config } = await streams.info(journal);
  for (const [setting, says] of unsafe) {
    await streams.update(journal, { ...config, ...setting } as never);
    const said = await refusal((await open()).identify());
    assert.match(said, /^ENGINE_REFUSED: NATS: stream /);
    assert.match(said, says);
    await streams.update(journal, { ...config, no_ack: false });
  }
  assert.equal((await (await open()).identify())?.name, sample.name);
});

serverTest(
  "nats cluster: a stream that is gone, emptied, or made anew is CORRUPT, and nothing is ever made again (F8)",
  async ({ open, streams, space }) => {
    const layout = layoutOf(space, 1);
    const made = await open();
    await made.create(sample);
    for (const shard of [0, 1]) assert.equal((await made.append([appendOf(shard, 1, 0, "a")]))[0]?.kind, "durable");
    const { config } = await streams.info(layout.journal(0));

    await streams.delete(layout.journal(0));
    assert.match(await refusal((await open()).identify()), /^CORRUPT: NATS: stream .*_journal_0 .* is gone/);
    assert.match(await refusal(made.read(0, 1, 1)), /^CORRUPT: stream .*_journal_0 is gone/);
    assert.notEqual((await made.append([appendOf(0, 1, 1, "b")]))[0]?.kind, "durable");
    assert.equal((await made.append([appendOf(1, 1, 1, "b")]))[0]?.kind, "durable");

    await streams.add(config);
    assert.match(await refusal((await open()).identify()), /^CORRUPT: .* was emptied or is another cluster's/);
    const running = await open();
    assert.notEqual((await running.append([appendOf(2, 1, 0, "on nothing")]))[0]?.kind, "durable");

    await streams.delete(layout.store);
    assert.match(await refusal((await open()).identify()), /^CORRUPT: .*_store is gone/);
    assert.match(await refusal((await open()).create(sample)), /^CORRUPT/);
    assert.equal((await streams.names(`${space}.cluster`).next()).length, 0);
  },
);

serverTest(
  "nats cluster: a running handle notices when a stream was emptied or replaced by one of its name",
  async ({ open, streams, space }) => {
    const journal = layoutOf(space, 1).journal(0);
    const engine = await open();
    await engine.create(sample);
    for (let i = 0; i < 5; i++) await engine.append([appendOf(0, 1, i, "a"), appendOf(1, 1, i, "a")]);
    await streams.purge(layoutOf(space, 1).journal(1));
    assert.match(await refusal(engine.read(1, 1, 9)), /^CORRUPT: .* has lost the journal of shard 1/);
    const { config } = await streams.info(journal);
    await streams.delete(journal);
    await streams.add(config);
    // Shard 2 was never written: its expected position fits the new stream.
    const [answer] = await engine.append([appendOf(2, 1, 0, "on nothing")]);
    assert.equal(answer?.kind, "refused");
    assert.match(
      await refusal(Promise.reject((answer as { error?: unknown }).error)),
      /^CORRUPT: .* is not the one that it was/,
    );
    assert.match(await refusal(engine.barrier([0])), /^CORRUPT/);
  },
);

serverTest(
  "nats cluster: what another program puts into a shard's subject makes that shard CORRUPT and no other",
  async ({ open, space }) => {
    const engine = await open();
    await engine.create(sample);
    await engine.append([appendOf(0, 1, 0, "a"), appendOf(2, 1, 0, "a")]);
    const link = await connect({ servers: [...cluster.addresses] });
    await link.request(`${space}.journal.0.2`, "not a record");
    await link.close();
    assert.match(
      await refusal(engine.barrier([2])),
      /^CORRUPT: shard 2: message \d+ of its stream is not one of Sheaf's records/,
    );
    assert.match(await refusal(engine.read(2, 1, 9)), /^CORRUPT/);
    assert.equal((await engine.append([appendOf(2, 1, 1, "b")]))[0]?.kind, "refused");
    assert.equal((await engine.append([appendOf(0, 1, 1, "b")]))[0]?.kind, "durable");
    assert.deepEqual(
      (
        await engine.tail(
          [
            { shard: 0, from: 1 },
            { shard: 2, from: 1 },
          ],
          9,
        )
      ).map(({ entries }) => entries.length),
      [2, 0],
    );
  },
);

serverTest(
  "nats cluster: names from outside are kept or refused, and never become subjects",
  async ({ open, streams }) => {
    const names = ["a.b", "*", ">", "sheaf.cluster", "x\r\nNats-Msg-Id: 1", "", "é", "nul\0"];
    for (const name of names) {
      const engine = await open({ space: `names-${names.indexOf(name)}` });
      await engine.create({ ...sample, name });
      assert.equal((await engine.identify())?.name, name);
      for await (const stream of streams.names(`names-${names.indexOf(name)}.>`)) await streams.delete(stream);
    }
    for (const space of ["a.b", "*", ">", "a b", "A", "-a", "a-", "", "x".repeat(33), "a\r\nb", "$JS"])
      assert.match(await refusal(open({ space })), /^USAGE/, JSON.stringify(space));
    for (const url of [
      "nats://",
      "nats://a,",
      "nats://a b",
      "nats://a:4222/x.y",
      "nats://a/?sync=no",
      "nats://a/%zz",
      "nats://%zz@a",
      "nats://a:hunter2@b@c",
    ])
      assert.match(await refusal(openEngine(url)), /^USAGE: the NATS address(?!.*hunter2)/, url);
    assert.match(await refusal(open({ streams: 17 })), /^USAGE/);
    assert.match(await refusal(open({ replicas: 0 })), /^USAGE/);
  },
);

serverTest(
  "nats engine: a registry stream of an earlier build is given the subject that it lacks, and keeps what is in it",
  async (bed) => {
    const first = await bed.open();
    await first.create(sample);
    await first.registry.put("there", Uint8Array.of(1));
    const name = layoutOf(bed.space, 1).registry;
    const { config } = await bed.streams.info(name);
    await bed.streams.update(name, { ...config, subjects: [`${bed.space}.registry.*`] });
    const engine = await bed.open();
    await engine.identify();
    await engine.registry.put("new", Uint8Array.of(2));
    assert.deepEqual([...(await engine.registry.look(undefined, ["new"])).found.keys()], ["new"]);
    assert.deepEqual([...(await engine.registry.list()).keys()].toSorted(), ["new", "there"]);
  },
);

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { SheafError } from "../../base/index.ts";
import type { SnapshotName } from "../../journal/index.ts";
import { natsEngine } from "./engine.ts";
import { sample } from "./journals.fixture.ts";
import { natsBed, natsCluster, type NatsCluster, withoutNats } from "./nats-cluster.fixture.ts";

let cluster: NatsCluster;
before(async () => void (withoutNats || (cluster = await natsCluster({ size: 1 }))));
after(() => cluster?.end());

const nameAt = (seq: number): SnapshotName => ({ shard: 3, generation: 1, epoch: 1, seq, hash: "ab".repeat(32) });
const chunks = Array.from({ length: 5 }, (_, i) => new Uint8Array(900_000).fill(i));

const serverTest = (name: string, run: (stage: Awaited<ReturnType<typeof staged>>) => Promise<void>): void =>
  void test(name, { skip: withoutNats }, async () => {
    const stage = await staged();
    try {
      await run(stage);
    } finally {
      await stage.end();
    }
  });

async function staged() {
  const { options, destroy } = natsBed(cluster);
  const engine = await natsEngine({ ...options, replicas: 1, streams: 1, patienceMs: 1500 });
  await engine.create(sample);
  const link = await connect({ servers: [...cluster.addresses] });
  const { streams } = await jetstreamManager(link);
  const prefix = `${options.space}.snapshots`;
  const store = `${options.space}_store`;
  return {
    engine,
    client: jetstream(link),
    prefix,
    /** Subjects of pieces, oldest first. */
    pieces: async () =>
      Object.keys((await streams.info(store, { subjects_filter: `${prefix}.piece.>` })).state.subjects ?? {}),
    manifestSubject: `${prefix}.made.3.1-1-10-${"ab".repeat(32)}`,
    manifest: async () =>
      (await streams.getMessage(store, { last_by_subj: `${prefix}.made.>` }))?.json<{ pieces: number[] }>(),
    purge: (filter: string) => streams.purge(store, { filter }),
    /** What reading the snapshot comes to: its bytes, or a code. */
    outcome: async (): Promise<number | string> => {
      let bytes = 0;
      try {
        for await (const chunk of engine.snapshots.get(nameAt(10))) bytes += chunk.length;
      } catch (error) {
        return error instanceof SheafError ? error.code : String(error);
      }
      return bytes;
    },
    async end() {
      await link.close();
      await engine.close();
      await destroy();
    },
  };
}

serverTest(
  "nats snapshot: pieces that are missing, swapped or other than they were are CORRUPT, never given out as whole",
  async (stage) => {
    await stage.engine.snapshots.put(nameAt(10), chunks);
    assert.equal(await stage.outcome(), 4_500_000);
    const manifest = await stage.manifest();
    assert.ok(manifest && manifest.pieces.length >= 4);
    const swapped = { ...manifest, pieces: [manifest.pieces[1], manifest.pieces[0], ...manifest.pieces.slice(2)] };
    for (const bad of [swapped, { ...manifest, pieces: manifest.pieces.slice(0, -1) }, { ...manifest, sha256: "00" }]) {
      await stage.client.publish(stage.manifestSubject, JSON.stringify(bad));
      assert.equal(await stage.outcome(), "CORRUPT");
    }
    await stage.client.publish(stage.manifestSubject, JSON.stringify(manifest));
    assert.equal(await stage.outcome(), 4_500_000);
    // A piece written again has another position.
    await stage.client.publish((await stage.pieces()).at(-1) as string, new Uint8Array(10));
    assert.equal(await stage.outcome(), "CORRUPT");
  },
);

serverTest(
  "nats snapshot: one that is deleted or replaced while it is read is NOT_FOUND, not damaged",
  async ({ engine }) => {
    for (const act of ["delete", "put"] as const) {
      await engine.snapshots.put(
        nameAt(10),
        Array.from({ length: 12 }, () => new Uint8Array(1 << 20)),
      );
      const reading = engine.snapshots.get(nameAt(10))[Symbol.asyncIterator]();
      await reading.next();
      if (act === "delete") await engine.snapshots.delete(nameAt(10));
      else await engine.snapshots.put(nameAt(10), []);
      const rest = async (): Promise<void> => {
        while ((await reading.next()).done !== true);
      };
      await assert.rejects(rest(), (error: SheafError) => error.code === "NOT_FOUND", act);
    }
  },
);

serverTest(
  "nats snapshot: pieces of a put that never ended are removed a day on, those of others stay",
  async (stage) => {
    await stage.engine.snapshots.put(nameAt(10), chunks);
    const [old, recent] = [`${(1_700_000_000_000).toString(36)}-ab`, `${Date.now().toString(36)}-ab`];
    for (const put of [old, recent]) await stage.client.publish(`${stage.prefix}.piece.${put}.0`, "left behind");
    const mine = (await stage.pieces()).length;
    await stage.engine.snapshots.put(nameAt(11), []);
    const left = await stage.pieces();
    assert.equal(left.length, mine - 1);
    assert.ok(!left.some((subject) => subject.includes(old)));
    assert.equal(await stage.outcome(), 4_500_000);
  },
);

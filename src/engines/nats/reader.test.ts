import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { after, before, test } from "node:test";
import { natsEngine } from "./engine.ts";
import { appendOf, sample, textOf } from "./journals.fixture.ts";
import { natsBed, natsCluster, type NatsCluster, withoutNats } from "./nats-cluster.fixture.ts";

let cluster: NatsCluster;
before(async () => void (withoutNats || (cluster = await natsCluster({ size: 1 }))));
after(() => cluster?.end());

test(
  "nats reader: a handle that knows nothing finds any entry of a long, unevenly mixed and trimmed journal",
  { skip: withoutNats },
  async () => {
    const { options, destroy } = natsBed(cluster);
    const open = (): ReturnType<typeof natsEngine> => natsEngine({ ...options, replicas: 1, streams: 1 });
    const engine = await open();
    await engine.create(sample);
    const seqs = [0, 0, 0];
    for (let round = 0; round < 1500; round++) {
      // The first shard writes always, the others in long runs of their own.
      const shards = [0, 1, 2].filter((shard) => shard === 0 || (shard === 1 ? round < 700 : round % 500 > 400));
      const batch = shards.map((shard) => {
        const seq = (seqs[shard] ?? 0) + 1;
        seqs[shard] = seq;
        return appendOf(shard, 1, seq - 1, `${shard}/${seq}`);
      });
      const results = await engine.append(batch);
      assert.ok(results.every(({ kind }) => kind === "durable"));
    }
    await engine.trim(0, 333);
    await engine.trim(1, 10);
    const firsts = [334, 11, 1];
    for (let look = 0; look < 12; look++) {
      const fresh = await open();
      const shard = look % 3;
      const [first, last] = [firsts[shard] as number, seqs[shard] as number];
      const from = randomInt(first, last + 1);
      const page = await fresh.read(shard, from, 7);
      const wanted = Array.from({ length: Math.min(7, last - from + 1) }, (_, i) => `${shard}/${from + i}`);
      assert.deepEqual(page.entries.map(textOf), wanted, `shard ${shard} from ${from}`);
      assert.deepEqual([page.first, page.head.seq], [first, last]);
      const [tail] = await fresh.tail([{ shard, from }], 2);
      assert.deepEqual(tail?.entries.map(textOf), wanted.slice(0, 2));
      // Another handle trims: what is asked for next is gone, and said to be.
      if (look === 9) {
        await engine.trim(0, last - 5);
        assert.deepEqual((await fresh.read(0, from, 1)).first, last - 4);
        firsts[0] = last - 4;
      }
      await fresh.close();
    }
    await engine.close();
    await destroy();
  },
);

// Many entities at once: appends to the journal of an embedded cluster what that many commands would have, behind the claims of
// a node that has run there and stopped.

import assert from "node:assert/strict";
import { join } from "node:path";
import { shardOf } from "../src/base/index.ts";
import { Counter } from "../src/cli/bench-app.ts";
import { embeddedEngine } from "../src/engines/index.ts";
import { type Commit, type Hash, type Header, recordCodec } from "../src/journal/index.ts";
import { realHost } from "../src/platform/index.ts";
import { pack } from "../src/wire/index.ts";

const commitsPerRecord = 500;
const same = { type: Counter.name, version: 1, schema: 1, command: "add", principal: "dev", events: [], op: undefined };
const commitOf = (key: string, state: Uint8Array): Commit => ({ ...same, key, state });
const following = (header: Header, prev: Hash): Header => ({ ...header, seq: header.seq + 1, prev });

/** Key of the entity with that number. */
export const filledKey = (n: number): string => `key-${n}`;

/** `stateBytes`: about what each state has, encoded. */
export async function fill(folder: string, entities: number, stateBytes: number): Promise<void> {
  const engine = await embeddedEngine({ dir: folder });
  const cluster = await engine.identify();
  assert.ok(cluster, "the first start made the cluster");
  const host = realHost({ dir: join(folder, "node"), log: { debug() {}, info() {}, warn() {}, error() {} } });
  const codec = recordCodec({ ...host, cluster: cluster.id });
  const state = pack({ total: 1, memo: "x".repeat(stateBytes - 25) });
  const keys: string[][] = Array.from({ length: cluster.shards }, () => []);
  for (let n = 0; n < entities; n++) keys[shardOf(Counter.name, filledKey(n), cluster.shards)]?.push(filledKey(n));
  for (const [shard, mine] of keys.entries()) {
    const { entries } = await engine.read(shard, 1, 512);
    const last = entries.at(-1);
    assert.ok(last, "every shard was claimed");
    let { header, hash } = codec.decode(last.record, { shard, seq: last.seq });
    for (let from = 0; from < mine.length; from += commitsPerRecord) {
      header = following(header, hash);
      const commits = mine.slice(from, from + commitsPerRecord).map((key) => commitOf(key, state));
      const sealed = codec.encode({ header, payload: { kind: "batch", commits } });
      const { generation, epoch, seq } = header;
      const append = { shard, generation, epoch, expected: seq - 1, record: sealed.bytes };
      assert.deepEqual(await engine.append([append]), [{ kind: "durable" }]);
      hash = sealed.hash;
    }
  }
  host.close();
  await engine.close();
}

// Guarantees of a backup about topics: what is kept of them, and where subscriptions are, go on in the generation that begins with a
// restore, and nothing of before takes effect again or is taken for something that was read.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { keyIn } from "../base/index.ts";
import { memoryDisk } from "../journal/index.ts";
import { app, entity, subscription, topic, topicKey, topicType } from "../model/index.ts";
import { world, type World } from "../node/world.fixture.ts";
import { memoryStore } from "../shards/index.ts";
import type { ReadReply } from "../topics/index.ts";
import { unpack } from "../wire/index.ts";
import { restoreBackup, takeBackup } from "./index.ts";
import { engineOn, memoryFolder } from "./kept.fixture.ts";

const shards = 4;
const News = topic("news", { event: z.string(), key: (text) => text.slice(0, 1) });
const Book = entity("book", {
  state: z.object({ got: z.array(z.string()) }),
  commands: { note: { input: z.string() }, pile: { input: z.array(z.string()) } },
  queries: { read: { output: z.array(z.string()) } },
});
const book = Book.implement({
  initial: () => ({ got: [] }),
  note: ({ state, input }) => void state.got.push(input),
  pile: ({ state, input }) => void state.got.push(...input),
  read: ({ state }) => [...state.got],
});
const subscriptions = [
  subscription("each", News).into(Book, "note", ({ value }) => ({ key: "each", input: value })),
  subscription("rests", News).into(Book, "note", ({ value }) => ({ key: "rests", input: value })),
  subscription("many", News, { batch: { events: 3 } }).into(Book, "pile", ({ value }) => ({
    key: "many",
    input: value,
  })),
];
const papers = app("papers", { entities: [book], topics: [News], subscriptions });

const publish = (w: World, text: string): Promise<unknown> =>
  w.ask("", "publish", text, {
    target: { kind: "command", entity: topicType, key: topicKey("news", text.slice(0, 1)), name: "publish" },
  });
const got = async (w: World, key: string): Promise<string[]> =>
  (await w.ask(key, "read", undefined, { target: { kind: "query", entity: "book", key, name: "read" } }))
    .output as string[];
/** What there is: the number of each event, by its text. */
async function logs(w: World): Promise<ReadonlyMap<string, number>> {
  const numbers = new Map<string, number>();
  for (let shard = 0; shard < shards; shard++) {
    const target = { kind: "query", entity: topicType, key: keyIn(topicType, shard, shards), name: "read" } as const;
    const { output } = await w.ask("", "read", { topic: "news", after: 0, limit: 1000, waitMs: 0 }, { target });
    for (const [n, , , , value] of (output as ReadReply).events) numbers.set(unpack(value) as string, n);
  }
  return numbers;
}
const of = (generation: string): string[] => ["a", "b", "c", "d", "e", "f"].map((key) => `${key} ${generation}`);

test("backup: after a restore topics have what they had, subscriptions go on where they were, each event takes effect once", async () => {
  const w = await world({ app: papers, shards });
  for (const text of of("first")) await publish(w, text);
  await w.pass(1000);
  await w.run(w.node.changeGroup("news", "rests", { act: "pause" }));
  for (const text of of("second")) await publish(w, text);
  await w.pass(1000);
  const folder = memoryFolder();
  await w.run(takeBackup({ engine: engineOn(w), folder, host: w.host, version: "test" }));
  // What comes behind the backup is lost with the cluster, and its numbers are not given again.
  for (const text of of("lost")) await publish(w, text);
  await w.pass(1000);
  const before = await logs(w);
  assert.equal(before.size, 18);
  const disk = memoryDisk();
  await w.run(restoreBackup({ engine: engineOn({ disk, host: w.host }), folder, host: w.host, key: undefined }));

  const again = await world({ app: papers, shards, store: memoryStore(), from: { ...w, disk } });
  await again.pass(1000);
  const kept = [...of("first"), ...of("second")];
  assert.deepEqual(await logs(again), new Map([...before].filter(([text]) => kept.includes(text))));
  for (const text of of("third")) await publish(again, text);
  await again.pass(1000);
  const after = await logs(again);
  for (const key of ["a", "b", "c", "d", "e", "f"])
    assert.ok(after.get(`${key} third`)! > before.get(`${key} lost`)!, "no number is given twice");
  const all = [...kept, ...of("third")].toSorted();
  for (const key of ["each", "many"]) assert.deepEqual((await got(again, key)).toSorted(), all);
  assert.deepEqual((await got(again, "rests")).toSorted(), of("first"));
  await again.run(again.node.changeGroup("news", "rests", { act: "resume" }));
  await again.pass(1000);
  assert.deepEqual((await got(again, "rests")).toSorted(), all);
});

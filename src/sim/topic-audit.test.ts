// Guarantees of the audit of topics: each thing that may be wrong with them is found in journals made by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { Decoded, Message, Note } from "../journal/index.ts";
import { entity, service, subscription, topic } from "../model/index.ts";
import { pack, unpack } from "../wire/index.ts";
import { TopicAudit } from "./topic-audit.ts";

const plain = <T>(): StandardSchemaV1<T, T> => ({
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as T }) },
});
const News = topic("news", { event: plain<string>(), retain: { days: 1, megabytes: 200 / 2 ** 20 } });
const Book = entity("book", {
  state: plain<{ log: string[] }>(),
  commands: { note: { input: plain<string>() }, pile: { input: plain<string[]>() } },
});
const Post = service("post", { procedures: { send: { input: plain<string>() } } });
const tell = subscription("tell", News).into(Book, "note", ({ value }) =>
  value === "dull" ? undefined : { key: "b", input: value },
);
const piles = subscription("pile", News, { batch: { events: 2, waitMs: 5 } }).into(Book, "pile", ({ value }) => ({
  key: value.slice(0, 1),
  input: value,
}));
const calls = subscription("call", News, { concurrency: 1 }).call(Post, "send", ({ value }) => ({ input: value }));
const later = subscription("later", News, { from: new Date(5) }).into(Book, "note", ({ value }) => ({
  key: "b",
  input: value,
}));
const first = 2 ** 20 + 1;
const day = 24 * 60 * 60_000;

/** The journal of the only shard, one record for each note, a millisecond apart unless `at` says otherwise. */
function journal(
  notes: readonly Note[],
  at = (i: number): number => i,
  said: readonly ("beginning" | "now" | number)[] = [],
): TopicAudit {
  const audit = new TopicAudit(0, 1, [tell, piles, calls, later]);
  said.forEach((to) => audit.say("tell", to));
  notes.forEach((note, i) => {
    const header = { cluster: "c", shard: 0, generation: 1, epoch: 1, seq: i + 1, prev: new Uint8Array(32), at: at(i) };
    audit.apply({
      header,
      payload: { kind: "batch", commits: [], notes: [note] },
      hash: header.prev,
    } satisfies Decoded);
  });
  return audit;
}
const op = (id: string) => ({
  op: { id, fingerprint: new Uint8Array(0), issuedAt: undefined, settled: undefined, reply: new Uint8Array(0) },
});
const published = (value: string, id?: string): Note => ({
  kind: "published",
  topic: "news",
  key: "",
  events: [{ schema: 1, value: pack(value) }],
  ...(id && op(id)),
});
const made = (value: string): Message & { to: number } => ({
  to: 0,
  type: "book",
  key: "b",
  command: "note",
  input: pack(value),
  by: ["subscription:tell"],
});
const moved = (through: number, ...values: string[]): Note => ({
  kind: "moved",
  group: "tell",
  topic: "news",
  through,
  messages: values.map(made),
});
const says = ({ problems }: TopicAudit, what: RegExp): void => assert.match(problems.join("; "), what);
const sound = [published("a"), published("dull"), published("b"), moved(first + 1, "a"), moved(first + 2, "b")];

test("topic audit: L1 events are numbered in the order of the journal, and no operation publishes twice", () => {
  const audit = journal(sound);
  assert.deepEqual(audit.problems, []);
  assert.deepEqual(
    audit.logs.get("news")?.entries.map(({ n, value }) => `${n - first} ${unpack(value) as string}`),
    ["0 a", "1 dull", "2 b"],
  );
  assert.equal(audit.lag(tell), 0);
  says(journal([published("a", "x"), published("a", "x")]), /x published again/);
});

test("topic audit: L2 a subscription that leaves out, doubles, turns round or makes up something is found", () => {
  const three = sound.slice(0, 3);
  says(journal([...three, moved(first + 2, "a")]), /sent book.note b, not book.note b, book.note b/);
  says(journal([...three, moved(first, "a"), moved(first, "a")]), /went from 1048577 to 1048577/);
  says(journal([...three, moved(first + 2, "b", "a")]), /tell went from 0/);
  says(journal([...three, moved(first + 1, "a", "dull")]), /not book.note b$/);
  says(journal([...three, moved(first + 9, "a", "b")]), /which goes to/);
  says(journal([...three, { ...(moved(first) as object), group: "other" } as Note]), /no subscription of news/);
  assert.equal(journal(three).lag(tell), 3);
});

test("topic audit: L3 what is trimmed though it is neither old nor too much, or counted wrong, is found", () => {
  const size = pack("a").length + 48;
  const trim = (count: number, bytes = count * size): Note => ({
    kind: "trimmed",
    topic: "news",
    below: first + count,
    bytes,
  });
  const five = Array.from({ length: 5 }, () => published("a"));
  assert.deepEqual(journal([...five, trim(1), moved(first + 4, "a", "a", "a", "a")]).problems, []);
  says(journal([...five, trim(2)]), /let go of 1048578, with 200 bytes of 200/);
  assert.deepEqual(journal([...five, trim(5)], (i) => (i < 5 ? 0 : 2 * day)).problems, []);
  says(journal([...five, trim(1, 1)]), /let go of 1 bytes, and they were 50/);
  says(journal([...five, trim(1), trim(1)]), /again/);
  says(journal([...five, trim(1), moved(first + 4, "a", "a", "a", "a", "a")]), /tell went from 0/);
});

test("topic audit: L4 a batch that is too large, of two lines, or made too early, and calls beyond what may be, are found", () => {
  const four = ["ax", "bx", "ay", "az"].map((value) => published(value));
  const batch = (...all: readonly (readonly [string, ...string[]])[]): Note => ({
    ...(moved(first + 3) as Extract<Note, { kind: "moved" }>),
    group: "pile",
    messages: all.map(([key, ...values]) => ({
      to: 0,
      type: "book",
      key,
      command: "pile",
      input: pack(values),
      by: ["subscription:pile"],
    })),
  });
  assert.deepEqual(journal([...four, batch(["a", "ax", "ay"], ["b", "bx"], ["a", "az"])]).problems, []);
  says(journal([...four, batch(["a", "ax", "ay", "az"], ["b", "bx"])]), /pile went from 0/);
  says(journal([...four, batch(["a", "ax", "bx"], ["a", "ay", "az"])]), /pile went from 0/);
  const one = { ...(batch(["a", "ax"]) as object), through: first } as Note;
  says(journal([published("ax"), one]), /pile did not wait for others/);
  assert.deepEqual(journal([published("ax"), one], (i) => 5 * i).problems, []);
  const lease = (n: number, due: number): Note => ({
    kind: "failed",
    task: `jservice post/call:news/0/${n}`,
    due,
    attempts: 1,
    cause: "",
  });
  says(journal([lease(1, 100), lease(2, 100)]), /call has 2 calls leased/);
  assert.deepEqual(
    journal([lease(1, 1), lease(2, 100), { kind: "done", task: "jservice post/call:news/0/2" }, lease(3, 9)]).problems,
    [],
  );
});

test("topic audit: L5 a group that goes where nobody has said, and one that begins before its time or too late, are found", () => {
  const back = moved(0);
  says(journal([...sound, back]), /went from 1048579 to 0/);
  assert.deepEqual(journal([...sound, back, moved(first + 2, "a", "b")], undefined, ["beginning"]).problems, []);
  assert.deepEqual(journal([...sound, moved(first)], undefined, ["now"]).problems, []);
  says(journal([...sound, moved(first)], undefined, ["beginning"]), /went from/);
  assert.deepEqual(journal([...sound, moved(first)], undefined, [1]).problems, []);
  says(journal([...sound, moved(first + 1)], undefined, [1]), /went from/);
  const begins = (through: number): Note => ({ ...(moved(through) as object), group: "later" }) as Note;
  assert.deepEqual(journal([published("a"), begins(first)], (i) => 5 * i).problems, []);
  says(
    journal([published("a"), begins(0)], (i) => 5 * i),
    /too early/,
  );
  says(journal([begins(0)]), /too early/);
  says(
    journal([published("a"), begins(first)], (i) => 5 + i),
    /too late/,
  );
});

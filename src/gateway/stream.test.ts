// Streams of events at the gateway: what they hold, and where they begin.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { keyIn, SheafError } from "../base/index.ts";
import { contract, topic, topicType } from "../model/index.ts";
import { pack } from "../wire/index.ts";
import { bench } from "./gateway.fixture.ts";
import { placesOf, placeText } from "./place.ts";

const News = topic("news", { event: z.string() });
const paper = contract("paper", { entities: [], topics: [News] });

test("streams: a reader that does not read has a few pages read for it, and no more", async () => {
  const b = bench({ contract: () => paper });
  let pages = 0;
  b.answer = async ({ input, target: { name } }) => {
    const { after, limit, waitMs } = input as { after: number; limit: number; waitMs: number };
    assert.equal(name, "read");
    if (limit > 1 && waitMs === 0) pages++;
    const events = Array.from({ length: limit }, (_, i) => [after + i + 1, "", 1_700_000_000_000, 1, pack("x")]);
    // What waits for more would be answered at once, for ever.
    if (waitMs > 0) await new Promise(() => {});
    return { output: { events, last: 1_000_000, floor: 0 } };
  };
  const gone = new AbortController();
  const response = await b.fetch("/topics/news/events", { signal: gone.signal });
  const reader = response.body!.getReader();
  const turns = async (): Promise<void> => {
    for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve));
  };
  await turns();
  const before = pages;
  assert.ok(before <= 4, String(before));
  for (let i = 0; i < 40; i++) await reader.read();
  await turns();
  assert.ok(pages > before && pages <= 48, String(pages));
  await reader.cancel();
});

test("streams: a place reads back as it was written, and nothing else is one", () => {
  const { crypto } = bench().host;
  const all = [
    [0, 0, 0, 0],
    [1, 0, 0, 2 ** 20 + 1],
    [0, 127, 128, 2 ** 52 + 7],
    [5, 6, 7, 0],
  ];
  for (const places of all) {
    const text = placeText(crypto, "news", places);
    assert.deepEqual(placesOf(crypto, "news", 4, text), places);
    for (const wrong of [text.slice(0, -2), `${text}AA`, `B${text.slice(1)}`, ""])
      assert.throws(() => placesOf(crypto, "news", 4, wrong), { code: "BAD_INPUT" }, wrong);
    assert.throws(() => placesOf(crypto, "other", 4, text), { code: "BAD_INPUT" });
    assert.throws(() => placesOf(crypto, "news", 5, text), { code: "BAD_INPUT" });
  }
});

/** A topic whose shard 0 gets these events, one behind the other, when its readers are told of them. */
function newsroom(fails: (shard: number) => boolean = () => false): {
  readonly b: ReturnType<typeof bench>;
  readonly asked: { after: number; waitMs: number; shard: string }[];
  readonly report: (text: string) => void;
} {
  const asked: { after: number; waitMs: number; shard: string }[] = [];
  const b = bench({ contract: () => paper });
  const events: [number, string, number, number, Uint8Array][] = [];
  const waiting = new Set<() => void>();
  const first = keyIn(topicType, 0, 8);
  b.answer = async ({ input, target }) => {
    const { after, waitMs } = input as { after: number; waitMs: number };
    const { key = "" } = target as { key?: string };
    asked.push({ after, waitMs, shard: key });
    if (fails(key === first ? 0 : 1)) throw new SheafError("UNREACHABLE");
    const mine = key === first ? events : [];
    if (waitMs > 0 && mine.length <= after) await new Promise<void>((resolve) => key === first && waiting.add(resolve));
    return { output: { events: mine.slice(after), last: mine.length, floor: 0 } };
  };
  const report = (text: string): void => {
    events.push([events.length + 1, "", 1_700_000_000_000, 1, pack(text)]);
    for (const tell of waiting) tell();
  };
  return { b, asked, report };
}

const turns = async (): Promise<void> => {
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
};

async function opened(b: ReturnType<typeof bench>, path = "/topics/news/events"): Promise<() => Promise<string>> {
  const reader = (await b.fetch(path)).body!.getReader();
  return async () => new TextDecoder().decode((await reader.read()).value);
}

test("streams: who has met no event yet is told where it is, so that it misses none when it goes on elsewhere", async () => {
  const { b } = newsroom();
  const next = await opened(b, "/topics/news/events?from=now");
  const [, id = ""] = /^retry: 1000\nid: (\S+)\n\n$/.exec(await next()) ?? [];
  assert.deepEqual(placesOf(b.host.crypto, "news", 8, id), [0, 0, 0, 0, 0, 0, 0, 0]);
});

test("streams: an event costs one question, which was waiting for it, however many read it", async () => {
  const { b, asked, report } = newsroom();
  const readers = await Promise.all([1, 2, 3].map(() => opened(b)));
  for (const next of readers) await next();
  await turns();
  for (const [n, text] of ["one", "two", "three"].entries()) {
    asked.length = 0;
    const timers = b.host.timers;
    report(text);
    for (const next of readers) assert.match(await next(), new RegExp(`data: .*"${text}"`));
    await turns();
    assert.deepEqual(
      asked.map(({ after, waitMs }) => [after, waitMs > 0]),
      [[n + 1, true]],
    );
    assert.equal(b.host.timers, timers);
  }
});

test("streams: a sign of life comes though nothing else does, and though a shard cannot be asked", async () => {
  const { b } = newsroom((shard) => shard === 1);
  const next = await opened(b);
  await next();
  await turns();
  const beat = next();
  b.host.pass(5_000);
  assert.equal(await beat, ":\n\n");
});

test("streams: one at a gateway that has not reached a shard for long sends its reader elsewhere", async () => {
  const { b } = newsroom((shard) => shard === 1);
  const next = await opened(b);
  await next();
  for (let found = ""; !found.includes("event: end");) {
    const piece = next();
    for (let i = 0; i < 11; i++) {
      await turns();
      b.host.pass(500);
    }
    found = await piece;
    if (found.includes("event: end")) assert.match(found, /"reason":"unreachable"/);
    assert.ok(b.host.clock.tick() < 1_000_000 + 30_000);
  }
});

/** What a stream says until it says this, from a gateway whose shard 0 answers so to a reader that had met event 3. */
async function until(says: string, reply: { events: unknown; last: number; floor: number }): Promise<string> {
  const b = bench({ contract: () => paper });
  b.answer = async ({ input, target }) => {
    const { after, waitMs } = input as { after: number; waitMs: number };
    const { last, floor } = reply;
    const isFirst = (target as { key?: string }).key === keyIn(topicType, 0, 8);
    if (isFirst && after < last) return { output: after === 3 ? reply : { events: [], last, floor } };
    if (waitMs > 0) await new Promise(() => {});
    return { output: { events: [], last: isFirst ? last : 0, floor: 0 } };
  };
  const place = placeText(b.host.crypto, "news", [3, 0, 0, 0, 0, 0, 0, 0]);
  const reader = (await b.fetch("/topics/news/events", { headers: { "Last-Event-ID": place } })).body!.getReader();
  let text = "";
  while (!text.includes(says)) text += new TextDecoder().decode((await reader.read()).value);
  await reader.cancel();
  return text;
}

test("streams: a reader that comes back below what is kept is told what it missed, and gets what is behind that", async () => {
  const event = [9, "", 1_700_000_000_000, 1, pack("nine")];
  const text = await until("nine", { events: [event], last: 9, floor: 9 });
  assert.match(text, /event: trimmed\ndata: \{"shard":0,"after":3,"before":9\}\n\n[^]*"nine"/);
});

test("streams: an event that the code cannot read ends the stream, says why, and comes after all before it", async () => {
  const at = 1_700_000_000_000;
  const events = [
    [4, "", at, 1, pack("four")],
    [5, "", at, 7, pack("of a later version")],
  ];
  const text = await until("event: end", { events, last: 5, floor: 0 });
  assert.match(text, /"four"[^]*event: end\ndata: \{"reason":"failed","code":"STATE_TOO_NEW"/);
});

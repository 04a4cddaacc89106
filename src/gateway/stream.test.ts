// Streams of events at the gateway: what they hold, and where they begin.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { contract, topic } from "../model/index.ts";
import { pack } from "../wire/index.ts";
import { bench } from "./gateway.fixture.ts";
import { placesOf, placeText } from "./place.ts";

const News = topic("news", { event: z.string() });
const paper = contract("paper", { entities: [], topics: [News] });

test("streams: a reader that does not read has a few pages read for it, and no more", async () => {
  const b = bench({ contract: () => paper });
  let pages = 0;
  b.answer = async ({ input, target: { name } }) => {
    const { after, limit } = input as { after: number; limit: number };
    assert.equal(name, "read");
    if (limit > 1) pages++;
    const events = Array.from({ length: limit }, (_, i) => [after + i + 1, "", 1_700_000_000_000, 1, pack("x")]);
    // What waits for more would be answered at once, for ever.
    if (limit === 1 && after > 0) await new Promise(() => {});
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

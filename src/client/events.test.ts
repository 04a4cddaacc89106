// Streams of events as a client meets them at several gateways, one of which fails: a host in place of the world, whose time the test
// moves.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { fixtureHost } from "../http/http.fixture.ts";
import { app, topic } from "../model/index.ts";
import { connect } from "./index.ts";

const News = topic("news", { event: z.string() });
const paper = app("paper", { topics: [News] });

type Asked = { readonly gateway: string; readonly lastId: string | null; readonly method: string };

/** A client of gateways `a` and `b`, which starts with `a`; `answer` is theirs. */
function reading(answer: (asked: Asked, signal: AbortSignal) => Promise<Response>) {
  const { clock, pass } = fixtureHost();
  const asked: Asked[] = [];
  const client = connect(paper.contract, {
    url: ["http://a", "http://b"],
    host: {
      clock,
      dice: { random: () => 0, bytes: (length) => new Uint8Array(length) },
      dial: () => () => {},
      fetch(url, { headers, method = "GET", signal }) {
        const { host } = new URL(url);
        const one = { gateway: host, lastId: new Headers(headers).get("last-event-id"), method };
        asked.push(one);
        return answer(one, signal!);
      },
    },
  });
  return { asked, pass, news: client.topic(News) };
}

const turns = async (): Promise<void> => {
  for (let i = 0; i < 30; i++) await new Promise((resolve) => setImmediate(resolve));
};

const eventText = (n: number): string =>
  `id: p${n}\ndata: {"id":"news/0/${n}","time":"2026-11-24T00:00:00.000Z","data":"e${n}"}\n\n`;

/** An answer that gives this and then nothing more, until it is given up or ends. */
function told(text: string, signal: AbortSignal, ends = false): Promise<Response> {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(text));
      if (ends) controller.close();
      else signal.addEventListener("abort", () => controller.error(new Error("given up")));
    },
  });
  return Promise.resolve(new Response(body));
}

test("events: a gateway that gives no sign of life is left for another, with the last id that came", async () => {
  const { asked, pass, news } = reading(({ gateway }, signal) =>
    told(gateway === "a" ? `retry: 1000\nid: p0\n\n${eventText(1)}` : eventText(2), signal),
  );
  const events = news.events({ from: "now" });
  assert.equal((await events.next()).value?.value, "e1");
  const second = events.next();
  for (let ms = 0; ms < 16_000; ms += 1_000) {
    await turns();
    pass(1_000);
  }
  await turns();
  assert.equal((await second).value?.value, "e2");
  assert.deepEqual(
    asked.map(({ gateway, lastId }) => [gateway, lastId]),
    [
      ["a", null],
      ["b", "p1"],
    ],
  );
});

test("events: who has met no event yet goes on elsewhere from where it began, not from what is new by then", async () => {
  const { asked, pass, news } = reading(({ gateway }, signal) =>
    gateway === "a" ? told("retry: 1000\nid: p0\n\n", signal, true) : told(eventText(1), signal),
  );
  const first = news.events({ from: "now" }).next();
  await turns();
  pass(200);
  assert.equal((await first).value?.value, "e1");
  assert.deepEqual(
    asked.map(({ lastId }) => lastId),
    [null, "p0"],
  );
});

test("events: that events are gone that were not met is told", async () => {
  const trimmed = { shard: 0, after: 3, before: 9 };
  const text = `event: trimmed\ndata: ${JSON.stringify(trimmed)}\n\n${eventText(9)}`;
  const { news } = reading((_, signal) => told(text, signal));
  const heard: unknown[] = [];
  const found = await news.events({ onTrimmed: (what) => heard.push(what) }).next();
  assert.deepEqual([found.value?.value, heard], ["e9", [trimmed]]);
});

test("events: that a group is done is said to another gateway where one does not answer, or cannot be reached", async () => {
  for (const fails of [() => Promise.reject(new TypeError("fetch failed")), () => new Promise<Response>(() => {})]) {
    const { asked, pass, news } = reading(({ gateway }) =>
      gateway === "a" ? fails() : Promise.resolve(new Response(null, { status: 204 })),
    );
    const said = news.done("audit", "p1");
    for (let i = 0; i < 4; i++) {
      await turns();
      pass(1_000);
    }
    await said;
    assert.deepEqual(
      asked.map(({ gateway, method }) => [gateway, method]),
      [
        ["a", "POST"],
        ["b", "POST"],
      ],
    );
  }
});

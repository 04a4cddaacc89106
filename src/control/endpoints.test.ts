// Addresses of services outside: which may be registered, and how soon every node knows.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SheafError } from "../base/index.ts";
import { fixtureHost, type FixtureHost } from "../http/http.fixture.ts";
import type { Principal } from "../security/index.ts";
import { endpointBook, endpointFinder, type Endpoints } from "./index.ts";
import { systemShards, type SystemShards } from "./keys.fixture.ts";

const admin: Principal = { id: "admin", roles: ["admin"] };

function setUp(): { host: FixtureHost; shards: SystemShards; book: Endpoints } {
  const host = fixtureHost();
  const shards = systemShards(host);
  return { host, shards, book: endpointBook({ host, calls: shards.calls, search: shards.search }) };
}

const add = (book: Endpoints, url: string, isPrivate = false, name = "rates"): Promise<unknown> =>
  book.add(admin, { name, url, private: isPrivate });

/** Looks up for calls that have ten seconds left. */
function finder(
  host: FixtureHost,
  shards: SystemShards,
): (name: string) => ReturnType<ReturnType<typeof endpointFinder>> {
  const find = endpointFinder({ host, calls: shards.calls });
  return (name) => find(name, host.clock.tick() + 10_000);
}

test("endpoints: addresses are kept once each, listed, and removed one by one or all", async () => {
  const { book } = setUp();
  await add(book, "https://a.example/v1/");
  await add(book, "https://a.example/v1");
  await add(book, "https://b.example");
  const [view] = await book.list(undefined, 10);
  assert.deepEqual(view, {
    name: "rates",
    urls: ["https://a.example/v1", "https://b.example"],
    private: false,
    changedBy: "admin",
  });
  await book.remove(admin, "rates", "https://a.example/v1");
  assert.deepEqual((await book.list(undefined, 10))[0]?.urls, ["https://b.example"]);
  await book.remove(admin, "rates", undefined);
  await assert.rejects(book.remove(admin, "rates", undefined), { code: "NOT_FOUND" });
  await assert.rejects(book.remove(admin, "rates", "https://b.example"), { code: "NOT_FOUND" });
});

test("endpoints: what is no plain address is refused, and so is one without TLS that is not private", async () => {
  const { book, shards } = setUp();
  const odd = [
    "",
    "rates.example",
    "ftp://rates.example",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "http://rates.example",
    "https://user:secret@rates.example",
    "https://rates.example/?q=1",
    "https://rates.example/?",
    "https://rates.example/#x",
    "https://",
    `https://rates.example/${"x".repeat(600)}`,
  ];
  for (const url of odd) await assert.rejects(add(book, url), { code: "BAD_INPUT" }, url);
  for (const name of ["", "../x", "sheaf.key", "a b", "x".repeat(65), "1x", "ü"])
    await assert.rejects(add(book, "https://rates.example", false, name), { code: "BAD_INPUT" }, name);
  assert.equal(shards.seen.length, 0, "nothing was asked of the shards");
  await add(book, "http://rates.internal:8080", true);
});

test("endpoints: a service that the application does not declare is refused, with those that it does", async () => {
  const host = fixtureHost();
  const { calls, search, seen } = systemShards(host);
  let declared = ["parrots", "rates"];
  const book = endpointBook({ host, calls, search, declared: () => declared });
  await assert.rejects(add(book, "https://a.example", false, "rate"), (error: SheafError) => {
    assert.equal(error.code, "UNKNOWN_TARGET");
    assert.match(error.message, /"rate"/);
    assert.match(error.hint ?? "", /rates, parrots/);
    return true;
  });
  assert.equal(seen.length, 0, "nothing was asked of the shards");
  await add(book, "https://a.example");
  declared = [];
  await assert.rejects(add(book, "https://b.example"), { code: "UNKNOWN_TARGET" });
  await book.remove(admin, "rates", undefined);
});

test("endpoints: one service has a bounded number of addresses", async () => {
  const { book } = setUp();
  for (let i = 0; i < 16; i++) await add(book, `https://r${i}.example`);
  await assert.rejects(add(book, "https://one-more.example"), { code: "BAD_INPUT" });
  await add(book, "https://r3.example");
});

test("endpoints: a change is known everywhere within five seconds, and look-ups in between cost nothing (D1)", async () => {
  const { host, shards, book } = setUp();
  const find = finder(host, shards);
  assert.equal(await find("rates"), undefined);
  await add(book, "https://a.example");
  host.pass(3_000);
  assert.deepEqual((await find("rates"))?.urls, ["https://a.example"]);
  const asked = shards.seen.length;
  await Promise.all([find("rates"), find("rates"), find("rates")]);
  assert.equal(shards.seen.length, asked);
});

test("endpoints: when addresses cannot be looked up those last known are used, and nothing else is made up (D2)", async () => {
  const { host, shards, book } = setUp();
  const find = finder(host, shards);
  await add(book, "https://a.example");
  await find("rates");
  shards.down = new SheafError("ENGINE_UNAVAILABLE");
  for (let i = 0; i < 3; i++) {
    host.pass(60_000);
    assert.deepEqual((await find("rates"))?.urls, ["https://a.example"]);
  }
  await assert.rejects(find("weather"), { code: "ENGINE_UNAVAILABLE" });
  shards.down = undefined;
  assert.equal(await find("weather"), undefined, "a failure is not remembered");
});

test("endpoints: a look-up takes no longer than the call has time, and leaves time to call at what was known", async () => {
  const { host, shards, book } = setUp();
  await add(book, "https://a.example");
  let hangs = true;
  const call: SystemShards["calls"]["call"] = (asked) => (hangs ? new Promise(() => {}) : shards.calls.call(asked));
  const find = endpointFinder({ host, calls: { call } });
  const late = assert.rejects(find("rates", host.clock.tick() + 300), { code: "DEADLINE", outcome: "not-applied" });
  host.pass(300);
  await late;
  hangs = false;
  host.pass(5_000);
  assert.deepEqual((await find("rates", host.clock.tick() + 300))?.urls, ["https://a.example"]);
  hangs = true;
  host.pass(5_000);
  const found = find("rates", host.clock.tick() + 300);
  host.pass(150);
  assert.deepEqual((await found)?.urls, ["https://a.example"]);
});

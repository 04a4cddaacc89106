import assert from "node:assert/strict";
import { test } from "node:test";
import { SheafError } from "../base/index.ts";
import { Account, bank } from "../gateway/gateway.fixture.ts";
import { StillClock } from "../rpc/pair.fixture.ts";
import { type ClientHost, connect } from "./index.ts";

type World = { host: ClientHost; clock: StillClock; dials: number; fetched: string[]; refuse: boolean };

/** A world in which sockets never answer, or are refused, and HTTP answers 5 to everything. */
function world(): World {
  const clock = new StillClock();
  const made: World = {
    clock,
    dials: 0,
    fetched: [],
    refuse: true,
    host: {
      clock,
      dice: { random: () => 0.5, bytes: (length) => new Uint8Array(length) },
      dial(_, end) {
        made.dials++;
        if (made.refuse) clock.turn(() => end.failed(new SheafError("UNREACHABLE")));
        return () => {};
      },
      async fetch(url, init) {
        made.fetched.push(`${new URL(url).pathname} ${typeof init.body === "string" ? init.body : ""}`.trim());
        return new Response("5", { headers: { "content-type": "application/json" } });
      },
    },
  };
  return made;
}

const caught = (promise: Promise<unknown>): Promise<SheafError> =>
  promise.then(
    () => assert.fail("it resolved"),
    (error: SheafError) => error,
  );

test("while no transport is chosen yet: a call keeps its deadline", async () => {
  const { host, clock } = world();
  const silent: ClientHost = { ...host, dial: () => () => {} };
  const client = connect(bank, { url: "http://gateway", host: silent });
  const late = caught(client.entity(Account, "a").balance({ deadlineMs: 300 }));
  await clock.advance(301);
  assert.deepEqual([(await late).code, (await late).outcome], ["UNREACHABLE", "not-applied"]);
});

test("while no transport is chosen yet: a call may be given up, and its input may be changed", async () => {
  const { host, clock, fetched } = world();
  const client = connect(bank, { url: "http://gateway", host });
  const giveUp = new AbortController();
  const cancelled = caught(client.entity(Account, "a").balance({ signal: giveUp.signal }));
  const input = { cents: 1 };
  const deposit = client.entity(Account, "a").deposit(input);
  input.cents = 2;
  giveUp.abort();
  assert.deepEqual([(await cancelled).code, (await cancelled).outcome], ["CANCELLED", "not-applied"]);
  await clock.advance(10);
  await deposit;
  assert.deepEqual(fetched, ["/livez", '/entities/account/a/deposit {"cents":1}']);
});

test("a client that fell back to HTTP: tries the socket again after a minute, and calls go on meanwhile", async () => {
  const there = world();
  const client = connect(bank, { url: "http://gateway", host: there.host });
  const call = async (): Promise<void> => {
    const result = client.entity(Account, "a").balance();
    await there.clock.advance(5);
    assert.equal(await result, 5);
  };
  await call();
  await there.clock.advance(59_000);
  await call();
  assert.equal(there.dials, 1);
  await there.clock.advance(2_000);
  await call();
  assert.equal(there.dials, 2);
});

test("while no transport is chosen yet: an input that cannot be sent is told by the promise, as at any other time", async () => {
  const client = connect(bank, { url: "http://gateway", host: world().host });
  const { code, outcome } = await caught(client.entity(Account, "a").deposit({ cents: () => 1 } as never));
  assert.deepEqual([code, outcome], ["BAD_INPUT", "not-applied"]);
});

test("a client that fell back to HTTP: no call waits for the socket that is tried again", async () => {
  const there = world();
  const client = connect(bank, { url: "http://gateway", host: there.host });
  const first = client.entity(Account, "a").balance();
  await there.clock.advance(10);
  assert.equal(await first, 5);
  await there.clock.advance(61_000);
  there.refuse = false; // now nobody answers
  const calls = [1, 2, 3].map(() => client.entity(Account, "a").balance());
  await there.clock.advance(10);
  assert.deepEqual(
    await Promise.race([Promise.all(calls), new Promise((resolve) => void setImmediate(resolve))]),
    [5, 5, 5],
  );
});

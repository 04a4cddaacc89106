// A new client and gateways that are frozen, refuse, or answer late, under a clock that stands still.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SheafError } from "../base/index.ts";
import { Account, bank } from "../gateway/gateway.fixture.ts";
import { type Calls, respond } from "../rpc/index.ts";
import { Cable, limits, StillClock } from "../rpc/pair.fixture.ts";
import { connect } from "./connect.ts";
import type { ClientHost } from "./host.ts";

/** How long each gateway takes to answer a dial; or what it fails with at once. */
type Gateways = Readonly<Record<string, number | SheafError>>;

function town(gateways: Gateways, transport: "socket" | "auto" = "socket") {
  const clock = new StillClock();
  const dialled: [url: string, at: number][] = [];
  const aborted: string[] = [];
  const open: string[] = [];
  const calls: Calls = { call: async () => ({ output: { cents: 5 } }) };
  const host: ClientHost = {
    clock,
    dice: { random: () => 0.25, bytes: (length) => new Uint8Array(length) },
    fetch: () => Promise.reject(new Error("no HTTP here")),
    dial(url, end) {
      const name = new URL(url).hostname;
      const answer = gateways[name]!;
      dialled.push([name, clock.tick()]);
      let over = false;
      if (typeof answer !== "number") {
        clock.turn(() => end.failed(answer));
        return () => {};
      }
      clock.after(answer, () => {
        if (over) return;
        open.push(name);
        new Cable(clock).open(
          (pipe) => end.opened(pipe),
          (pipe) =>
            respond(pipe, {
              clock,
              calls,
              cluster: "0f",
              limits,
              accept: () => ({ id: "me", roles: [] }),
              recheckMs: 1e6,
              helloMs: 1e4,
              permit: () => {},
              expose: (error) => error,
            }),
        );
      });
      return () => {
        over = true;
        aborted.push(name);
      };
    },
  };
  const url = Object.keys(gateways).map((name) => `http://${name}`);
  const client = connect(bank, { url, host, transport, deadlineMs: 10_000 });
  const deposit = (): Promise<number> =>
    client
      .entity(Account, "a")
      .deposit({ cents: 5 })
      .then(() => clock.tick());
  return { clock, client, dialled, aborted, open, deposit };
}

const frozen = 1e6;
const refused = new SheafError("UNREACHABLE", "refused");

test("a hedged dial: a first gateway that stands still costs a quarter of a second, and is closed", async () => {
  const { clock, deposit, dialled, aborted, open } = town({ a: frozen, b: 3, c: 3 });
  const answeredAt = deposit();
  await clock.advance(1_000);
  assert.equal(await answeredAt, 253);
  assert.deepEqual(
    [dialled, aborted, open],
    [
      [
        ["a", 0],
        ["b", 250],
      ],
      ["a"],
      ["b"],
    ],
  );
});

test("a hedged dial: a gateway that answers in time is the only one that is dialled", async () => {
  const { clock, deposit, dialled } = town({ a: 249, b: 3 });
  const answeredAt = deposit();
  await clock.advance(1_000);
  assert.equal(await answeredAt, 249);
  assert.deepEqual(dialled, [["a", 0]]);
});

test("a hedged dial: the first to answer is taken, though it was dialled before the other", async () => {
  const { clock, deposit, aborted, open } = town({ a: 260, b: 30 });
  const answeredAt = deposit();
  await clock.advance(1_000);
  assert.equal(await answeredAt, 260);
  assert.deepEqual([open, aborted], [["a"], ["b"]]);
});

test("a hedged dial: one that refuses is followed by the next at once, and all that refuse are told of once", async () => {
  const { clock, deposit, dialled } = town({ a: refused, b: frozen, c: 2 });
  const answeredAt = deposit();
  await clock.advance(1_000);
  assert.equal(await answeredAt, 252);
  assert.deepEqual(
    dialled.map(([, at]) => at),
    [0, 0, 250],
  );
  const none = town({ a: refused, b: refused });
  const failed = none.deposit().catch((error: SheafError) => error.code);
  await none.clock.advance(20_000);
  assert.equal(await failed, "UNREACHABLE");
});

test("a hedged dial: a client that is closed meanwhile leaves nothing open", async () => {
  const { clock, client, deposit, aborted, open } = town({ a: frozen, b: frozen });
  const failed = deposit().catch((error: SheafError) => error.code);
  await clock.advance(400);
  client.close();
  await clock.advance(5_000);
  assert.deepEqual([await failed, aborted.toSorted(), open], ["CANCELLED", ["a", "b"], []]);
});

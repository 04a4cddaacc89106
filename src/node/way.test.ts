// Where calls go, as nodes see each other.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SheafError } from "../base/index.ts";
import type { Call, Reply } from "../rpc/index.ts";
import { simHost } from "../sim/sim-host.ts";
import type { Membership } from "./membership.ts";
import type { Parts } from "./parts.ts";
import { Router } from "./router.ts";
import { wayOf } from "./way.ts";

/** A node that offers nothing itself, among others that offer `clerk`, each with what it answers, in turn. */
function among(others: Readonly<Record<string, (SheafError | Reply)[]>>) {
  const host = simHost({});
  const members = Object.keys(others).map((id) => ({
    member: { id, state: "ready", services: ["clerk"] },
    standing: "alive",
  }));
  const peers = {
    get: (id: string) => ({
      state: "up",
      inFlight: 0,
      call: async () => {
        const answer = others[id]!.shift() ?? assert.fail(`${id} was asked once more`);
        if (answer instanceof SheafError) throw answer;
        return answer;
      },
    }),
  };
  const parts = { compiled: { services: new Map() }, options: { host } } as unknown as Parts;
  const membership = { view: { members }, peers } as unknown as Membership;
  const router = new Router({
    host,
    self: "me",
    way: wayOf(parts, membership),
    here: async () => Promise.reject(new SheafError("UNKNOWN_TARGET")),
    open: () => true,
  });
  return async (service = "clerk"): Promise<Reply> => {
    const target = { kind: "procedure", service, name: "say" } as const;
    const call: Call = {
      target,
      input: undefined,
      principal: { id: "t", roles: [] },
      deadline: host.clock.tick() + 900,
    };
    let settled = false;
    const reply = router.call(call).finally(() => (settled = true));
    reply.catch(() => {});
    await host.schedule.run({ done: () => settled, until: host.schedule.now() + 1000 });
    return reply;
  };
}

test("way: a service whose only node is briefly unable is asked again, and is not called unknown", async () => {
  const ask = among({ a: [new SheafError("UNREACHABLE"), new SheafError("STOPPING"), { output: "hello" }] });
  assert.equal((await ask()).output, "hello");
});

test("way: a service that nobody offers is unknown at once", async () => {
  await assert.rejects(among({ a: [] })("nobody"), (error: SheafError) => error.code === "UNKNOWN_TARGET");
});

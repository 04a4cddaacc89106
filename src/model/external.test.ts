// Services outside of the cluster in an application's contract, and which parts a node hosts.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { app, compileApp, contract, entity, hostedBy, service } from "./index.ts";

const Rates = service("rates", { procedures: { quote: { output: z.number() } } });
const Clerk = service("clerk", { procedures: { ask: {} } });
const clerk = Clerk.implement({ ask: () => {} });
const Note = entity("note", { state: z.object({}), commands: { write: {} } });
const note = Note.implement({ initial: () => ({}), write: () => {} });

test("app: an outside service belongs to the contract, and has no implementation to run", () => {
  const shop = app("shop", { services: [clerk], external: [Rates] });
  assert.deepEqual(
    shop.contract.services.map(({ name }) => name),
    ["clerk", "rates"],
  );
  const compiled = compileApp(shop);
  assert.deepEqual([[...compiled.services.keys()], [...compiled.external.keys()]], [["clerk"], ["rates"]]);
  const same = contract("shop", { services: [Clerk, Rates] });
  assert.equal(app(same, { services: [clerk], external: [Rates] }).contract.name, "shop");
  assert.throws(() => app(same, { services: [clerk] }), { code: "USAGE", message: /no implementation of rates/ });
});

test("app: an outside service is given as its contract, and its name is taken", () => {
  assert.throws(() => app("shop", { external: [clerk as never] }), { code: "USAGE" });
  assert.throws(() => app("shop", { external: [Note as never] }), { code: "USAGE" });
  assert.throws(() => app("shop", { services: [clerk], external: [Clerk] }), { code: "USAGE" });
});

test("roles: the words stand for all, a name for one service, and doubles and order do not matter", () => {
  const office = app("office", { entities: [note], services: [clerk] });
  assert.deepEqual(hostedBy(office, undefined), { services: ["clerk"], entities: true, hosts: null });
  assert.deepEqual(hostedBy(office, ["gateway"]), { services: [], entities: false, hosts: [] });
  assert.deepEqual(hostedBy(office, ["services", "clerk", "clerk"]), {
    services: ["clerk"],
    entities: false,
    hosts: [],
  });
  assert.deepEqual(hostedBy(office, ["entities", "gateway", "clerk"]), {
    services: ["clerk"],
    entities: true,
    hosts: null,
  });
  const apart = [{ entities: ["note"], first: 1, shards: 1 }];
  assert.deepEqual(hostedBy(office, ["note"], apart), { services: [], entities: true, hosts: ["note"] });
  assert.deepEqual(hostedBy(office, ["rest", "clerk"], apart), {
    services: ["clerk"],
    entities: true,
    hosts: ["rest"],
  });
  assert.deepEqual(hostedBy(office, ["entities", "note"], apart), { services: [], entities: true, hosts: null });
  assert.equal(hostedBy(office, ["note"], "unknown").services.length, 0, "what is kept apart may not be known yet");
  assert.throws(() => hostedBy(office, ["nota"], "unknown"), { code: "USAGE" });
  for (const wrong of [
    [],
    [""],
    ["note"],
    ["rest"],
    ["Clerk"],
    ["rates"],
    ["__proto__"],
    ["gateway", "x".repeat(1000)],
  ])
    assert.throws(() => hostedBy(office, wrong), { code: "USAGE" });
});

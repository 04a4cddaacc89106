// `sheaf node token`: the tokens it prints are good, and it says what is wrong.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { ensureCa, hasJoined, issuedIdentity, joinCluster, joinedIdentity, openPeers } from "../platform/index.ts";
import { defaultLimits } from "../base/index.ts";
import { realClock } from "../platform/clock.ts";
import { folder, sheaf } from "./cli.fixture.ts";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const world = { clock: realClock(), log: quiet };

test("node token: what it prints lets one machine join", async (t) => {
  const data = folder(t);
  const ca = ensureCa(join(data, "ca"), { cluster: "0f".repeat(16), now: Date.now() });
  const identity = issuedIdentity(ca, { name: "a", world });
  const peers = await openPeers({ port: 0, identity, issuer: ca, limits: defaultLimits, world });
  t.after(async () => {
    identity.close();
    await peers.close();
  });
  const ran = await sheaf(["node", "token", "--data", data, "--ttl", "1m", "--address", peers.address, "--json"]);
  assert.equal(ran.code, 0, ran.err);
  const { data: made } = JSON.parse(ran.out) as { data: { token: string; expiresAt: number; cluster: string } };
  assert.equal(made.cluster, ca.cluster);
  assert.ok(Math.abs(made.expiresAt - Date.now() - 60_000) < 30_000);
  const dir = join(folder(t), "peer");
  await joinCluster({ dir, name: "b", address: made.token, world });
  assert.ok(hasJoined(dir, "b"));
  const joined = await joinedIdentity({ dir, name: "b", world });
  joined.close();
  assert.deepEqual([joined.cluster, joined.name], [ca.cluster, "b"]);
  const bare = await sheaf(["node", "token", "--data", data, "--quiet"]);
  assert.match(bare.out, /^sj_[\w-]+\n$/);
  const text = await sheaf(["node", "token", "--data", data, "--name", "b"]);
  assert.match(text.err, /the node b/);
});

test("node token: a folder that issues nothing, a name that cannot be one and an odd address are refused", async (t) => {
  const data = folder(t);
  const none = await sheaf(["node", "token", "--data", data]);
  assert.deepEqual([none.code, none.out], [3, ""]);
  assert.match(none.err, /no certificate authority/);
  ensureCa(join(data, "ca"), { cluster: "0f".repeat(16), now: Date.now() });
  for (const odd of [
    ["--name", "../b"],
    ["--address", "host"],
    ["--ttl", "0s"],
    ["--ttl", "8d"],
    ["--ttl", "soon"],
  ])
    assert.equal((await sheaf(["node", "token", "--data", data, ...odd])).code, 2, odd.join(" "));
});

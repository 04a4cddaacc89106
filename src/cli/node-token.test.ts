// `sheaf node token`: the tokens it prints are good, and it says what is wrong.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { ensureCa, hasJoined, issuedIdentity, joinCluster, joinedIdentity, openPeers } from "../platform/index.ts";
import { defaultLimits } from "../base/index.ts";
import { realClock } from "../platform/clock.ts";
import { folder, sheaf } from "./cli.fixture.ts";
import { writeNodeFile } from "./node-file.ts";

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

test("node token: of a node that runs it knows where others reach it, and where the authority is", async (t) => {
  const [data, engine] = [folder(t), folder(t)];
  const authority = join(engine, "ca");
  ensureCa(authority, { cluster: "0f".repeat(16), now: Date.now() });
  const node = { gateway: "http://a", admin: "http://b", pid: 1, stop: 1, cluster: "c", app: "c", startedAt: 0 };
  const at = async (address: string, ...flags: string[]): Promise<{ out: string; err: string }> => {
    writeNodeFile(data, { ...node, peer: { address, authority } });
    return sheaf(["node", "token", "--data", data, ...flags]);
  };
  const here = await at("127.0.0.1:4002");
  assert.match(here.out, /^127\.0\.0\.1:4002#sj_/, here.err);
  assert.match(here.err, /Only this machine reaches 127\.0\.0\.1:4002/);
  const there = await at("node-1.internal:4002");
  assert.match(there.out, /^node-1\.internal:4002#sj_/);
  assert.doesNotMatch(there.err, /Only this machine/);
  assert.match((await at("127.0.0.1:4002", "--address", "db:1")).out, /^db:1#sj_/);
  const alone = await sheaf(["node", "token", "--data", engine]);
  assert.match(alone.out, /^sj_/);
  assert.match(alone.err, /HOST:PORT#[^]*--address/);
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

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import { createServer } from "node:net";
import type { Millis } from "../base/index.ts";
import { type ClusterCa, ensureCa, openCa } from "./cluster-ca.ts";
import {
  type CertifiedIdentity,
  type Credentials,
  credentialsOf,
  type IdentityHost,
  newKey,
  pemOf,
  publicOf,
  renewed,
} from "./identity.ts";
import { hasJoined, joinCluster, joinedIdentity } from "./join.ts";
import { messageHead } from "./message-reader.ts";
import {
  type After,
  cluster,
  connected,
  dialing,
  folder,
  identityOf,
  limits,
  type Listening,
  listening,
  logOf,
  newCa,
  newWorld,
  until,
  world,
} from "./peer.fixture.ts";
import { joinProtocol } from "./peer-trust.ts";

const hour = 3_600_000;

type Issuing = Listening & {
  readonly ca: ClusterCa;
  readonly caDir: string;
  readonly dir: string;
  token(name?: string): string;
};

async function issuing(t: After, given: Parameters<typeof listening>[2] = {}, lifeMs?: Millis): Promise<Issuing> {
  const caDir = join(folder(t), "ca");
  const ca = ensureCa(caDir, { cluster, now: Date.now(), lifeMs });
  const heard = await listening(t, identityOf(t, ca, "issuer"), { issuer: ca, ...given });
  const dir = join(folder(t), "peer");
  const token = (name?: string): string => `127.0.0.1:${heard.port}#${ca.mint({ now: Date.now(), ttlMs: hour, name })}`;
  return { ...heard, ca, caDir, dir, token };
}

async function joined(t: After, dir: string, name: string, host: IdentityHost = world): Promise<CertifiedIdentity> {
  const identity = await joinedIdentity({ dir, name, world: host });
  t.after(() => identity.close());
  return identity;
}

test("joining: a machine with a token becomes a member that others know by its name", async (t) => {
  const g = await issuing(t);
  assert.equal(hasJoined(g.dir, "far"), false);
  await assert.rejects(joinedIdentity({ dir: g.dir, name: "far", world }), { code: "NOT_FOUND" });
  const address = g.token();
  await joinCluster({ dir: g.dir, name: "far", address, world });
  assert.equal(hasJoined(g.dir, "far"), true);
  assert.equal(statSync(join(g.dir, "far.json")).mode & 0o777, 0o600);
  const identity = await joined(t, g.dir, "far");
  assert.deepEqual([identity.name, identity.cluster], ["far", cluster]);
  assert.equal((await connected(g.port, identity, { expect: "issuer" })).peer, "issuer");
  assert.deepEqual(
    g.sessions.map(({ peer }) => peer),
    ["far"],
  );
  // Saying it again, as a unit that starts the node does each time, changes nothing.
  const kept = readFileSync(join(g.dir, "far.json"), "utf8");
  await joinCluster({ dir: g.dir, name: "far", address, world });
  assert.equal(readFileSync(join(g.dir, "far.json"), "utf8"), kept);
});

test("joining: a token that is used, expired, made up or for another name lets nobody in, and says why", async (t) => {
  const g = await issuing(t);
  const used = g.token();
  await joinCluster({ dir: g.dir, name: "a", address: used, world });
  const tries = [
    [used, "b", "UNAUTHENTICATED", /has been used/],
    [
      `127.0.0.1:${g.port}#${g.ca.mint({ now: Date.now() - hour, ttlMs: hour - 1 })}`,
      "b",
      "UNAUTHENTICATED",
      /expired/,
    ],
    [g.token("c"), "b", "UNAUTHENTICATED", /good for c, not for b/],
    [g.token(), "a", "IN_USE", /another machine has the name a/],
    [g.token(), "issuer", "IN_USE", /another machine has the name issuer/],
    [`127.0.0.1:${g.port}#sj_nonsense`, "b", "USAGE", /not a join token/],
  ] as const;
  for (const [address, name, code, message] of tries) {
    const dir = folder(t);
    await assert.rejects(joinCluster({ dir, name, address, world }), { code, message });
    assert.equal(hasJoined(dir, name), false);
  }
  await until(() => g.listener.strangers === 0);
});

test("joining: whoever is not of the cluster that the token names is not told anything (Q1)", async (t) => {
  const g = await issuing(t);
  const impostor = await issuing(t);
  const address = g.token().replace(`:${g.port}#`, `:${impostor.port}#`);
  await assert.rejects(joinCluster({ dir: g.dir, name: "a", address, world }), {
    code: "UNTRUSTED",
    message: /not of the cluster that the token names/,
  });
  assert.doesNotMatch(logOf(world).join("\n"), /certificate refused .*never/);
  // One that shows the right root behind a certificate of its own is found out when it is to prove it.
  const posing = identityOf(t, newCa(t), "issuer");
  const fake = { ...posing, current: () => ({ ...posing.current(), root: g.ca.root }) };
  const heard = await listening(t, fake, { issuer: impostor.ca });
  const second = g.token().replace(`:${g.port}#`, `:${heard.port}#`);
  await assert.rejects(joinCluster({ dir: g.dir, name: "a", address: second, world }), { code: "UNTRUSTED" });
  await joinCluster({ dir: g.dir, name: "a", address: second.replace(`:${heard.port}#`, `:${g.port}#`), world });
});

test("joining: an answer that was lost can be asked for again with the same token (Q2)", async (t) => {
  const g = await issuing(t);
  const address = g.token();
  const path = join(g.dir, "a.json");
  await assert.rejects(joinCluster({ dir: g.dir, name: "a", address: address.replace(`:${g.port}#`, ":1#"), world }));
  const begun = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
  await joinCluster({ dir: g.dir, name: "a", address, world });
  const { issuer, key } = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
  assert.equal(key, begun["key"]);
  writeFileSync(path, JSON.stringify({ issuer, key }));
  await joinCluster({ dir: g.dir, name: "a", address, world });
  assert.ok(hasJoined(g.dir, "a"));
});

test("joining: nobody there, nobody who issues, and a folder of another cluster are told apart", async (t) => {
  const g = await issuing(t);
  const address = g.token();
  await g.listener.close();
  await assert.rejects(joinCluster({ dir: g.dir, name: "a", address, world }), {
    code: "UNREACHABLE",
    message: /nothing listens/,
  });
  const mute = createServer((socket) => void socket.on("error", () => {}).resume());
  mute.listen(0, "127.0.0.1");
  await once(mute, "listening");
  t.after(() => void mute.close());
  const toMute = address.replace(`:${g.port}#`, `:${(mute.address() as { port: number }).port}#`);
  await assert.rejects(joinCluster({ dir: g.dir, name: "a", address: toMute, world, timeoutMs: 50 }), {
    code: "UNREACHABLE",
    message: /did not answer/,
  });
  const member = await listening(t, identityOf(t, g.ca, "member"));
  const toMember = address.replace(`:${g.port}#`, `:${member.port}#`);
  await assert.rejects(joinCluster({ dir: g.dir, name: "a", address: toMember, world }), { code: "UNREACHABLE" });
  const other = await issuing(t);
  await joinCluster({ dir: other.dir, name: "a", address: other.token(), world });
  await assert.rejects(joinCluster({ dir: other.dir, name: "a", address, world }), {
    code: "UNTRUSTED",
    message: /another cluster/,
  });
});

test("joining: nonsense on the join protocol gets no certificate, and who says nothing is cut off", async (t) => {
  const g = await issuing(t, { limits: { ...limits, headersTimeoutMs: 300 } });
  const says = [
    Buffer.concat([messageHead(3, false), Buffer.from("abc")]),
    Buffer.concat([messageHead(1, false), Buffer.of(0xc0)]),
    Buffer.concat([messageHead(1, false), Buffer.of(0x90)]),
    messageHead(100_000, false),
    messageHead(10, false),
    Buffer.alloc(0),
  ];
  for (const bytes of says) {
    const socket = connectTls({
      host: "127.0.0.1",
      port: g.port,
      rejectUnauthorized: false,
      ALPNProtocols: [joinProtocol],
    });
    socket.on("error", () => {}).resume();
    socket.write(bytes);
    await new Promise((resolve) => void socket.once("close", resolve));
  }
  assert.deepEqual(g.sessions, []);
  await until(() => g.listener.strangers === 0);
});

/** Short enough to see ends and renewals happen. */
const shortLifeMs = 3_000;

test("renewals: certificates are renewed at two thirds of their life, and no connection ends by it (T2)", async (t) => {
  const g = await issuing(t, {}, shortLifeMs);
  await joinCluster({ dir: g.dir, name: "far", address: g.token(), world });
  const far = await joined(t, g.dir, "far");
  const session = await connected(g.port, far);
  const first = far.current();
  await until(() => far.current() !== first);
  const renewedAt = Date.now();
  assert.ok(renewedAt < first.notAfter && renewedAt >= first.notAfter - shortLifeMs / 2);
  assert.ok(far.current().notAfter > first.notAfter);
  assert.notEqual(pemOf(far.current().key), pemOf(first.key));
  assert.ok(readFileSync(join(g.dir, "far.json"), "utf8").includes(JSON.stringify(far.current().certificate)));
  // Past the end of what both sides showed first: they have shown the new ones since.
  await until(() => Date.now() > first.notAfter + 1_000);
  session.pipe.send(Uint8Array.of(1));
  await until(() => g.sessions[0]?.got.length === 1);
  assert.deepEqual([session.ends, g.sessions[0]?.ends], [[], []]);
  await connected(g.port, far);
});

test("renewals: a connection ends with the last certificate that its other side has shown (T1)", async (t) => {
  const g = await issuing(t, {}, shortLifeMs);
  await joinCluster({ dir: g.dir, name: "far", address: g.token(), world });
  const mine = newWorld();
  const far = await joined(t, g.dir, "far", mine);
  const session = await connected(g.port, far);
  // The operator takes the name away: no renewal any more.
  rmSync(join(g.caDir, "names", "far.json"));
  await until(() => session.ends.length === 1 && g.sessions[0]?.ends.length === 1);
  assert.match(logOf(mine).join("\n"), /not renewed.*was removed/);
  assert.deepEqual(g.sessions[0]?.ends, [{ why: "the certificate of far has expired", loss: "untrusted" }]);
  assert.deepEqual(session.ends, g.sessions[0]?.ends);
  const again = await dialing(g.port, far);
  assert.ok(again.kind === "failed" && again.loss === "untrusted");
});

test("renewals: a machine that was off while its certificate ended comes back with a new one", async (t) => {
  const g = await issuing(t);
  const brief = await listening(t, identityOf(t, g.ca, "brief"), { issuer: openCa(g.caDir, 1_000) });
  const address = g.token().replace(`:${g.port}#`, `:${brief.port}#`);
  await joinCluster({ dir: g.dir, name: "far", address, world });
  const path = join(g.dir, "far.json");
  const before = readFileSync(path, "utf8");
  const ends = Date.now() + 1_100;
  await until(() => Date.now() > ends);
  const identity = await joined(t, g.dir, "far");
  assert.notEqual(readFileSync(path, "utf8"), before);
  identity.close();
  await brief.listener.close();
  await until(() => Date.now() > identity.current().notAfter);
  await assert.rejects(joinedIdentity({ dir: g.dir, name: "far", world }), { code: "UNREACHABLE" });
});

test("renewals: while they fail the old certificate serves, and the next attempt that can succeeds (I1)", async (t) => {
  let fails = 2;
  const g = await issuing(t);
  const make = (): Credentials => {
    const key = newKey();
    const { certificate } = g.ca.issue({ name: "a", publicKey: publicOf(key), now: Date.now() });
    return { ...credentialsOf(key, new X509Certificate(certificate), g.ca.root), notAfter: Date.now() + 200 };
  };
  const mine = newWorld();
  const first = { ...make(), notBefore: Date.now() - 16 * 60_000 };
  const identity = renewed({
    cluster,
    name: "a",
    first,
    world: { ...mine, clock: { ...mine.clock, after: (_ms, fn) => mine.clock.after(1, fn) } },
    renew: async () => {
      if (fails-- > 0) throw new Error("down");
      return make();
    },
  });
  t.after(() => identity.close());
  let told = 0;
  identity.watch(() => told++);
  await until(() => logOf(mine).filter((line) => line.includes("down")).length === 1);
  assert.equal(identity.current(), first);
  await until(() => told === 1);
  assert.equal(logOf(mine).filter((line) => line.includes("down")).length, 2);
  assert.notEqual(identity.current(), first);
});

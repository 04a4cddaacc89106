import assert from "node:assert/strict";
import { createPrivateKey, type KeyObject, sign, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect as connectTcp, type Socket } from "node:net";
import { test } from "node:test";
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from "node:tls";
import type { Limits } from "../base/index.ts";
import { certificateBody, nodeUri, wholeCertificate } from "../security/index.ts";
import { type ClusterCa, ensureCa } from "./cluster-ca.ts";
import { realCrypto } from "./crypto.ts";
import { type CertifiedIdentity, credentialsOf, newKey, publicOf } from "./identity.ts";
import { maxControlBytes, messageHead } from "./message-reader.ts";
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
  type Session,
  until,
} from "./peer.fixture.ts";
import { controlKind } from "./peer-pipe.ts";
import { bindingOf, peerProtocol, secureContextOf } from "./peer-trust.ts";

type Ground = Listening & {
  readonly ca: ClusterCa;
  readonly own: CertifiedIdentity;
  readonly world: ReturnType<typeof newWorld>;
  /** Asserts that a neighbour that was connected before still is heard and answered, and that nobody else ever was. */
  unharmed(): Promise<void>;
};

/** A listener that echoes, with one good neighbour. */
async function ground(t: After, given: Partial<Limits> = {}): Promise<Ground> {
  const ca = newCa(t);
  const own = identityOf(t, ca, "victim");
  const world = newWorld();
  const heard = await listening(t, own, {
    limits: { ...limits, ...given },
    world,
    on: (session: Session, bytes) => session.pipe.send(Uint8Array.from(bytes)),
  });
  const good = await connected(heard.port, identityOf(t, ca, "good"));
  return {
    ...heard,
    ca,
    own,
    world,
    async unharmed() {
      const before = good.got.length;
      good.pipe.send(Uint8Array.of(7));
      await until(() => good.got.length === before + 1);
      assert.deepEqual(good.ends, []);
      assert.deepEqual(
        heard.sessions.filter(({ peer }) => peer !== "good"),
        [],
      );
      await until(() => heard.listener.strangers === 0);
    },
  };
}

const gone = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    socket.on("error", () => {}).resume();
    if (socket.closed) resolve();
    else socket.once("close", () => resolve());
  });

const raw = (port: number): Socket => connectTcp(port, "127.0.0.1").on("error", () => {});
const tls = (port: number, options: ConnectionOptions): TLSSocket =>
  connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false, ALPNProtocols: [peerProtocol], ...options }).on(
    "error",
    () => {},
  );

/** What a client that presents this sees, which believes the server. */
async function refused(g: Ground, identity: CertifiedIdentity): Promise<string> {
  const dialed = await dialing(g.port, identity);
  assert.equal(dialed.kind, "failed");
  assert.ok(dialed.kind === "failed" && dialed.loss === "untrusted" && dialed.error.code === "UNTRUSTED");
  await g.unharmed();
  return dialed.error.message;
}

/** An identity that shows another certificate than its own, and believes whom `believes` does. */
const posing = (as: CertifiedIdentity, believes: CertifiedIdentity): CertifiedIdentity => ({
  ...as,
  cluster: believes.cluster,
  current: () => ({ ...as.current(), root: believes.current().root }),
});

test("hostile peers: garbage instead of a handshake ends its own connection only", async (t) => {
  const g = await ground(t);
  const garbage = [
    Buffer.from("GET / HTTP/1.1\r\n\r\n"),
    Buffer.alloc(100_000),
    Buffer.alloc(100_000, 0xff),
    Buffer.from([0x16, 3, 1, 0xff, 0xff, 1, 0, 0xff, 0xff]),
    Buffer.concat([messageHead(5, false), Buffer.from("hello")]),
  ];
  for (const bytes of garbage) {
    const socket = raw(g.port);
    socket.end(bytes);
    await gone(socket);
  }
  await g.unharmed();
});

test("hostile peers: TLS 1.2 is not spoken", async (t) => {
  const g = await ground(t);
  const socket = connectTls({
    ...secureContextOf(identityOf(t, g.ca, "old")),
    host: "127.0.0.1",
    port: g.port,
    minVersion: "TLSv1.2",
    maxVersion: "TLSv1.2",
    rejectUnauthorized: false,
  });
  const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
  assert.match(error.code ?? "", /PROTOCOL_VERSION/);
  await g.unharmed();
});

test("hostile peers: no certificate, and no protocol that nodes speak, are refused", async (t) => {
  const g = await ground(t);
  const bare = tls(g.port, {});
  await gone(bare);
  const other = tls(g.port, { ...secureContextOf(identityOf(t, g.ca, "b")), ALPNProtocols: ["h2"] });
  await gone(other);
  const none = tls(g.port, { ...secureContextOf(identityOf(t, g.ca, "b")), ALPNProtocols: [] });
  await gone(none);
  await g.unharmed();
  assert.match(logOf(g.world).join("\n"), /peer refused .*no certificate was shown/);
});

test("hostile peers: a certificate of another authority is refused, whatever it says, by either side", async (t) => {
  const g = await ground(t);
  const stranger = identityOf(t, newCa(t), "victim");
  assert.match(await refused(g, posing(stranger, g.own)), /not good: UNABLE_TO|SELF_SIGNED/);
  // The one who connects looks too.
  const dialed = await dialing(g.port, stranger);
  assert.ok(dialed.kind === "failed" && dialed.loss === "untrusted");
  await g.unharmed();
});

test("hostile peers: a certificate that has ended, or has not begun, is refused", async (t) => {
  const g = await ground(t);
  const issued = (now: number): CertifiedIdentity => {
    const key = newKey();
    const { certificate } = g.ca.issue({ name: "b", publicKey: publicOf(key), now });
    const credentials = credentialsOf(key, new X509Certificate(certificate), g.ca.root);
    return { kind: "certified", cluster, name: "b", current: () => credentials, watch: () => () => {}, close() {} };
  };
  assert.match(await refused(g, issued(Date.now() - 25 * 3_600_000)), /CERT_HAS_EXPIRED/);
  assert.match(await refused(g, issued(Date.now() + 3_600_000)), /CERT_NOT_YET_VALID/);
});

test("hostile peers: a certificate of another cluster, or of none, is refused though the root signed it", async (t) => {
  const g = await ground(t);
  const dir = folder(t);
  const ca = ensureCa(dir, { cluster, now: Date.now() });
  const rootKey = createPrivateKey(readFileSync(`${dir}/ca.pem`, "utf8"));
  const own = identityOf(t, ca, "victim");
  const heard = await listening(t, own);
  for (const [uri, why] of [
    [nodeUri("another", "b"), /another cluster/],
    ["https://victim/b", /names no node/],
    [nodeUri(cluster), /names no node/],
  ] as const) {
    const key = newKey();
    const body = certificateBody(realCrypto, {
      serial: Uint8Array.of(1, 2, 3),
      subject: { title: "b", uri, publicKey: publicOf(key) },
      issuer: { title: `sheaf ${cluster}`, publicKey: publicOf(rootKey) },
      notBefore: Date.now() - 1000,
      notAfter: Date.now() + 60_000,
    });
    const credentials = credentialsOf(
      key,
      new X509Certificate(wholeCertificate(body, sign("sha256", body, rootKey))),
      ca.root,
    );
    const odd: CertifiedIdentity = { ...own, name: "b", current: () => credentials };
    const dialed = await dialing(heard.port, odd);
    assert.ok(dialed.kind === "failed" && dialed.loss === "untrusted", uri);
    assert.match(dialed.error.message, why);
  }
  assert.deepEqual(heard.sessions, []);
  await g.unharmed();
});

test("hostile peers: a connection is never resumed without its certificate", async (t) => {
  const g = await ground(t);
  const b = secureContextOf(identityOf(t, g.ca, "b"));
  const first = tls(g.port, b);
  const [[session]] = (await Promise.all([once(first, "session"), once(first, "data")])) as [[Buffer], unknown];
  first.destroy();
  const again = tls(g.port, { session });
  await once(again, "secureConnect");
  assert.equal(again.isSessionReused(), false);
  await gone(again);
  await until(() => g.sessions.every(({ peer, ends }) => peer === "good" || ends.length === 1));
  assert.equal(g.sessions.filter(({ peer }) => peer === "b").length, 1);
});

/** A member that speaks raw bytes after its welcome. */
async function member(t: After, g: Ground, name: string): Promise<TLSSocket> {
  const socket = tls(g.port, secureContextOf(identityOf(t, g.ca, name)));
  await once(socket, "data");
  return socket;
}

test("hostile peers: a message over the limit, or a control message that does not belong, ends its connection", async (t) => {
  const g = await ground(t);
  const odd = [
    messageHead(limits.maxRecordBytes + 1, false),
    messageHead(2 ** 31 - 1, false),
    messageHead(maxControlBytes + 1, true),
    messageHead(0, true),
    Buffer.concat([messageHead(1, true), Buffer.of(controlKind.welcome)]),
    Buffer.concat([messageHead(1, true), Buffer.of(controlKind.hello)]),
    Buffer.concat([messageHead(1, true), Buffer.of(controlKind.renewed)]),
    Buffer.concat([messageHead(4, true), Buffer.of(controlKind.renewed, 2, 3, 4)]),
    Buffer.concat([messageHead(1, true), Buffer.of(99)]),
  ];
  for (const [at, bytes] of odd.entries()) {
    const socket = await member(t, g, `b${at}`);
    socket.write(bytes);
    await gone(socket);
    const session = g.sessions.find(({ peer }) => peer === `b${at}`);
    await until(() => session?.ends.length === 1);
    assert.deepEqual([session?.ends[0]?.loss, session?.got], ["malformed", []], String(at));
  }
  assert.equal(g.listener.peers, 1);
});

test("hostile peers: a newer certificate of the same node is believed only from who holds its key (T2)", async (t) => {
  const g = await ground(t);
  const next = newKey();
  const { certificate } = g.ca.issue({ name: "b", publicKey: publicOf(next), now: Date.now() });
  const own = identityOf(t, g.ca, "b").current().key;
  const shown = async (by: KeyObject, label = "renewed"): Promise<TLSSocket> => {
    const socket = await member(t, g, "b");
    const content = Buffer.concat([bindingOf(socket, label), certificate]);
    const signature = sign("sha256", content, by);
    const message = Buffer.concat([Buffer.of(controlKind.renewed, signature.length), signature, certificate]);
    socket.write(Buffer.concat([messageHead(message.length, true), message, messageHead(1, false), Buffer.of(7)]));
    return socket;
  };
  const session = (): Session | undefined => g.sessions.findLast(({ peer }) => peer === "b");
  for (const [by, label] of [
    [own, "renewed"],
    [next, "another"],
  ] as const) {
    await gone(await shown(by, label));
    await until(() => session()?.ends.length === 1);
    assert.deepEqual([session()?.ends[0]?.loss, session()?.got], ["malformed", []]);
  }
  const good = await shown(next);
  await until(() => session()?.got.length === 1);
  assert.deepEqual(session()?.ends, []);
  good.destroy();
});

test("hostile peers: half a message reaches nobody, and takes no more memory than came of it", async (t) => {
  const g = await ground(t);
  const sockets = await Promise.all(Array.from({ length: 20 }, (_, at) => member(t, g, `b${at}`)));
  const before = process.memoryUsage().arrayBuffers;
  for (const socket of sockets)
    socket.write(Buffer.concat([messageHead(limits.maxRecordBytes, false), Buffer.alloc(10)]));
  const echo = await connected(g.port, identityOf(t, g.ca, "good2"));
  echo.pipe.send(Uint8Array.of(1));
  await until(() => echo.got.length === 1);
  assert.ok(process.memoryUsage().arrayBuffers - before < limits.maxRecordBytes);
  for (const socket of sockets) socket.destroy();
  await until(() => g.listener.peers === 2);
  for (const { peer, got, ends } of g.sessions)
    if (peer.startsWith("b")) assert.deepEqual([got, ends.map(({ loss }) => loss)], [[], ["broken"]]);
});

test("hostile peers: who takes too long to show who he is is cut off, also while he drips bytes", async (t) => {
  const g = await ground(t, { headersTimeoutMs: 300 });
  const idle = raw(g.port);
  const dripping = raw(g.port);
  const hello = Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
  let at = 0;
  const drip = setInterval(() => void dripping.write(Buffer.of(hello[at++] ?? 0)), 20);
  t.after(() => clearInterval(drip));
  await Promise.all([gone(idle), gone(dripping)]);
  await g.unharmed();
});

test("hostile peers: two thousand idle sockets hold a bounded number of places, and nodes get in", async (t) => {
  const g = await ground(t);
  const before = process.memoryUsage().rss;
  const sockets = Array.from({ length: 2000 }, () => raw(g.port));
  let most = 0;
  const watch = setInterval(() => void (most = Math.max(most, g.listener.strangers)), 1);
  t.after(() => clearInterval(watch));
  let closed = 0;
  for (const socket of sockets) socket.once("close", () => closed++).resume();
  await until(() => closed >= 2000 - 256);
  const late = await connected(g.port, identityOf(t, g.ca, "good"));
  late.pipe.send(Uint8Array.of(1));
  await until(() => late.got.length === 1);
  assert.ok(most <= 256 && most > 200, `at most ${most} strangers`);
  assert.ok(process.memoryUsage().rss - before < 200 << 20);
  for (const socket of sockets) socket.destroy();
  await g.unharmed();
});

test("hostile peers: with as many peers as there may be, one more is refused and the others stay", async (t) => {
  const g = await ground(t, { maxConnections: 2 });
  await connected(g.port, identityOf(t, g.ca, "good"));
  const third = await dialing(g.port, identityOf(t, g.ca, "b"));
  assert.ok(third.kind === "failed" && third.error.code === "UNREACHABLE" && third.loss === "closed");
  assert.match(third.error.message, /as many peers/);
  await g.unharmed();
});

test("hostile peers: a plain connection that says nothing sensible reaches nobody", async (t) => {
  const heard = await listening(t, { kind: "plain", cluster, name: "a" });
  const hello = Buffer.from(`URI:${nodeUri(cluster, "b")}`);
  const odd = [
    Buffer.concat([messageHead(1, false), Buffer.of(1)]),
    Buffer.concat([messageHead(2, true), Buffer.of(controlKind.hello, 1)]),
    Buffer.concat([messageHead(1, true), Buffer.of(controlKind.welcome)]),
    Buffer.concat(
      Array.from({ length: 2 }, () => [
        messageHead(hello.length + 1, true),
        Buffer.of(controlKind.hello),
        hello,
      ]).flat(),
    ),
    Buffer.alloc(1000, 0x41),
  ];
  for (const bytes of odd) {
    const socket = raw(heard.port);
    socket.write(bytes);
    await gone(socket);
  }
  await until(() => heard.sessions.every(({ ends }) => ends.length === 1));
  assert.ok(heard.sessions.length <= 1 && heard.sessions.every(({ got }) => got.length === 0));
});

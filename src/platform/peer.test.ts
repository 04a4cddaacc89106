import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { connected, dialing, identityOf, limits, listening, newCa, until, world } from "./peer.fixture.ts";
import { dialPeer } from "./peer-dial.ts";
import type { PeerIdentity } from "./identity.ts";

const plain = (name: string): PeerIdentity => ({ kind: "plain", cluster: "0f".repeat(16), name });

test("peers: messages arrive whole and in order, both ways, whatever their size, with and without TLS", async (t) => {
  const ca = newCa(t);
  const pairs = [
    [identityOf(t, ca, "a"), identityOf(t, ca, "b")],
    [plain("a"), plain("b")],
  ] as const;
  for (const [a, b] of pairs) {
    const { port, sessions } = await listening(t, a);
    const dialed = await connected(port, b);
    assert.deepEqual([dialed.peer, sessions[0]?.peer], ["a", "b"]);
    const sizes = [0, 1, 100, 0, 16_384, 70_000, 3_000_000, 5, 0];
    for (const [from, to] of [
      [dialed, sessions[0]!],
      [sessions[0]!, dialed],
    ] as const) {
      sizes.forEach((size, at) => from.pipe.send(new Uint8Array(size).fill(at + 1)));
      await until(() => to.got.length === sizes.length);
      to.got.forEach((bytes, at) => assert.ok(bytes.length === sizes[at] && bytes.every((byte) => byte === at + 1)));
      await until(() => from.drained > 0 && from.pipe.unsentBytes() === 0);
    }
  }
});

test("peers: an end that is closed is told to the other side, once, after what was sent before", async (t) => {
  const ca = newCa(t);
  const { port, sessions, listener } = await listening(t, identityOf(t, ca, "a"));
  const dialed = await connected(port, identityOf(t, ca, "b"));
  dialed.pipe.send(new Uint8Array(500_000));
  dialed.pipe.close("drained");
  dialed.pipe.close("again");
  dialed.pipe.send(new Uint8Array(1));
  await until(() => sessions[0]!.ends.length === 1 && dialed.ends.length === 1);
  assert.deepEqual(sessions[0]!.ends, [{ why: "drained", loss: "closed" }]);
  assert.deepEqual(dialed.ends, [{ why: "drained", loss: "closed" }]);
  assert.deepEqual(
    sessions[0]!.got.map(({ length }) => length),
    [500_000],
  );
  assert.equal(listener.peers, 0);
});

test("peers: a listener that closes says so to every peer, and takes no new one", async (t) => {
  const ca = newCa(t);
  const { port, listener } = await listening(t, identityOf(t, ca, "a"));
  const b = identityOf(t, ca, "b");
  const all = await Promise.all([connected(port, b), connected(port, b)]);
  await listener.close("going home");
  for (const { ends } of all) assert.deepEqual(ends, [{ why: "going home", loss: "closed" }]);
  const late = await dialing(port, b);
  assert.ok(late.kind === "failed" && late.loss === "refused" && late.error.code === "UNREACHABLE");
});

test("peers: while paused no message arrives, and what is sent meanwhile waits at the other end; none is lost", async (t) => {
  const ca = newCa(t);
  const { port, sessions } = await listening(t, identityOf(t, ca, "a"), {
    on: ({ pipe, got }) => got.length % 10 === 1 && pipe.pause(),
  });
  const { pipe } = await connected(port, identityOf(t, ca, "b"));
  const [session] = sessions;
  const chunk = 100_000;
  let sent = 0;
  while (pipe.unsentBytes() < 4 << 20) {
    pipe.send(new Uint8Array(chunk).fill(sent++));
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(session!.got.length, 1);
  for (let seen = 1; session!.got.length < sent; seen += 10) {
    session!.pipe.resume();
    await until(() => session!.got.length === Math.min(sent, seen + 10));
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(session!.got.length, Math.min(sent, seen + 10));
  }
  session!.got.forEach((bytes, at) => assert.ok(bytes.length === chunk && bytes[0] === at % 256));
});

test("peers: a process that is killed is gone at once at the other side, with no word", async (t) => {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.resolve("./peer-child.fixture.ts"))], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => void child.kill("SIGKILL"));
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  const { port } = JSON.parse(line.toString()) as { port: number };
  const dialed = await connected(port, plain("b"));
  const began = performance.now();
  child.kill("SIGKILL");
  await until(() => dialed.ends.length === 1);
  assert.equal(dialed.ends[0]!.loss, "broken");
  assert.ok(performance.now() - began < 500);
  const again = await dialing(port, plain("b"));
  assert.ok(again.kind === "failed" && again.loss === "refused");
});

test("peers: one who does not answer is silent, one who does not listen refuses, one who speaks otherwise is malformed", async (t) => {
  const ca = newCa(t);
  const b = identityOf(t, ca, "b");
  const quiet = (socket: Socket): Socket => socket.on("error", () => {}).resume();
  const mute = createServer(quiet);
  const rude = createServer((socket) => void quiet(socket).end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  for (const server of [mute, rude]) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(() => void server.close());
  }
  const portOf = (server: typeof mute): number => (server.address() as AddressInfo).port;
  const silent = await dialing(portOf(mute), b, { timeoutMs: 50 });
  assert.ok(silent.kind === "failed" && silent.loss === "silent", JSON.stringify(silent));
  const malformed = await dialing(portOf(rude), b);
  assert.ok(malformed.kind === "failed" && malformed.loss === "malformed", JSON.stringify(malformed));
});

test("peers: an attempt that is given up says nothing more", async (t) => {
  const ca = newCa(t);
  const { port, sessions, listener } = await listening(t, identityOf(t, ca, "a"));
  const said: string[] = [];
  const giveUp = dialPeer(
    { host: "127.0.0.1", port, identity: identityOf(t, ca, "b"), limits, world },
    {
      opened: () => assert.fail("opened"),
      failed: (error) => said.push(error.message),
    },
  );
  giveUp();
  giveUp();
  await connected(port, identityOf(t, ca, "c"));
  await until(() => listener.strangers === 0);
  assert.deepEqual([said, sessions.map(({ peer }) => peer)], [[], ["c"]]);
});

test("peers: only the node that is meant will do, and only of this cluster, without certificates too", async (t) => {
  const ca = newCa(t);
  const { port, sessions } = await listening(t, identityOf(t, ca, "a"));
  const b = identityOf(t, ca, "b");
  const wrong = await dialing(port, b, { expect: "c" });
  assert.ok(wrong.kind === "failed" && wrong.loss === "untrusted" && wrong.error.code === "UNTRUSTED");
  assert.match(wrong.error.message, /is of a, not of c/);
  assert.equal((await connected(port, b, { expect: "a" })).peer, "a");
  assert.ok(sessions.every(({ ends, got }) => got.length === 0 || ends.length > 0));
  const open = await listening(t, plain("a"));
  const foreign = await dialing(open.port, { kind: "plain", cluster: "another", name: "b" });
  assert.ok(foreign.kind === "failed" && foreign.loss === "untrusted");
  const mistaken = await dialing(open.port, plain("b"), { expect: "c" });
  assert.ok(mistaken.kind === "failed" && mistaken.loss === "untrusted");
  assert.equal(open.sessions.filter(({ peer }) => peer !== "b").length, 0);
});

test("peers: without certificates only loopback is spoken over", async (t) => {
  await assert.rejects(listening(t, plain("a"), { host: "0.0.0.0" }), { code: "USAGE" });
  const far = await dialing(1, plain("a"), { host: "192.0.2.1" });
  assert.ok(far.kind === "failed" && /loopback only/.test(far.error.message));
});

test("peers: a port that is taken is said to be", async (t) => {
  const { port } = await listening(t, plain("a"));
  await assert.rejects(listening(t, plain("b"), { port }), { code: "IN_USE" });
});

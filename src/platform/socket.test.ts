import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect as connectTcp } from "node:net";
import { test, type TestContext } from "node:test";
import { WebSocket } from "ws";
import { defaultLimits } from "../base/index.ts";
import type { Pipe, PipeEnd } from "../rpc/index.ts";
import { socketServer, type SocketServer, type SocketServerOptions } from "./socket.ts";

type Session = { readonly pipe: Pipe; readonly got: Uint8Array[]; drained: number; ended: string | undefined };

async function serving(
  t: TestContext,
  given: Partial<SocketServerOptions> = {},
): Promise<{ url: string; port: number; sessions: Session[]; server: SocketServer }> {
  const sessions: Session[] = [];
  const open = (pipe: Pipe): PipeEnd => {
    const session: Session = { pipe, got: [], drained: 0, ended: undefined };
    sessions.push(session);
    return {
      message: (bytes) => void session.got.push(bytes),
      drained: () => void session.drained++,
      closed: (why) => void (session.ended = why),
    };
  };
  const server = socketServer({ limits: defaultLimits, open, ...given });
  const http = createServer();
  http.on("upgrade", server.onUpgrade);
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  t.after(async () => {
    server.close();
    http.close();
    await once(http, "close");
  });
  const { port } = http.address() as AddressInfo;
  return { url: `ws://127.0.0.1:${port}/connect`, port, sessions, server };
}

const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
};

async function opened(url: string, options: { origin?: string } = {}): Promise<WebSocket> {
  const socket = new WebSocket(url, options);
  await once(socket, "open");
  return socket;
}

const refused = async (url: string, options: { origin?: string } = {}): Promise<string> => {
  const [error] = (await once(new WebSocket(url, options), "error")) as [Error];
  return error.message;
};

test("a socket: messages arrive whole and in order, both ways", async (t) => {
  const { url, sessions } = await serving(t);
  const socket = await opened(url);
  const got: number[] = [];
  socket.on("message", (bytes: Buffer) => got.push(bytes[0]!));
  for (let i = 0; i < 100; i++) socket.send(new Uint8Array([i]));
  await until(() => sessions[0]?.got.length === 100);
  assert.deepEqual(
    sessions[0]!.got.map((bytes) => bytes[0]),
    Array.from({ length: 100 }, (_, i) => i),
  );
  for (let i = 0; i < 100; i++) sessions[0]!.pipe.send(new Uint8Array([i]));
  await until(() => got.length === 100);
  assert.deepEqual(
    got,
    Array.from({ length: 100 }, (_, i) => i),
  );
  assert.ok(sessions[0]!.drained > 0);
  sessions[0]!.pipe.close("enough");
  const [code, why] = (await once(socket, "close")) as [number, Buffer];
  assert.deepEqual([code, why.toString()], [1000, "enough"]);
  await until(() => sessions[0]!.ended !== undefined);
});

test("a socket: another path, a foreign page and a foreign host name are refused", async (t) => {
  const { url, port, sessions } = await serving(t, { hosts: ["127.0.0.1"], origins: ["https://app.example"] });
  assert.match(await refused(`ws://127.0.0.1:${port}/other`), /404/);
  assert.match(await refused(url, { origin: "https://evil.example" }), /403/);
  assert.match(await refused(url, { origin: "null" }), /403/);
  assert.match(await refused(url.replace("127.0.0.1", "localhost")), /403|ECONNREFUSED/);
  for (const origin of [`http://127.0.0.1:${port}`, "https://app.example"]) (await opened(url, { origin })).terminate();
  assert.equal(sessions.length, 2);
});

test("a socket: one over the number of connections is refused", async (t) => {
  const { url } = await serving(t, { limits: { ...defaultLimits, maxConnections: 1 } });
  await opened(url);
  assert.match(await refused(url), /503/);
});

test("a socket: a message over its limit ends the connection, and a neighbour goes on", async (t) => {
  const { url, sessions } = await serving(t, { limits: { ...defaultLimits, maxRequestBytes: 1000 } });
  const [bad, good] = [await opened(url), await opened(url)];
  bad.send(new Uint8Array(1001));
  const [code] = (await once(bad, "close")) as [number];
  assert.equal(code, 1009);
  good.send(new Uint8Array(1000));
  await until(() => sessions[1]!.got.length === 1);
  await until(() => sessions[0]!.ended !== undefined);
});

test("a socket: text and broken framing reach nobody but end their own connection", async (t) => {
  const { url, port, sessions } = await serving(t);
  const good = await opened(url);
  const raw = connectTcp(port, "127.0.0.1");
  raw.write(
    `GET /connect HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MTIzNDU2Nzg5MDEyMzQ1Ng==\r\n\r\n`,
  );
  await once(raw, "data");
  raw.write(Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff]));
  await once(raw, "close");
  await until(() => sessions[1]!.ended !== undefined);
  good.send("text");
  await until(() => sessions[0]!.got.length === 1);
  assert.equal(sessions[0]!.got[0]!.length, 0);
});

test("a socket: one that answers no pings is cut", async (t) => {
  const { port, sessions, server } = await serving(t, { heartbeatMs: 20 });
  const raw = connectTcp(port, "127.0.0.1");
  raw.write(
    `GET /connect HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MTIzNDU2Nzg5MDEyMzQ1Ng==\r\n\r\n`,
  );
  raw.resume();
  await once(raw, "close");
  await until(() => sessions[0]!.ended !== undefined);
  assert.equal(server.size, 0);
});

test("a socket: who does not read is paused, and what waits for him is known", async (t) => {
  const { url, sessions } = await serving(t);
  const socket = await opened(url);
  socket.pause();
  const { pipe } = sessions[0]!;
  const chunk = new Uint8Array(1 << 20);
  while (pipe.unsentBytes() < 4 << 20) {
    pipe.send(chunk);
    await new Promise((resolve) => setImmediate(resolve));
  }
  pipe.pause();
  socket.send(new Uint8Array([1]));
  assert.equal(sessions[0]!.drained > 0 && pipe.unsentBytes() === 0, false);
  socket.resume();
  await until(() => pipe.unsentBytes() === 0);
  assert.equal(sessions[0]!.got.length, 0);
  pipe.resume();
  await until(() => sessions[0]!.got.length === 1);
});

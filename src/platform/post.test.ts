// Requests to services outside: where they may go, and that whatever is at the other end cannot hold them or fill the memory.

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { test } from "node:test";
import { SheafError } from "../base/index.ts";
import type { PostRequest } from "../gateway/index.ts";
import { mayReach, outwardPost } from "./post.ts";

type Context = { after(fn: () => void): void };

const asked = (url: string, given: Partial<PostRequest> = {}): PostRequest => ({
  url,
  headers: { accept: "application/json" },
  body: "{}",
  deadline: performance.now() + 60_000,
  signal: undefined,
  maxReplyBytes: 1000,
  private: true,
  ...given,
});

function poster(t: Context): (request: PostRequest) => ReturnType<ReturnType<typeof outwardPost>["post"]> {
  const made = outwardPost(() => performance.now());
  t.after(() => made.close());
  return made.post;
}

async function serve(t: Context, answer: http.RequestListener): Promise<string> {
  const server = http.createServer(answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const failing = (code: string, outcome: string) => (error: unknown) => {
  assert.ok(error instanceof SheafError, String(error));
  assert.deepEqual([error.code, error.outcome], [code, outcome], error.message);
  return true;
};

test("post: addresses of machines' credentials, multicast and translators are never reached, private ones only when allowed", () => {
  const never = [
    "0.0.0.0",
    "169.254.169.254",
    "169.254.0.1",
    "100.100.100.200",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "fe80::1",
    "ff02::1",
    "fd00:ec2::254",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "not-an-address",
    "",
  ];
  for (const address of never) assert.equal(mayReach(address, true), false, address);
  const local = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "::1",
    "fd12::1",
    "::ffff:127.0.0.1",
  ];
  for (const address of [...local, "::ffff:7f00:1"]) {
    assert.equal(mayReach(address, false), false, address);
    assert.equal(mayReach(address, true), true, address);
  }
  for (const address of ["93.184.216.34", "8.8.8.8", "2606:4700::1111"])
    assert.equal(mayReach(address, false), true, address);
});

test("post: a name or an address, however it is written, that leads to this machine is not reached unless it is private", async (t) => {
  let reached = 0;
  const url = await serve(t, (_, response) => void (reached++, response.end("{}")));
  const { port } = new URL(url);
  const post = poster(t);
  for (const host of [
    "localhost",
    "127.0.0.1",
    "2130706433",
    "0x7f.1",
    "017700000001",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "127.1",
  ])
    await assert.rejects(
      post(asked(`http://${host}:${port}/`, { private: false })),
      failing("UNREACHABLE", "not-applied"),
    );
  await assert.rejects(post(asked("http://169.254.169.254/")), failing("UNREACHABLE", "not-applied"));
  assert.equal(reached, 0);
  assert.equal((await post(asked(`http://localhost:${port}/`))).status, 200);
});

test("post: redirects are not followed, and the answer is what was said", async (t) => {
  let reached = 0;
  const url = await serve(t, (request, response) => {
    reached++;
    response.writeHead(307, { location: "/elsewhere", "content-type": "text/plain" });
    response.end(request.method);
  });
  const { status, type, body } = await poster(t)(asked(url));
  assert.deepEqual([status, type, new TextDecoder().decode(body), reached], [307, "text/plain", "POST", 1]);
});

test("post: where nobody listens nothing was applied", async (t) => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  await assert.rejects(poster(t)(asked(`http://127.0.0.1:${port}`)), failing("UNREACHABLE", "not-applied"));
  await assert.rejects(poster(t)(asked(`https://127.0.0.1:${port}`)), failing("UNREACHABLE", "not-applied"));
});

test("post: a connection that breaks, and an answer that is too long or never ends, are failures of unknown outcome", async (t) => {
  const post = poster(t);
  const breaks = await serve(t, (request) => void request.socket.destroy());
  await assert.rejects(post(asked(breaks)), failing("CALL_LOST", "unknown"));
  const long = await serve(t, (_, response) => void response.end("x".repeat(5000)));
  await assert.rejects(post(asked(long)), failing("TOO_LARGE", "unknown"));
  const endless = await serve(t, (_, response) => {
    response.on("error", () => {});
    const more = (): void => void (response.destroyed || (response.write("x".repeat(100)), setImmediate(more)));
    more();
  });
  await assert.rejects(post(asked(endless)), failing("TOO_LARGE", "unknown"));
  const half = await serve(t, (_, response) => {
    response.writeHead(200, { "content-length": "100" });
    response.write("half");
    setImmediate(() => response.destroy());
  });
  await assert.rejects(post(asked(half)), failing("CALL_LOST", "unknown"));
});

test("post: whoever does not answer is left at the deadline, and a caller who gives up is let go", async (t) => {
  const post = poster(t);
  const arrived = Promise.withResolvers<void>();
  const url = await serve(t, () => arrived.resolve());
  const giveUp = new AbortController();
  const waiting = post(asked(url, { signal: giveUp.signal }));
  await arrived.promise;
  giveUp.abort();
  await assert.rejects(waiting, failing("CANCELLED", "unknown"));
  await assert.rejects(
    post(asked(url, { deadline: performance.now() + 50 })),
    (error: SheafError) => error.code === "DEADLINE",
  );
  await assert.rejects(post(asked(url, { deadline: 0 })), (error: SheafError) => error.code === "DEADLINE");
});

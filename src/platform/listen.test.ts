// The real listener against clients that mean harm, are slow, or go away. Sockets are raw, so that nothing tidies what they send.

import assert from "node:assert/strict";
import { request as httpRequest } from "node:http";
import { connect, type Socket } from "node:net";
import { after, test } from "node:test";
import { once } from "node:events";
import { defaultLimits } from "../base/index.ts";
import { bench } from "../gateway/gateway.fixture.ts";
import type { Answer, Incoming } from "../http/index.ts";
import { listen, type Listener, type ListenOptions } from "./listen.ts";

const opened: Listener[] = [];
after(() => Promise.all(opened.map((one) => one.close(0))));

const ok = async (): Promise<Answer> => ({ status: 200, body: "ok" });

async function open(options: Partial<ListenOptions> = {}): Promise<Listener> {
  const listener = await listen({ port: 0, answer: ok, limits: defaultLimits, ...options });
  opened.push(listener);
  return listener;
}

/** Sends bytes and returns everything that came back until the connection ended. */
function raw(port: number, ...chunks: string[]): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const socket = connect(port, "127.0.0.1", () => {
      for (const chunk of chunks) socket.write(chunk, "latin1");
    });
    socket.setEncoding("latin1");
    socket.on("data", (more: string) => (text += more));
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(text));
  });
}

const statuses = (text: string): string[] => [...text.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map((match) => match[1] ?? "");

test("listen: a request that two readers could read differently is refused, closed, and reaches nobody", async () => {
  let served = 0;
  const { port } = await open({ answer: () => (served++, ok()) });
  const head = "POST /x HTTP/1.1\r\nHost: a\r\n";
  const smuggled = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
  const corpus: Record<string, string> = {
    "two Host headers": "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "two Host headers, alike": "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
    "a Host that is none": "GET / HTTP/1.1\r\nHost: \r\n\r\n",
    "a path in Host": "GET / HTTP/1.1\r\nHost: b/x.localhost\r\n\r\n",
    "a user in Host": "GET / HTTP/1.1\r\nHost: a@localhost\r\n\r\n",
    "two names in Host": "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "no Host": "GET / HTTP/1.1\r\n\r\n",
    "absolute form": "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute form, https": "GET https://b/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "authority form": "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    "asterisk form": "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target of two slashes": "GET //b/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "backslash in the target": "GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n",
    "fragment in the target": "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    "raw bytes in the target": "GET /\u00e9 HTTP/1.1\r\nHost: a\r\n\r\n",
    "both lengths": `${head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    "both lengths, the other way": `${head}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n${smuggled}`,
    "two lengths": `${head}Content-Length: 0\r\nContent-Length: 40\r\n\r\n${smuggled}`,
    "a list of lengths": `${head}Content-Length: 0, 40\r\n\r\n${smuggled}`,
    "a signed length": `${head}Content-Length: +4\r\n\r\nabcd`,
    "a length in hex": `${head}Content-Length: 0x4\r\n\r\nabcd`,
    "chunked and identity": `${head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
    "a chunked that is none": `${head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`,
    "chunked twice": `${head}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    "a coding before chunked": `${head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
    identity: `${head}Transfer-Encoding: identity\r\n\r\n${smuggled}`,
    "space before the colon": `${head}Content-Length : 4\r\n\r\nabcd`,
    "a folded header": `${head}X: a\r\n b: c\r\n\r\n`,
    "bare line feeds": "GET / HTTP/1.1\nHost: a\n\n",
    "a bare carriage return": "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
    "a NUL in a header": "GET / HTTP/1.1\r\nHost: a\r\nX: a\u0000b\r\n\r\n",
    "a space in the target": "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "an unknown version": "GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    "another protocol": "\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003\r\n\r\n",
    "HTTP/2 without asking": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "headers without end": `GET / HTTP/1.1\r\nHost: a\r\n${`X: ${"a".repeat(1000)}\r\n`.repeat(20)}\r\n`,
    "an endless target": `GET /${"a".repeat(20_000)} HTTP/1.1\r\nHost: a\r\n\r\n`,
    "an expectation": `${head}Expect: 200-maybe\r\nContent-Length: 2\r\n\r\n{}`,
    "an upgrade nobody takes": "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "an upgrade with two Host headers":
      "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    CONNECT: "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n",
  };
  for (const [name, bytes] of Object.entries(corpus)) {
    const text = await raw(port, bytes);
    const [first, ...more] = statuses(text);
    if (name === "CONNECT") assert.equal(text, "", name);
    else assert.match(first ?? "none", /^(400|417|431)$/, `${name}: ${text.slice(0, 200)}`);
    assert.deepEqual(more, [], `${name}: nothing after the refusal is answered`);
  }
  assert.equal(served, 0);
});

test("listen: bad chunks never become a second request", async () => {
  const paths: string[] = [];
  const { port } = await open({
    answer: async (request) => {
      paths.push(request.url);
      await request.read(1000).catch(() => undefined);
      return ok();
    },
  });
  const head = "POST /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const body of [
    "zz\r\nab\r\n0\r\n\r\n",
    "-1\r\nab\r\n0\r\n\r\n",
    "1\nab\r\n0\r\n\r\n",
    `1;${"a".repeat(20_000)}\r\na\r\n0\r\n\r\n`,
    "1\r\nabc0\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n",
    "fffffffffffffffff\r\n",
  ]) {
    await raw(port, head + body);
  }
  assert.ok(!paths.includes("/second"));
});

/** How long the slowest but one in a hundred of 300 requests takes, one after the other. */
async function p99(url: string): Promise<number> {
  const took: number[] = [];
  for (let i = 0; i < 300; i++) {
    const started = performance.now();
    assert.equal((await fetch(url)).status, 200);
    took.push(performance.now() - started);
  }
  return took.toSorted((a, b) => a - b)[296] ?? Infinity;
}

/** Connections that send a byte now and then: every other one is stuck in its headers, the rest in their bodies. */
async function dawdle(port: number, count: number): Promise<{ ended: Promise<string[]>; stop(): void }> {
  const slow: Socket[] = [];
  const ended: Promise<unknown>[] = [];
  const order: string[] = [];
  for (let i = 0; i < count; i++) {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.write(
      i % 2 === 0
        ? "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "
        : "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{",
    );
    socket.resume();
    slow.push(socket);
    // Not by `once`, which rejects for an error: a byte may be written at the moment at which the server cuts it off.
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    ended.push(closed.then(() => order.push(i % 2 === 0 ? "headers" : "body")));
  }
  for (const socket of slow) if (socket.connecting) await once(socket, "connect");
  const drip = setInterval(() => {
    for (const socket of slow) if (socket.writable) socket.write("a");
  }, 200);
  return { ended: Promise.all(ended).then(() => order), stop: () => clearInterval(drip) };
}

test("listen: good clients are served as promptly while 300 slow ones hold their connections, and those are cut off", async () => {
  const limits = { maxConnections: 1000, headersTimeoutMs: 500, requestTimeoutMs: 3_000 };
  const reads = async (request: Incoming): Promise<Answer> => {
    if (request.method === "POST") await request.read(1000).catch(() => undefined);
    return ok();
  };
  const listener = await open({ limits, answer: reads });
  await p99(listener.url);
  const alone = await p99(listener.url);
  const slow = await dawdle(listener.port, 300);
  const beside = await p99(listener.url);
  const order = await slow.ended;
  slow.stop();
  // A busy machine alone makes a request take this long now and then; one that waited for a slow client takes half a second and more.
  const floorMs = 100;
  assert.ok(beside < Math.max(2 * alone, floorMs), `p99 ${alone} ms alone, ${beside} ms beside slow clients`);
  assert.ok(order.lastIndexOf("headers") < order.indexOf("body"), "headers have the shorter deadline");
  assert.equal((await fetch(listener.url)).status, 200);
});

test("listen: connections past the bound are turned away, and those inside it still served", async () => {
  const listener = await open({ limits: { ...defaultLimits, maxConnections: 5 } });
  const held = Array.from({ length: 5 }, () => connect(listener.port, "127.0.0.1"));
  await Promise.all(held.map((socket) => once(socket, "connect")));
  assert.equal(await raw(listener.port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "");
  held[0]?.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  const [answer] = (await once(held[0] as Socket, "data")) as [Buffer];
  assert.deepEqual(statuses(answer.toString()), ["200"]);
  for (const socket of held) socket.destroy();
});

test("listen: a credential that is sent twice is none", async () => {
  const seen: (string | undefined)[] = [];
  const listener = await open({
    answer: (request) => {
      seen.push(request.header("authorization"), request.header("if-match"), request.header("constructor"));
      return ok();
    },
  });
  const twice = "Authorization: Bearer a\r\nauthorization: Bearer b\r\nIf-Match: 1\r\nIf-Match: 2\r\n";
  await raw(listener.port, `GET / HTTP/1.1\r\nHost: a\r\n${twice}Connection: close\r\n\r\n`);
  assert.deepEqual(seen.slice(0, 2), ["Bearer a, Bearer b", "1, 2"]);
  assert.equal(seen[2], undefined, "what every object has is no header");
});

test("listen: a body that nobody reads does not hold its connection", async () => {
  const listener = await open();
  const head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
  assert.deepEqual(statuses(await raw(listener.port, head, "x")), ["200"]);
});

test("listen: a body over the cap is 413 while it arrives, chunked or declared, and memory stays flat", async () => {
  const b = bench();
  const listener = await open({ answer: b.http.answer });
  const head =
    "POST /entities/account/a/deposit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n";
  assert.deepEqual(statuses(await raw(listener.port, `${head}Content-Length: 999999999999\r\n\r\n{`)), ["413"]);
  const chunk = `10000\r\n${" ".repeat(65_536)}\r\n`;
  const before = process.memoryUsage().rss;
  assert.deepEqual(
    statuses(
      await raw(
        listener.port,
        `${head}Transfer-Encoding: chunked\r\n\r\n`,
        ...Array.from({ length: 400 }, () => chunk),
      ),
    ),
    ["413"],
  );
  assert.ok(process.memoryUsage().rss - before < 150 * 1024 * 1024);
  assert.equal(b.calls.length, 0);
});

test("listen: a client that goes away aborts the request's signal", async () => {
  let aborted: (() => void) | undefined;
  const seen = new Promise<void>((resolve) => (aborted = resolve));
  const listener = await open({
    answer: (request) =>
      new Promise((resolve) => {
        request.signal.addEventListener("abort", () => {
          aborted?.();
          resolve({ status: 200 });
        });
        gone.destroy();
      }),
  });
  const gone = httpRequest({ port: listener.port, host: "127.0.0.1", path: "/" });
  gone.on("error", () => undefined);
  gone.end();
  await seen;
});

test("listen: close() takes nothing new, lets what is under way finish, and ends idle connections", async () => {
  let release: (() => void) | undefined;
  const entered = Promise.withResolvers<undefined>();
  const listener = await open({
    answer: (request) =>
      request.url.endsWith("/slow")
        ? new Promise((resolve) => {
            release = () => resolve({ status: 200, body: "done" });
            entered.resolve(undefined);
          })
        : ok(),
  });
  const idle = connect(listener.port, "127.0.0.1");
  idle.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await once(idle, "data");
  const slow = fetch(`${listener.url}/slow`);
  await entered.promise;
  const idleEnded = once(idle, "close");
  const closed = listener.close();
  await idleEnded;
  await assert.rejects(fetch(listener.url));
  release?.();
  assert.equal(await (await slow).text(), "done");
  await closed;
  await listener.close();
});

test("listen: what does not finish within the grace is cut off", async () => {
  const listener = await open({ answer: () => new Promise(() => undefined) });
  const stuck = fetch(listener.url).then(
    () => "answered",
    () => "cut off",
  );
  const probe = connect(listener.port, "127.0.0.1");
  probe.on("error", () => undefined);
  await once(probe, "connect");
  await listener.close(50);
  assert.equal(await stuck, "cut off");
});

test("listen: a taken port is IN_USE, or the next free one when that is allowed", async () => {
  const first = await open();
  await assert.rejects(listen({ port: first.port, answer: ok, limits: defaultLimits }), { code: "IN_USE" });
  const second = await open({ port: first.port, tries: 20 });
  assert.ok(second.port > first.port && second.port <= first.port + 20);
  await assert.rejects(listen({ port: 0, host: "192.0.2.1", answer: ok, limits: defaultLimits }), { code: "USAGE" });
});

test("listen: an upgrade is handed over with the bytes that came with it", async () => {
  const listener = await open({
    onUpgrade: (request, socket, head) =>
      socket.end(`HTTP/1.1 101 Switching Protocols\r\n\r\n${request.url} ${head.toString()}`),
  });
  const text = await raw(
    listener.port,
    "GET /connect HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello",
  );
  assert.match(text, /^HTTP\/1\.1 101 [^]*\/connect hello$/);
});

test("listen: a function that throws is 500 without a word of why", async () => {
  const listener = await open({
    answer: () => {
      throw new Error("hunter2");
    },
  });
  const answer = await fetch(listener.url);
  assert.equal(answer.status, 500);
  assert.doesNotMatch(await answer.text(), /hunter2/);
});

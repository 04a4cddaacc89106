// S1 and S1g: remote procedure calls. An object of 100 bytes, validated in and out, with a deadline and the context of a trace.

import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { fork } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { works } from "../../src/cli/bench.ts";
import { Echo } from "../../src/cli/bench-app.ts";
import { serveBareHttp } from "../../src/gateway/bare-http.fixture.ts";
import { bindClient } from "../../src/model/index.ts";
import { anonymous } from "../../src/rpc/index.ts";
import type { Contender } from "../contender.ts";
import { rawTcp, rawTls } from "../limits.ts";
import { embedded, joinedHere, ours, startNodes } from "../ours.ts";
import { rateCheck, timeCheck } from "../outcome.ts";
import { peer } from "../peer.ts";
import { relayApp, relayAppFile } from "../relay-app.ts";
import type { Row } from "../row.ts";

const input = { by: 1, memo: "x".repeat(80) };
const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const deadlineMs = 10_000;

/** A node in this process calls a service that only another node offers: its router, mutual TLS, the other node. */
const nodeToNode: Contender = {
  name: "node to node",
  role: "ours",
  async start() {
    const nodes = await startNodes(embedded, { flags: { name: "there" } });
    const here = await joinedHere(nodes, relayApp);
    const client = bindClient((target, given) => {
      const deadline = performance.now() + deadlineMs;
      return here.node
        .call({ target, input: given, principal: anonymous, deadline, trace })
        .then(({ output }) => output);
    });
    const { say } = client.service(Echo);
    return {
      once: () => say(input),
      pids: nodes.pids,
      async stop() {
        await here.stop();
        await nodes.stop();
      },
    };
  },
};

const throughConnect = ours("connect() to a node", () => embedded, {}, works.call.once);

/** `connect()` to a node that does not offer the service and passes the call on to one that does. */
const throughAnother: Contender = {
  name: "connect() past a node",
  role: "ours",
  async start() {
    const nodes = await startNodes(embedded, { flags: { name: "there" } });
    const engine = `sqlite:${nodes.folder}/data`;
    const relay = await startNodes(embedded, { flags: { name: "relay", engine }, app: relayAppFile });
    return {
      once: () => works.call.once(relay.clients[0]!),
      pids: [...nodes.pids, ...relay.pids],
      async stop() {
        await relay.stop();
        await nodes.stop();
      },
    };
  },
};

const moleculer = peer("Moleculer, TCP", "moleculer");
const nest = peer("NestJS, TCP", "nest");
const fastify = peer("Fastify + undici", "fastify");
const grpc = peer("@grpc/grpc-js", "grpc");

export const calls: Row = {
  id: "S1",
  title: "remote procedure call between two processes, 100-byte object",
  async run({ sideBySide }) {
    const contenders = [rawTls, nodeToNode, throughConnect, throughAnother, rawTcp, moleculer, nest, fastify, grpc];
    const figures = await sideBySide(contenders, [1, 64, 512]);
    const checks = [nodeToNode, throughConnect].flatMap(({ name: ours }) => [
      ...[64, 512].flatMap((inFlight) => [
        rateCheck(figures, { ours, to: rawTls.name, inFlight }, 0.35),
        rateCheck(figures, { ours, to: moleculer.name, inFlight }, 1.5),
        rateCheck(figures, { ours, to: nest.name, inFlight }, 1.5),
        rateCheck(figures, { ours, to: fastify.name, inFlight }, 3),
        rateCheck(figures, { ours, to: grpc.name, inFlight }, 10),
      ]),
      timeCheck(figures, { ours, to: rawTls.name, inFlight: 1 }, 2),
    ]);
    const notes = [
      "Node to node: mutual TLS 1.3, the caller in the first node's process. connect(): one WebSocket without TLS.",
      "Moleculer, NestJS, Fastify and gRPC run without TLS; Moleculer, NestJS and gRPC without validation.",
    ];
    return { figures, checks, notes };
  },
};

/** Requests over 64 kept connections, one under way on each, as bare as they can be made. */
function requests(port: number, path: string, open: number): { once(): Promise<void>; close(): void } {
  const body = JSON.stringify(input);
  const head = `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
  const bytes = Buffer.from(head + body);
  const settle = new Map<Socket, PromiseWithResolvers<void>>();
  const waiting: ((socket: Socket) => void)[] = [];
  const free = Array.from({ length: open }, () => {
    const socket = connectTcp(port, "127.0.0.1").setNoDelay();
    socket.on("data", (part) => {
      // Every answer comes in one piece at this size, and ends with the end of its JSON.
      if (part.at(-1) !== 0x7d) return;
      if (part[9] === 0x32) settle.get(socket)?.resolve();
      else settle.get(socket)?.reject(new Error(part.toString()));
    });
    socket.on("error", (error) => settle.get(socket)?.reject(error));
    return socket;
  });
  return {
    async once() {
      const socket = free.pop() ?? (await new Promise<Socket>((resolve) => void waiting.push(resolve)));
      const answer = Promise.withResolvers<void>();
      settle.set(socket, answer);
      socket.write(bytes);
      await answer.promise;
      const next = waiting.shift();
      if (next) next(socket);
      else free.push(socket);
    },
    close: () => void settle.forEach((_, socket) => socket.destroy()),
  };
}

const connections = 64;
/** Either server was seen to get faster for about as long. */
const warmUpMs = 5000;

const bareHttp: Contender = {
  name: "bare node:http",
  role: "limit",
  warmUpMs,
  async start() {
    const child = fork(fileURLToPath(import.meta.url));
    const [port] = (await once(child, "message")) as [number];
    const { once: call, close } = requests(port, "/services/echo/say", connections);
    return {
      once: call,
      pids: [child.pid!],
      stop() {
        close();
        child.kill();
      },
    };
  },
};

const gateway: Contender = {
  name: "HTTP gateway",
  role: "ours",
  warmUpMs,
  async start() {
    const nodes = await startNodes(embedded);
    const { once: call, close } = requests(
      Number(new URL(nodes.ready[0]!.gateway).port),
      "/services/echo/say",
      connections,
    );
    return {
      once: call,
      pids: nodes.pids,
      async stop() {
        close();
        await nodes.stop();
      },
    };
  },
};

export const gatewayCalls: Row = {
  id: "S1g",
  title: "the same through the HTTP gateway, JSON, over 64 kept connections",
  async run({ sideBySide }) {
    const figures = await sideBySide([bareHttp, gateway], [1, 64]);
    return { figures, checks: [rateCheck(figures, { ours: gateway.name, to: bareHttp.name, inFlight: 64 }, 0.7)] };
  },
};

if (import.meta.main) {
  process.on("disconnect", () => process.exit(0));
  process.send?.(await serveBareHttp());
}

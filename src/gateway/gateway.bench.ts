// What the HTTP gateway costs over a bare node:http server that echoes JSON: the same clients, the same bytes, one run, alternating.
// The call behind the gateway validates its input and output and answers at once, so the difference is the edge itself.
// Prints one line of JSON: { name, concurrency, bareOpsPerSec, gatewayOpsPerSec, ratioToLimit, bareCpuMicros, gatewayCpuMicros, node }.
// Run: node src/gateway/gateway.bench.ts [concurrency]

import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultLimits } from "../base/index.ts";
import { checker } from "../model/index.ts";
import { listen, realHost } from "../platform/index.ts";
import { openAuthenticator, rolePolicy } from "../security/index.ts";
import { serveBareHttp } from "./bare-http.fixture.ts";
import { bank, Rates } from "./gateway.fixture.ts";
import { gateway } from "./index.ts";

const body = JSON.stringify({
  pair: "EUR/USD, as seen from the trading desk in the late afternoon, with some words to fill a hundred bytes",
});
const path = "/services/rates/quote";

async function serveGateway(): Promise<number> {
  const dir = mkdtempSync(join(tmpdir(), "sheaf-bench-"));
  process.on("exit", () => rmSync(dir, { recursive: true, force: true }));
  const host = realHost({ dir, log: { debug() {}, info() {}, warn() {}, error() {} } });
  const check = checker(Rates.procedures.quote.input, "the input", "BAD_INPUT");
  const http = gateway({
    host,
    calls: { call: async ({ input }) => ({ output: check(check(input)) }) },
    contract: () => bank,
    limits: defaultLimits,
    authenticator: openAuthenticator({ id: "dev", roles: ["admin"] }),
    policy: rolePolicy(),
    shards: 8,
    ready: () => ({ ok: true, checks: {} }),
  });
  return (await listen({ port: 0, answer: http.answer, limits: defaultLimits })).port;
}

/** Answers per second over `ms` from `concurrency` connections, each with one request under way. */
async function load(port: number, concurrency: number, ms: number): Promise<number> {
  const bytes = Buffer.from(
    `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  let answers = 0;
  const sockets = Array.from({ length: concurrency }, () => {
    const socket = connect(port, "127.0.0.1");
    socket.setNoDelay(true);
    socket.on("data", (part) => {
      // Every answer comes in one piece at this size, and ends with the end of its JSON.
      if (part[part.length - 1] !== 0x7d) return;
      if (part[9] !== 0x32) throw new Error(part.toString());
      answers++;
      socket.write(bytes);
    });
    socket.write(bytes);
    return socket;
  });
  await new Promise((resolve) => setTimeout(resolve, ms));
  for (const socket of sockets) socket.destroy();
  return (answers / ms) * 1000;
}

async function start(what: string): Promise<{ port: number; cpuMicros: () => Promise<number>; stop: () => void }> {
  const child = fork(import.meta.filename, [what]);
  const [port] = (await once(child, "message")) as [number];
  const cpuMicros = async (): Promise<number> => {
    child.send("cpu");
    return ((await once(child, "message")) as [number])[0];
  };
  return { port, cpuMicros, stop: () => child.kill() };
}

/** CPU time of a request in the round that other work on the machine disturbed least. */
const least = (values: number[]): number => Math.min(...values);
const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

async function compare(concurrency: number): Promise<void> {
  const ms = 1000;
  const servers = { bare: await start("bare"), gateway: await start("gateway") };
  const rates: Record<string, number[]> = { bare: [], gateway: [] };
  const costs: Record<string, number[]> = { bare: [], gateway: [] };
  for (const server of Object.values(servers)) await load(server.port, concurrency, ms);
  for (let round = 0; round < 8; round++) {
    for (const [name, server] of Object.entries(servers)) {
      const before = await server.cpuMicros();
      const rate = await load(server.port, concurrency, ms);
      rates[name]?.push(rate);
      costs[name]?.push(((await server.cpuMicros()) - before) / ((rate * ms) / 1000));
    }
  }
  for (const server of Object.values(servers)) server.stop();
  const [bare, through] = [median(rates["bare"] ?? []), median(rates["gateway"] ?? [])];
  console.log(
    JSON.stringify({
      name: "S1g gateway",
      concurrency,
      bareOpsPerSec: Math.round(bare),
      gatewayOpsPerSec: Math.round(through),
      ratioToLimit: Number((through / bare).toFixed(2)),
      bareCpuMicros: Math.round(least(costs["bare"] ?? [])),
      gatewayCpuMicros: Math.round(least(costs["gateway"] ?? [])),
      node: process.version,
    }),
  );
}

const [what = "64"] = process.argv.slice(2);
if (what === "bare" || what === "gateway") {
  process.on("SIGINT", () => process.exit(0));
  process.on("message", () => {
    const { user, system } = process.cpuUsage();
    process.send?.(user + system);
  });
  process.send?.(await (what === "bare" ? serveBareHttp() : serveGateway()));
} else {
  await compare(Number(what));
}

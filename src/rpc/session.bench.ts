// What a call costs beyond moving its bytes: typed calls from `connect` to a `Calls` that echoes, in another process, beside
// echoes over raw TCP and a bare WebSocket in the same run. Prints one JSON line per figure.
//
//   node src/rpc/session.bench.ts [seconds per figure] [rounds]

import { fork } from "node:child_process";
import { createServer as createHttp } from "node:http";
import { type AddressInfo, connect as connectTcp, createServer as createTcp } from "node:net";
import { WebSocket as Ws, WebSocketServer } from "ws";
import { z } from "zod";
import { connect } from "../client/index.ts";
import { sockets } from "../gateway/socket.ts";
import { defaultLimits } from "../base/index.ts";
import { contract, service } from "../model/index.ts";
import { realHost } from "../platform/index.ts";
import { socketServer } from "../platform/socket.ts";
import { openAuthenticator, rolePolicy } from "../security/index.ts";
import { pack, unpack } from "../wire/index.ts";
import { bareMessages } from "./bare-messages.fixture.ts";
import type { Calls } from "./call.ts";

const Echo = service("echo", { procedures: { say: { input: z.unknown(), output: z.unknown() } } });
const echoContract = contract("bench", { entities: [], services: [Echo] });
const sample = {
  id: "acc-1234567",
  cents: 1234,
  note: "a small object of about one hundred bytes, as in the table",
  ok: true,
};

type Ports = { readonly tcp: number; readonly http: number };

async function serve(): Promise<void> {
  const tcp = createTcp((socket) => {
    const send = bareMessages(socket, (bytes) => send(pack(unpack(bytes))), setImmediate);
  });
  const http = createHttp();
  const host = realHost({ dir: process.env["BENCH_DIR"] ?? "." });
  const calls: Calls = { call: async (call) => ({ output: call.input }) };
  const authenticator = openAuthenticator({ id: "bench", roles: ["app"] });
  const gateway = sockets({
    host,
    calls,
    contract: () => echoContract,
    limits: defaultLimits,
    authenticator,
    policy: rolePolicy(),
    cluster: "bench",
  });
  const ours = socketServer({ limits: defaultLimits, open: (pipe) => gateway.open(pipe) });
  const bare = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  http.on("upgrade", (request, socket, head) => {
    if (request.url !== "/bare") return ours.onUpgrade(request, socket, head);
    bare.handleUpgrade(request, socket, head, (ws) =>
      ws.on("message", (bytes: Buffer) => ws.send(pack(unpack(bytes)))),
    );
  });
  await new Promise<void>((resolve) => void tcp.listen(0, "127.0.0.1", resolve));
  await new Promise<void>((resolve) => void http.listen(0, "127.0.0.1", resolve));
  process.send?.({
    tcp: (tcp.address() as AddressInfo).port,
    http: (http.address() as AddressInfo).port,
  } satisfies Ports);
  process.on("disconnect", () => process.exit());
}

type Echoer = { say(): Promise<unknown>; close(): void };

/** Numbered echoes: what both bare transports need on top to be usable by several callers. */
function numbered(send: (bytes: Uint8Array) => void, close: () => void): Echoer & { heard(bytes: Uint8Array): void } {
  const waiting = new Map<number, (value: unknown) => void>();
  let last = 0;
  return {
    say: () =>
      new Promise((resolve) => {
        waiting.set(++last, resolve);
        send(pack([last, sample]));
      }),
    heard(bytes) {
      const [id, value] = unpack(bytes) as [number, unknown];
      waiting.get(id)?.(value);
      waiting.delete(id);
    },
    close,
  };
}

const dialers: Record<string, (ports: Ports) => Promise<Echoer>> = {
  async "raw-tcp"(ports) {
    const socket = connectTcp(ports.tcp, "127.0.0.1");
    await new Promise((resolve) => socket.once("connect", resolve));
    const echo = numbered(
      (bytes) => send(bytes),
      () => socket.destroy(),
    );
    const send = bareMessages(socket, echo.heard, setImmediate);
    return echo;
  },
  async "bare-ws"(ports) {
    const socket = new Ws(`ws://127.0.0.1:${ports.http}/bare`, { perMessageDeflate: false });
    await new Promise((resolve) => socket.once("open", resolve));
    const echo = numbered(
      (bytes) => socket.send(bytes),
      () => socket.terminate(),
    );
    socket.on("message", (bytes: Buffer) => echo.heard(bytes));
    return echo;
  },
  async connect(ports) {
    const client = connect(echoContract, { url: `http://127.0.0.1:${ports.http}`, transport: "socket" });
    const { say } = client.service(Echo);
    return { say: () => say(sample), close: client.close };
  },
};

type Figure = { ops: number; p50: number; p99: number; cpu: number };

async function measure(
  dial: (ports: Ports) => Promise<Echoer>,
  ports: Ports,
  concurrency: number,
  ms: number,
): Promise<Figure> {
  const echo = await dial(ports);
  await echo.say();
  const took: number[] = [];
  const cpu = process.cpuUsage();
  const start = performance.now();
  const caller = async (): Promise<void> => {
    for (let at = performance.now(); at - start < ms;) {
      await echo.say();
      const now = performance.now();
      took.push(now - at);
      at = now;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, caller));
  const elapsed = performance.now() - start;
  const used = process.cpuUsage(cpu);
  echo.close();
  took.sort((a, b) => a - b);
  const at = (share: number): number => took[Math.floor(took.length * share)] ?? 0;
  return {
    ops: (took.length / elapsed) * 1000,
    p50: at(0.5),
    p99: at(0.99),
    cpu: (used.user + used.system) / took.length,
  };
}

async function bench(seconds: number, rounds: number): Promise<void> {
  const child = fork(import.meta.filename, ["--serve"], {
    execArgv: process.env["BENCH_CHILD_ARGS"]?.split(" ") ?? [],
  });
  const ports = await new Promise<Ports>((resolve) => child.once("message", (message) => resolve(message as Ports)));
  const only = process.env["BENCH_ONLY"]?.split(",") ?? Object.keys(dialers);
  for (const name of only) await measure(dialers[name]!, ports, 64, 500);
  for (const concurrency of [1, 64, 512]) {
    const runs = new Map<string, Figure[]>(only.map((name) => [name, []]));
    for (let round = 0; round < rounds; round++) {
      for (const name of only) runs.get(name)?.push(await measure(dialers[name]!, ports, concurrency, seconds * 1000));
    }
    const median = (name: string): Figure | undefined => runs.get(name)?.sort((a, b) => a.ops - b.ops)[rounds >> 1];
    const limit = median("raw-tcp");
    for (const name of only) {
      const { ops, p50, p99, cpu } = median(name)!;
      const ratioToLimit = limit === undefined ? null : Number((ops / limit.ops).toFixed(3));
      const figure = {
        name,
        concurrency,
        opsPerSec: Math.round(ops),
        p50Ms: Number(p50.toFixed(3)),
        p99Ms: Number(p99.toFixed(3)),
        ratioToLimit,
      };
      console.log(JSON.stringify({ ...figure, clientCpuMicrosPerOp: Number(cpu.toFixed(2)) }));
    }
  }
  child.disconnect();
}

if (process.argv.includes("--serve")) await serve();
else await bench(Number(process.argv[2] ?? 1), Number(process.argv[3] ?? 3));

// What a connection between nodes costs beyond TLS: echoes of 100 bytes from another process through `dialPeer` and `listenPeers`,
// beside echoes of the same bytes behind the same four bytes of length over bare TLS, gathered per turn too, and over `dialPeer`
// without certificates. All in one run, rounds interleaved. Prints one JSON line per figure.
//
//   node src/platform/peer.bench.ts [seconds per figure] [rounds]

import { fork } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, createServer as createTls } from "node:tls";
import { defaultLimits } from "../base/index.ts";
import type { Log } from "../host/index.ts";
import { bareMessages } from "../rpc/bare-messages.fixture.ts";
import type { Pipe } from "../rpc/index.ts";
import { realClock } from "./clock.ts";
import { ensureCa } from "./cluster-ca.ts";
import { type CertifiedIdentity, issuedIdentity, type PeerIdentity } from "./identity.ts";
import { dialPeer } from "./peer-dial.ts";
import { listenPeers } from "./peer-listener.ts";
import { secureContextOf } from "./peer-trust.ts";

const cluster = "bench";
const messageBytes = 100;
const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} };
const world = { clock: realClock(), log: quiet };
const limits = defaultLimits;
const plain = (name: string): PeerIdentity => ({ kind: "plain", cluster, name });

const certified = (dir: string, name: string): CertifiedIdentity =>
  issuedIdentity(ensureCa(dir, { cluster, now: Date.now() }), { name, world });

type Ports = { readonly bare: number; readonly tls: number; readonly plain: number };
type Echo = { send(bytes: Uint8Array<ArrayBuffer>): void; close(): void };
type Dial = (heard: (bytes: Uint8Array) => void) => Promise<Echo>;

const soon = (flush: () => void): void => process.nextTick(flush);

async function serve(dir: string): Promise<void> {
  const identity = certified(dir, "server");
  const server = createTls({ ...secureContextOf(identity), requestCert: true, rejectUnauthorized: true }, (socket) => {
    const send = bareMessages(socket, (bytes) => send(bytes), soon);
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const open = (pipe: Pipe) => ({
    message: (bytes: Uint8Array) => pipe.send(bytes as Uint8Array<ArrayBuffer>),
    drained() {},
    closed() {},
  });
  const tls = await listenPeers({ port: 0, identity, limits, world, open });
  const clear = await listenPeers({ port: 0, identity: plain("server"), limits, world, open });
  const ports: Ports = { bare: (server.address() as AddressInfo).port, tls: tls.port, plain: clear.port };
  process.send?.(ports);
  process.on("disconnect", () => process.exit());
}

function dialers(ports: Ports, dir: string): ReadonlyMap<string, Dial> {
  const identity = certified(dir, "client");
  const through =
    (port: number, as: PeerIdentity): Dial =>
    (heard) =>
      new Promise((resolve, reject) => {
        dialPeer(
          { host: "127.0.0.1", port, identity: as, limits, world },
          {
            opened(pipe) {
              resolve({ send: (bytes) => pipe.send(bytes), close: () => pipe.close("done") });
              return { message: heard, drained() {}, closed() {} };
            },
            failed: reject,
          },
        );
      });
  const overTls: Dial = async (heard) => {
    const own = secureContextOf(identity);
    const socket = connectTls({ ...own, host: "127.0.0.1", port: ports.bare, checkServerIdentity: () => undefined });
    await new Promise((resolve) => socket.once("secureConnect", resolve));
    return { send: bareMessages(socket, heard, soon), close: () => socket.destroy() };
  };
  return new Map([
    ["bare-tls", overTls],
    ["peer-tls", through(ports.tls, identity)],
    ["peer-plain", through(ports.plain, plain("client"))],
  ]);
}

type Figure = { readonly ops: number; readonly p50: number; readonly p99: number };

/** Keeps `depth` messages under way; a connection keeps order, so the oldest is the one that comes back. */
async function measure(dial: Dial, depth: number, ms: number): Promise<Figure> {
  const sentAt: number[] = [];
  const took: number[] = [];
  const message = new Uint8Array(messageBytes);
  const began = performance.now();
  let done = (): void => {};
  const over = new Promise<void>((resolve) => void (done = resolve));
  let next = 0;
  const say = (): void => {
    sentAt.push(performance.now());
    echo.send(message);
  };
  const echo = await dial(() => {
    const now = performance.now();
    took.push(now - (sentAt[next++] as number));
    if (now - began < ms) say();
    else if (next === sentAt.length) done();
  });
  for (let i = 0; i < depth; i++) say();
  await over;
  const elapsed = performance.now() - began;
  echo.close();
  took.sort((a, b) => a - b);
  const at = (share: number): number => took[Math.floor(took.length * share)] ?? 0;
  return { ops: (took.length / elapsed) * 1000, p50: at(0.5), p99: at(0.99) };
}

async function bench(seconds: number, rounds: number): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "sheaf-bench-"));
  const child = fork(import.meta.filename, ["--serve", dir]);
  const ports = await new Promise<Ports>((resolve) => child.once("message", (message) => resolve(message as Ports)));
  const all = dialers(ports, dir);
  for (const dial of all.values()) await measure(dial, 64, 500);
  for (const depth of [1, 64, 512]) {
    const runs = new Map<string, Figure[]>([...all.keys()].map((name) => [name, []]));
    for (let round = 0; round < rounds; round++)
      for (const [name, dial] of all) runs.get(name)?.push(await measure(dial, depth, seconds * 1000));
    const median = (name: string): Figure => runs.get(name)?.sort((a, b) => a.ops - b.ops)[rounds >> 1] as Figure;
    const limit = median("bare-tls").ops;
    for (const name of all.keys()) {
      const { ops, p50, p99 } = median(name);
      const [p50Ms, p99Ms, ratioToLimit] = [p50, p99, ops / limit].map((value) => Number(value.toFixed(3)));
      console.log(JSON.stringify({ name, underWay: depth, opsPerSec: Math.round(ops), p50Ms, p99Ms, ratioToLimit }));
    }
  }
  child.disconnect();
  rmSync(dir, { recursive: true });
  process.exit();
}

if (process.argv[2] === "--serve") await serve(process.argv[3] ?? ".");
else await bench(Number(process.argv[2] ?? 1), Number(process.argv[3] ?? 3));

// What has to run for a row: servers of the engines that clusters stand on and of what they are compared with, all from
// temporary folders of their own, on addresses of their own, ended with this process.

import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { findNats } from "../scripts/nats.mjs";
import { type NatsCluster, natsCluster } from "../src/engines/nats/nats-cluster.fixture.ts";
import { type Server, startServer } from "../src/engines/postgres/server.fixture.ts";
import { treeOf } from "./cost.ts";
import { freshFolder } from "./folders.ts";
import { embedded, type Ground } from "./ours.ts";
import type { Beside } from "./peer.ts";
import type { EngineName } from "./row.ts";

/** Programs that come with their packages: themselves, since a launcher that is killed leaves them running. */
const program = (path: string): string => fileURLToPath(new URL(`node_modules/${path}`, import.meta.url));
const restateServer = program("@restatedev/restate-server-linux-x64/bin/restate-server");
const rivetEngine = program("@rivetkit/engine-cli-linux-x64-musl/rivet-engine");

/** What was started, and its processes. */
async function withPids<T>(start: () => Promise<T>): Promise<readonly [T, readonly number[]]> {
  const before = new Set(treeOf([process.pid]));
  const started = await start();
  return [started, treeOf([process.pid]).filter((pid) => !before.has(pid))];
}

export type Postgres = { readonly server: Server; readonly pids: readonly number[] };

export async function postgresServer(): Promise<Postgres> {
  const [server, pids] = await withPids(() => startServer());
  return { server, pids };
}

let databases = 0;

/** An empty database of a server, as the ground of a cluster. */
export async function emptyDatabase({ server, pids }: Postgres): Promise<Ground & { readonly url: string }> {
  const name = `bench${++databases}`;
  await server.sql(`CREATE DATABASE ${name}`);
  return { url: server.url(name), pids, stop() {} };
}

/** A PostgreSQL of its own. */
async function postgresGround(): Promise<Ground> {
  const postgres = await postgresServer();
  const { server, pids } = postgres;
  const operations = async (): Promise<number> => {
    const [row] = await server.sql("SELECT sum(xact_commit + xact_rollback)::float8 AS sum FROM pg_stat_database");
    return Number(row?.["sum"]);
  };
  return { url: server.url(), pids, operations, counts: "transactions", stop: () => server.destroy() };
}

export type Nats = { readonly cluster: NatsCluster; readonly pids: readonly number[] };

export async function natsServers(): Promise<Nats> {
  const [cluster, pids] = await withPids(() => natsCluster());
  return { cluster, pids };
}

/** Three NATS servers of its own. */
export async function natsGround(): Promise<Ground> {
  const { cluster, pids } = await natsServers();
  const operations = async (): Promise<number> => {
    const asked = cluster.servers.map(async ({ monitor }) => {
      const told = (await (await fetch(`${monitor}/varz`)).json()) as { readonly in_msgs: number };
      return told.in_msgs;
    });
    return (await Promise.all(asked)).reduce((sum, count) => sum + count, 0);
  };
  const url = `nats://${cluster.addresses.join(",")}`;
  return { url, pids, operations, counts: "messages from clients", stop: () => cluster.end() };
}

/** A port that nobody listens on now. */
export async function freePort(): Promise<number> {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as AddressInfo;
  await once(listener.close(), "close");
  return port;
}

export type Running = { readonly pid: number; stop(): Promise<void> };

/** A program that serves once it prints `says`, or when `answers` resolves with true. Its output is kept for the error. */
export async function startProgram(
  command: string,
  args: readonly string[],
  { env = {}, answers }: { readonly env?: Readonly<Record<string, string>>; readonly answers: () => Promise<boolean> },
): Promise<Running> {
  const child = spawn("setpriv", ["--pdeathsig", "KILL", command, ...args], {
    cwd: freshFolder(),
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = once(child, "exit");
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (said = `${said}${text}`.slice(-4000)));
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await ended;
  };
  for (const until = performance.now() + 60_000; !(await answers().catch(() => false));) {
    if (child.exitCode !== null || performance.now() > until) {
      await stop();
      throw new Error(`${command} does not serve: ${said.slice(-1500)}`);
    }
    await new Promise((resolve) => void setTimeout(resolve, 50));
  }
  return { pid: child.pid!, stop };
}

/** Installs Debian's Redis when it is missing and this is root, without starting its service. False when there is none. */
export function ensureRedis(): boolean {
  const found = (): boolean => spawnSync("redis-server", ["--version"]).status === 0;
  if (found()) return true;
  try {
    execFileSync("apt-get", ["-q", "install", "-y", "--no-install-recommends", "redis-server"], {
      stdio: ["ignore", 2, 2],
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" },
    });
  } catch {
    return false;
  }
  return found();
}

/** What a cluster on that engine stands on, fresh each time. */
export const groundOf = (engine: EngineName): (() => Promise<Ground>) =>
  ({ embedded: async () => embedded, postgres: postgresGround, nats: natsGround })[engine];

/** Redis that syncs before it answers. */
export async function startRedis(): Promise<Beside> {
  const port = await freePort();
  const args = [
    "--port",
    String(port),
    "--bind",
    "127.0.0.1",
    "--appendonly",
    "yes",
    "--appendfsync",
    "always",
    "--save",
    "",
  ];
  const { pid, stop } = await startProgram("redis-server", args, { answers: () => isOpen(port) });
  return { given: port, pids: [pid], stop };
}

/** One NATS server that syncs each message before it acknowledges it. */
export async function startJetStream(): Promise<Beside> {
  const [port, folder] = [await freePort(), freshFolder()];
  const config = join(folder, "nats.conf");
  writeFileSync(
    config,
    `listen: "127.0.0.1:${port}"\njetstream { store_dir: ${JSON.stringify(folder)}, sync_interval: always }\n`,
  );
  const { pid, stop } = await startProgram(findNats() ?? "nats-server", ["-c", config], {
    answers: () => isOpen(port),
  });
  return { given: `127.0.0.1:${port}`, pids: [pid], stop };
}

/** One Restate server, its files in a fresh folder. */
export async function startRestate(): Promise<Beside> {
  const [ingress, admin, node] = [await freePort(), await freePort(), await freePort()];
  const env = {
    RESTATE_INGRESS__BIND_ADDRESS: `127.0.0.1:${ingress}`,
    RESTATE_ADMIN__BIND_ADDRESS: `127.0.0.1:${admin}`,
    RESTATE_BIND_ADDRESS: `127.0.0.1:${node}`,
    RESTATE_BASE_DIR: freshFolder(),
    RESTATE_LOG_FILTER: "error",
    RESTATE_DISABLE_TELEMETRY: "true",
    DO_NOT_TRACK: "1",
  };
  const healthy = async (): Promise<boolean> =>
    (await fetch(`http://127.0.0.1:${admin}/health`)).ok && (await isOpen(ingress));
  const { pid, stop } = await startProgram(restateServer, [], { env, answers: healthy });
  return { given: { ingress: `http://127.0.0.1:${ingress}`, admin: `http://127.0.0.1:${admin}` }, pids: [pid], stop };
}

/** The engine of rivetkit, set up as rivetkit itself would, but for where its files and ports are. */
export async function startRivet(): Promise<Beside> {
  const port = await freePort();
  const ports = Object.entries({ GUARD: port, API_PEER: await freePort(), METRICS: await freePort() });
  const addresses = ports.flatMap(([name, value]) => [
    [`RIVET__${name}__HOST`, "127.0.0.1"],
    [`RIVET__${name}__PORT`, String(value)],
  ]);
  const env = {
    ...(Object.fromEntries(addresses) as Record<string, string>),
    RIVET__FILE_SYSTEM__PATH: freshFolder(),
    RIVET__FEATURES__GUARD_GATEWAY_V3__MODE: "on",
    RIVET__FEATURES__GUARD_GATEWAY_V3__PERCENTAGE: "100",
    RIVET__PEGBOARD__MIN_METADATA_POLL_INTERVAL: "1000",
    RIVET__PEGBOARD__BASE_RETRY_TIMEOUT: "100",
    RIVET__PEGBOARD__RETRY_RESET_DURATION: "100",
    RIVET__PEGBOARD__RESCHEDULE_BACKOFF_MAX_EXPONENT: "1",
    RIVET__PEGBOARD__ENVOY_ELIGIBLE_THRESHOLD: "5000",
    RIVET__PEGBOARD__ENVOY_LOST_THRESHOLD: "7000",
    RIVET__PEGBOARD__RUNNER_ELIGIBLE_THRESHOLD: "5000",
    RIVET__PEGBOARD__RUNNER_LOST_THRESHOLD: "7000",
  };
  const healthy = async (): Promise<boolean> => (await fetch(`http://127.0.0.1:${port}/health`)).ok;
  const { pid, stop } = await startProgram(rivetEngine, ["start"], { env, answers: healthy });
  return { given: port, pids: [pid], stop };
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => resolve((socket.destroy(), true)));
    socket.on("error", () => resolve(false));
  });
}

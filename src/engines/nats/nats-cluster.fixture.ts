// A real cluster of nats-servers for tests: processes of this one on a loopback address of their own, files in a temporary
// folder. They are waited for by condition, ended by process id, and end with this process if it is killed.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { openSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { findNats, natsHint } from "../../../scripts/nats.mjs";
import type { NatsOptions } from "./options.ts";

const command = findNats();
if (command === undefined && process.env["CI"] !== undefined)
  throw new Error(`there is no nats-server to test with; run: ${natsHint}`);

/** Why tests with real servers are left out here, or false. Never in CI. */
export const withoutNats: string | false = command === undefined ? `there is no nats-server; run: ${natsHint}` : false;

/** Asks until the answer is neither false nor undefined nor an error. Rejects with the last error after `ms`. */
export async function until<T>(what: string, ask: () => Promise<T | undefined | false>, ms = 30_000): Promise<T> {
  const end = performance.now() + ms;
  let last: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) throw new Error(`gave up waiting until ${what}`, { cause: last });
    await pause(5);
  }
}

export type NatsServer = {
  readonly name: string;
  /** "address:port" of its clients. */
  readonly address: string;
  /** Address of its monitoring, "http://…". */
  readonly monitor: string;
  /** Starts it, on its old files and ports; nothing happens when it runs. */
  start(): Promise<void>;
  /** Sends SIGKILL, or another signal, and waits until it is gone. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  freeze(): void;
  thaw(): void;
  log(): string;
};

export type NatsCluster = {
  readonly servers: readonly NatsServer[];
  readonly addresses: readonly string[];
  /** The server of that name. */
  server(name: string): NatsServer;
  /** Resolves once every server answers and JetStream works. */
  ready(): Promise<void>;
  end(): Promise<void>;
};

export type NatsClusterOptions = {
  readonly size?: number;
  readonly syncInterval?: string;
  /** Ends up in the jetstream block of each server's file. Off when false. */
  readonly jetstream?: boolean;
  readonly maxPayload?: string;
  /** What the user "me" must give. Anybody is let in when left out. */
  readonly password?: string;
  /** Where they listen; a loopback address of their own when left out. */
  readonly host?: string;
};

async function freePorts(host: string, count: number): Promise<readonly number[]> {
  const listeners = Array.from({ length: count }, () => createServer().listen(0, host));
  await Promise.all(listeners.map((one) => once(one, "listening")));
  const ports = listeners.map((one) => (one.address() as AddressInfo).port);
  await Promise.all(listeners.map((one) => once(one.close(), "close")));
  return ports;
}

/** Ends a child with this process. */
const tie = ["setpriv", "--pdeathsig", "KILL"] as const;
const canTie = spawnSync(tie[0], ["--version"]).status === 0;
/** A child that the kernel ends with this process, where it can. */
function start(path: string, args: readonly string[], log: string): ChildProcess {
  const file = openSync(log, "a");
  const [run, ...rest] = canTie ? ([...tie, path, ...args] as const) : ([path, ...args] as const);
  return spawn(run, rest, { stdio: ["ignore", file, file] });
}

export async function natsCluster(options: NatsClusterOptions = {}): Promise<NatsCluster> {
  const { size = 3, syncInterval = "always", jetstream = true, maxPayload = "9MB", password } = options;
  const who = password === undefined ? {} : { user: "me", pass: password };
  const dir = await mkdtemp(join(tmpdir(), "sheaf-nats-"));
  // An address of its own: nobody else takes its ports while a server is down.
  const host = options.host ?? `127.${randomInt(1, 255)}.${randomInt(1, 255)}.${randomInt(2, 255)}`;
  const ports = await freePorts(host, 3 * size);
  const routes = Array.from({ length: size }, (_, n) => `"nats://${host}:${ports[3 * n + 1]}"`);
  const servers = await Promise.all(
    Array.from({ length: size }, async (_, n) => {
      const name = `n${n + 1}`;
      const folder = join(dir, name);
      await mkdir(folder);
      const [client, route, monitor] = ports.slice(3 * n, 3 * n + 3) as [number, number, number];
      const lines = [
        `server_name: ${name}`,
        `listen: "${host}:${client}"`,
        `http: "${host}:${monitor}"`,
        `max_payload: ${maxPayload}`,
        password !== undefined && `authorization { user: me, password: "${password}" }`,
        jetstream && `jetstream { store_dir: "${folder}", max_mem: 1G, max_file: 10G`,
        jetstream && `  sync_interval: ${syncInterval}`,
        jetstream && `}`,
        size > 1 &&
          `cluster { name: test, listen: "${host}:${route}", routes: [${routes.join(", ")}], no_advertise: true }`,
      ];
      await writeFile(join(folder, "server.conf"), lines.filter(Boolean).join("\n"));
      return serverOf(name, folder, `${host}:${client}`, `http://${host}:${monitor}`);
    }),
  );
  const cluster: NatsCluster = {
    servers,
    addresses: servers.map((one) => one.address),
    server: (name) => servers.find((one) => one.name === name) as NatsServer,
    ready: async () => {
      for (const { address, monitor } of servers) {
        await until(`${address} answers`, async () => {
          if (!jetstream) return (await fetch(`${monitor}/varz`)).ok;
          if (!(await fetch(`${monitor}/healthz`)).ok) return false;
          const link = await connect({ servers: address, timeout: 1000, reconnect: false, ...who });
          const isUp = await jetstreamManager(link, { timeout: 1000 }).then(
            () => true,
            () => false,
          );
          await link.close();
          return isUp;
        });
      }
    },
    end: async () => {
      await Promise.all(servers.map((one) => one.kill()));
      await rm(dir, { recursive: true, force: true });
    },
  };
  await Promise.all(servers.map((one) => one.start()));
  await cluster.ready();
  return cluster;
}

function serverOf(name: string, folder: string, address: string, monitor: string): NatsServer {
  const log = join(folder, "server.log");
  let child: ChildProcess | undefined;
  return {
    name,
    address,
    monitor,
    start: async () => {
      if (child !== undefined && child.exitCode === null && child.signalCode === null) return;
      child = start(command as string, ["-c", join(folder, "server.conf")], log);
      await once(child, "spawn");
    },
    kill: async (signal = "SIGKILL") => {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.kill(signal);
      child.kill("SIGCONT");
      await gone;
    },
    freeze: () => void child?.kill("SIGSTOP"),
    thaw: () => void child?.kill("SIGCONT"),
    log: () => readFileSync(log, "utf8"),
  };
}

/** A space of its own on the servers, and how to remove what was put there. */
export function natsBed(cluster: NatsCluster): { readonly options: NatsOptions; destroy(): Promise<void> } {
  const space = `t${randomInt(2 ** 40).toString(36)}`;
  return {
    options: { servers: cluster.addresses, space },
    async destroy() {
      const link = await connect({ servers: [...cluster.addresses] });
      const { streams } = await jetstreamManager(link);
      for await (const name of streams.names(`${space}.>`)) await streams.delete(name);
      await link.close();
    },
  };
}

// Our side: nodes in processes of their own, as `sheaf start` runs them, on any engine; one client for each of their gateways,
// as a fleet of callers has; and a node in this very process, which passes calls on to them.

import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { BenchClient } from "../src/cli/bench.ts";
import benchApp from "../src/cli/bench-app.ts";
import { runLocalNodes } from "../src/cli/local-nodes.ts";
import { readAdminToken } from "../src/cli/node-file.ts";
import { remote } from "../src/cli/remote.ts";
import { type Server, serve } from "../src/cli/serve.ts";
import { type ServerFlags, serverOptions } from "../src/cli/server-options.ts";
import type { Ready } from "../src/cli/supervisor.ts";
import type { Status } from "../src/admin/index.ts";
import { connect } from "../src/client/index.ts";
import type { AppShape } from "../src/model/index.ts";
import { clusterWarmUpMs, type Contender, type Started } from "./contender.ts";
import { freshFolder } from "./folders.ts";

export const benchAppFile = fileURLToPath(new URL("../src/cli/bench-app.ts", import.meta.url));

/** Where the nodes keep their journal, and what serves that. */
export type Ground = {
  /** Undefined: the embedded engine, in the nodes' own folder. */
  readonly url?: string | undefined;
  readonly pids: readonly number[];
  /** What its servers were asked so far, counted in `counts`. */
  operations?(): Promise<number>;
  readonly counts?: string;
  stop(): unknown;
};

export const embedded: Ground = { pids: [], stop() {} };

export type Asked = {
  readonly nodes?: number;
  readonly shards?: number;
  readonly flags?: Partial<ServerFlags>;
  readonly app?: string;
};

export type Nodes = {
  readonly folder: string;
  readonly ready: readonly Ready[];
  /** One for each gateway. */
  readonly clients: readonly BenchClient[];
  /** Of the nodes, and of what serves their engine. */
  readonly pids: readonly number[];
  status(): Promise<Status>;
  /** Posts to the admin API of one of them. */
  ask(path: string): Promise<void>;
  /** Kills them, since what they leave is thrown away; or stops them as their user would. */
  stop(how?: "good order"): Promise<void>;
};

const surroundings = { cwd: process.cwd(), env: {} };
const usual = { host: "127.0.0.1", port: "0", adminPort: "0", create: true, insecure: true } as const;

/** Nodes that need longer than this to start hang. */
const patienceMs = 60_000;

const impatience = (): Promise<never> =>
  new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`they took longer than ${patienceMs / 1000} s`)), patienceMs).unref();
  });

/** Nodes that serve. They end with this process. Stopping ends the ground they stand on as well. */
export async function startNodes(ground: Ground, { nodes = 1, shards = 64, flags, app }: Asked = {}): Promise<Nodes> {
  const folder = freshFolder();
  const data = join(folder, "data");
  const asked = {
    ...usual,
    data,
    nodes: String(nodes),
    shards: String(shards),
    ...(ground.url && { engine: ground.url }),
  };
  const options = serverOptions(surroundings, "start", app ?? benchAppFile, { ...asked, ...flags });
  const said: string[] = [];
  const local = runLocalNodes(
    options.map((each) => ({ ...each, supervised: true })),
    false,
    (label, news) => void (news.kind === "printed" && said.push(`${label}: ${news.text}`)),
  );
  const ready = await Promise.race([local.ready, impatience()]).catch((error: unknown) => {
    for (const node of local.all) node.kill("stay");
    throw new Error(`the nodes did not start: ${said.slice(-5).join("; ")}`, { cause: error });
  });
  const admin = remote(
    ready.map((each) => each.admin),
    readAdminToken(ready[0]!.home),
  );
  const clients = ready.map(({ gateway }) => connect(benchApp.contract, { url: gateway }));
  return {
    folder,
    ready,
    clients,
    pids: [...ready.map(({ pid }) => pid), ...ground.pids],
    status: async () => (await admin.ask("/admin/v1/status")).body as Status,
    async ask(path) {
      await admin.ask(path, { method: "POST" });
    },
    async stop(how) {
      for (const client of clients) client.close();
      if (how === undefined) for (const node of local.all) node.kill("stay");
      await local.stop();
      await ground.stop();
    },
  };
}

/** As `startNodes`, and stops them whatever becomes of `run`. */
export async function withNodes<T>(ground: Ground, asked: Asked, run: (nodes: Nodes) => Promise<T>): Promise<T> {
  const nodes = await startNodes(ground, asked);
  try {
    return await run(nodes);
  } finally {
    await nodes.stop();
  }
}

export type Work = (client: BenchClient, n: number) => Promise<unknown>;

/** Our nodes as a contender: each operation through the next of their gateways. */
export const ours = (name: string, ground: () => Promise<Ground> | Ground, asked: Asked, work: Work): Contender => ({
  name,
  role: "ours",
  warmUpMs: (asked.nodes ?? 1) > 1 ? clusterWarmUpMs : undefined,
  async start() {
    const nodes = await startNodes(await ground(), asked);
    return working(nodes, work);
  },
});

/** Does the work through the nodes' gateways in turn. */
export const working = ({ clients, pids, stop }: Nodes, work: Work): Started => ({
  once: (n) => work(clients[n % clients.length]!, n),
  pids,
  stop: () => stop(),
});

/** A node in this process, of the same cluster as those, with certificates, that runs `app`. */
export function joinedHere({ folder }: Nodes, app: AppShape): Promise<Server> {
  const engine = `sqlite:${join(folder, "data")}`;
  return startedHere(join(folder, "here"), app, { engine, name: "here" });
}

/** A node in this process that runs `app`. */
export function startedHere(data: string, app: AppShape, flags: Partial<ServerFlags> = {}): Promise<Server> {
  const [options] = serverOptions(surroundings, "start", benchAppFile, { ...usual, data, ...flags });
  // Of what is said only warnings.
  return serve({ ...options, mode: "dev" }, app);
}

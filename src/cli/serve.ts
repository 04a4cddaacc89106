// One node of an application with its two listeners, put together from the real host, the embedded engine and the local store.
//
// A1. The data folder is locked before anything in it is read, and unlocked after everything in it is closed.
// A2. Listeners open after the node serves and close before it stops: a caller never reaches a node that is not there.
// A3. node.json is there only while both listeners are open, as far as a process that may be killed can promise.

import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { flushCompileCache } from "node:module";
import { join, relative } from "node:path";
import process from "node:process";
import { checkLimits, fromHex, SheafError } from "../base/index.ts";
import { apiKeys } from "../control/index.ts";
import { collectWhenIdle, embeddedEngine, sqliteStore } from "../engines/index.ts";
import type { AppShape } from "../model/index.ts";
import { type Node, startNode } from "../node/index.ts";
import { lockFolder, realHost, type RealHost } from "../platform/index.ts";
import { openAdmin, openGateway } from "./listeners.ts";
import { ensureAdminToken, readNodeFile, removeNodeFile, writeNodeFile } from "./node-file.ts";
import { damageReport } from "./report-damage.ts";
import type { ServerOptions } from "./server-options.ts";

export interface Server {
  readonly node: Node;
  readonly gateway: string;
  readonly admin: string;
  /** Things worth knowing, such as a port that was taken. */
  readonly notes: readonly string[];
  reload(app: AppShape): void;
  /** Refuses new calls, finishes those under way, closes everything. */
  stop(): Promise<void>;
}

/** Where the node is reached, as far as it is known yet. */
type Addresses = { gateway: string | null; admin: string | null };

/** Undoes, in reverse order, what was done so far. */
type Undo = (() => void | Promise<void>)[];

export async function serve(options: ServerOptions, app: AppShape): Promise<Server> {
  const undo: Undo = [];
  try {
    return await open(options, app, undo);
  } catch (error) {
    await unwind(undo);
    throw error;
  }
}

async function unwind(undo: Undo): Promise<void> {
  for (const step of undo.splice(0).toReversed()) await step();
}

async function open(options: ServerOptions, app: AppShape, undo: Undo): Promise<Server> {
  lock(options.data, undo);
  const limits = checkLimits(options.limits);
  const host = realHost({ dir: join(options.data, "node"), log: { level: options.mode === "dev" ? "warn" : "info" } });
  undo.push(() => host.close());
  const addresses: Addresses = { gateway: null, admin: null };
  const node = await start(options, app, host, addresses, undo);
  const keys = apiKeys({
    host,
    calls: node,
    search: (type, prefix, after, limit) => node.search(type, prefix, after, limit),
  });
  const adminToken = ensureAdminToken(options.data, () => randomBytes(32).toString("base64url"));
  const parts = { options, host, node, keys, limits, adminToken };
  const gate = await openGateway(parts);
  undo.push(() => gate.close());
  const admin = await openAdmin(parts);
  undo.push(() => admin.close());
  Object.assign(addresses, { gateway: gate.url, admin: admin.url });
  const file = {
    gateway: gate.url,
    admin: admin.url,
    pid: process.pid,
    stop: options.mode === "dev" ? process.ppid : process.pid,
    cluster: node.cluster.name,
    app: app.name,
    startedAt: Date.now(),
  };
  writeNodeFile(options.data, file);
  undo.push(() => removeNodeFile(options.data));
  // A process that is killed later would leave nothing for the next start to be quick with.
  flushCompileCache();
  collectWhenIdle();
  const notes = [gate.note, admin.note].filter((note) => note !== undefined);
  return {
    node,
    gateway: gate.url,
    admin: admin.url,
    notes,
    reload: (next) => node.reload(next),
    stop: () => unwind(undo),
  };
}

/** Says who runs there, when somebody does. */
function lock(dir: string, undo: Undo): void {
  // What is in it is for its owner only.
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  try {
    const held = lockFolder(dir);
    undo.push(() => held.release());
  } catch (error) {
    const other = error instanceof SheafError && error.code === "IN_USE" ? readNodeFile(dir) : undefined;
    if (other === undefined) throw error;
    throw new SheafError(
      "IN_USE",
      `${other.app} runs here already: process ${other.stop}, gateway ${other.gateway}, admin ${other.admin}`,
      {
        hint: `Use that one, stop it (kill ${other.stop}), or choose another folder with --data. This one is ${relative(process.cwd(), dir) || "."}.`,
        cause: error,
      },
    );
  }
}

async function start(
  options: ServerOptions,
  app: AppShape,
  host: RealHost,
  addresses: Addresses,
  undo: Undo,
): Promise<Node> {
  const { maxRecordBytes, appendPatienceMs } = checkLimits(options.limits);
  // Shorter than the owner's own patience, so that it hears why an append failed.
  const engine = await embeddedEngine({
    dir: options.data,
    maxRecordBytes,
    patienceMs: appendPatienceMs * 0.8,
    report: damageReport(host),
  });
  // Opened once the node has identified or created the cluster.
  const cluster = async (): Promise<string> => (await engine.identify())?.id ?? "";
  const encryptionKey = options.encryptionKey === undefined ? undefined : fromHex(options.encryptionKey);
  const store = sqliteStore({ dir: join(options.data, "node"), cluster, encryptionKey, log: host.log });
  try {
    const node = await startNode({
      host,
      engine,
      store,
      app,
      cluster: options.cluster ?? app.name,
      shards: options.shards,
      create: options.create,
      limits: options.limits,
      encryptionKey,
      process: { pid: process.pid, rssBytes: () => process.memoryUsage.rss(), addresses: () => addresses },
    });
    undo.push(() => node.stop());
    return node;
  } catch (error) {
    await store.close();
    await engine.close();
    throw hinted(error, options);
  }
}

/** What the command line can do about it. */
function hinted(error: unknown, options: ServerOptions): unknown {
  if (!(error instanceof SheafError)) return error;
  const hints: Partial<Record<SheafError["code"], string>> = {
    NO_CLUSTER: `Create one: sheaf start … --create. The folder is ${options.data}.`,
    WRONG_KEY: "Give the key that the cluster was made with: --encryption-key-file or SHEAF_ENCRYPTION_KEY.",
    WRONG_CLUSTER: "Name it with --cluster, or choose another folder with --data.",
  };
  const hint = hints[error.code];
  if (hint === undefined || error.hint !== undefined) return error;
  return new SheafError(error.code, error.message, { hint, cause: error, outcome: error.outcome, retry: error.retry });
}

// One node of an application with its two listeners, put together from the real host, an engine, the local store and, where it is
// one of several, its way to the others.
//
// A1. The data folder is locked before anything in it is read, and unlocked after everything in it is closed.
// A2. Listeners open after the node serves and close before it stops: a caller never reaches a node that is not there.
// A3. node.json is there only while both listeners are open, as far as a process that may be killed can promise.

import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { flushCompileCache } from "node:module";
import { join, relative } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { checkLimits, fromHex, SheafError } from "../base/index.ts";
import { apiKeys, endpointBook, scheduleBook, type Search } from "../control/index.ts";
import { collectWhenIdle, openEngine, sqliteStore } from "../engines/index.ts";
import { type AppShape, hostedBy } from "../model/index.ts";
import { identify, type Node, startNode } from "../node/index.ts";
import { lockFolder, outwardPost, realHost, type RealHost } from "../platform/index.ts";
import { openAdmin, openGateway } from "./listeners.ts";
import { meet } from "./meet.ts";
import { ensureAdminToken, readNodeFile, removeNodeFile, writeNodeFile } from "./node-file.ts";
import { damageReport } from "./report-damage.ts";
import type { ServerOptions } from "./server-options.ts";

export interface Server {
  readonly node: Node;
  /** What the others of its cluster call it, and where they reach it; undefined for a node that is alone. */
  readonly name: string | undefined;
  readonly peer: string | undefined;
  readonly gateway: string;
  readonly admin: string;
  /** Things worth knowing, such as a port that was taken. */
  readonly notes: readonly string[];
  /** Resolves when another process that runs under this node's name stays in its place: this one is to stop. */
  readonly replaced: Promise<SheafError>;
  reload(app: AppShape): void;
  /** Says that it is not ready any more and hands over its shards; after the grace refuses new calls, finishes those under
   *  way, closes everything. */
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
  // A mistake in them is told before anything is created.
  hostedBy(app, options.meeting?.roles, "unknown");
  lock(options, undo);
  const limits = checkLimits(options.limits);
  const host = realHost({ dir: own(options), log: { level: options.mode === "dev" ? "warn" : "info" } });
  undo.push(() => host.close());
  const addresses: Addresses = { gateway: null, admin: null };
  const replaced = Promise.withResolvers<SheafError>();
  const { node, peer } = await start(options, app, { host, addresses, replaced: replaced.resolve }, undo);
  const book = {
    host,
    calls: node,
    search: async (...asked: Parameters<Search>) => {
      const { items, warnings } = await node.search(...asked);
      if (warnings[0] === undefined) return items;
      // Half a list is worse than none.
      throw new SheafError("NOT_READY", warnings[0], { retryAfterMs: 1_000 });
    },
  };
  const keys = apiKeys(book);
  const declared = (): readonly string[] => (node.app.external ?? []).map(({ name }) => name);
  const endpoints = endpointBook({ ...book, declared });
  const scheduled = (): readonly string[] => (node.app.schedules ?? []).map(({ name }) => name);
  const schedules = scheduleBook({ ...book, declared: scheduled });
  const adminToken = ensureAdminToken(options.home, () => randomBytes(32).toString("base64url"));
  const parts = { options, host, node, keys, endpoints, schedules, limits, adminToken };
  const gate = await openGateway(parts);
  undo.push(() => gate.close());
  const admin = await openAdmin(parts);
  undo.push(() => admin.close());
  Object.assign(addresses, { gateway: gate.url, admin: admin.url });
  const file = {
    gateway: gate.url,
    admin: admin.url,
    pid: process.pid,
    stop: options.supervised ? process.ppid : process.pid,
    cluster: node.cluster.name,
    app: app.name,
    startedAt: Date.now(),
    peer: peer && options.meeting && { address: peer.address, authority: options.meeting.authority },
  };
  writeNodeFile(options.data, file);
  undo.push(() => removeNodeFile(options.data));
  // A process that is killed later would leave nothing for the next start to be quick with.
  flushCompileCache();
  collectWhenIdle();
  const notes = [gate.note, admin.note].filter((note) => note !== undefined);
  return {
    node,
    name: peer?.name,
    peer: peer?.address,
    gateway: gate.url,
    admin: admin.url,
    notes,
    replaced: replaced.promise,
    reload: (next) => node.reload(next),
    async stop() {
      // Readiness fails first and shards go elsewhere, while calls are still taken; then the doors close.
      // A node that is alone has nowhere to send anybody.
      if (options.meeting) gate.leave();
      await Promise.all([node.leave(), sleep(options.graceMs)]);
      await unwind(undo);
    },
  };
}

/** What only this node has: its local store, its name, its notes of crashes. */
const own = ({ data }: ServerOptions): string => join(data, "node");

/** A node's own folder is its alone; that of the embedded engine too, unless the node is one of several. Says who runs there,
 *  when somebody does. */
function lock({ data, home, engineFolder, meeting }: ServerOptions, undo: Undo): void {
  const take = (dir: string, how: "alone" | "shared"): void => {
    // What is in it is for its owner only.
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const held = lockFolder(dir, how);
    undo.push(() => held.release());
  };
  mkdirSync(home, { recursive: true, mode: 0o700 });
  mkdirSync(data, { recursive: true, mode: 0o700 });
  try {
    if (engineFolder !== undefined) take(engineFolder, meeting === undefined ? "alone" : "shared");
    if (meeting !== undefined) take(join(data, "node"), "alone");
  } catch (error) {
    const other = error instanceof SheafError && error.code === "IN_USE" ? readNodeFile(data) : undefined;
    if (other === undefined) throw error;
    throw new SheafError(
      "IN_USE",
      `${other.app} runs here already: process ${other.stop}, gateway ${other.gateway}, admin ${other.admin}`,
      {
        hint: `Use that one, stop it (kill ${other.stop}), or choose another folder with --data. This one is ${relative(process.cwd(), data) || "."}.`,
        cause: error,
      },
    );
  }
}

type Started = { readonly node: Node; readonly peer: { readonly name: string; readonly address: string } | undefined };

type Stage = {
  readonly host: RealHost;
  readonly addresses: Addresses;
  readonly replaced: (error: SheafError) => void;
};

async function start(
  options: ServerOptions,
  app: AppShape,
  { host, addresses, replaced }: Stage,
  undo: Undo,
): Promise<Started> {
  const limits = checkLimits(options.limits);
  const { maxRecordBytes, appendPatienceMs } = limits;
  const encryptionKey = options.encryptionKey === undefined ? undefined : fromHex(options.encryptionKey);
  // Shorter than the owner's own patience, so that it hears why an append failed.
  const engine = await openEngine(options.engine, {
    maxRecordBytes,
    patienceMs: appendPatienceMs * 0.8,
    report: damageReport(host),
    warn: (says) => host.log.warn(says),
  });
  const closing: Undo = [() => engine.close()];
  try {
    const identity = {
      host,
      engine,
      cluster: options.cluster ?? app.name,
      shards: options.shards,
      apart: options.apart,
      app,
      create: options.create,
      encryptionKey,
    };
    const cluster = await identify(identity);
    const store = sqliteStore({ dir: own(options), cluster: async () => cluster.id, encryptionKey, log: host.log });
    closing.push(() => store.close());
    const met =
      options.meeting && (await meet(options, options.meeting, { host, engine, cluster: cluster.id, limits }));
    if (met) closing.push(() => met.close());
    const outward = outwardPost(() => host.clock.tick());
    closing.push(() => outward.close());
    const node = await startNode({
      ...identity,
      post: outward.post,
      store,
      limits: options.limits,
      process: {
        pid: process.pid,
        rssBytes: () => process.memoryUsage.rss(),
        addresses: () => addresses,
        insecure: options.insecure,
        certificates: () => met?.certificates() ?? null,
      },
      meeting: met && { ...met.meeting, replaced },
    });
    undo.push(() => outward.close());
    // It closes engine and store itself.
    if (met) undo.push(() => met.close());
    undo.push(() => node.stop());
    return { node, peer: met?.meeting };
  } catch (error) {
    await unwind(closing);
    throw hinted(error, options);
  }
}

/** What the command line can do about it. */
function hinted(error: unknown, options: ServerOptions): unknown {
  if (!(error instanceof SheafError)) return error;
  const hints: Partial<Record<SheafError["code"], string>> = {
    NO_CLUSTER: `Create one: sheaf start … --create.${options.engineFolder === undefined ? "" : ` The folder is ${options.engineFolder}.`}`,
    WRONG_KEY: "Give the key that the cluster was made with: --encryption-key-file or SHEAF_ENCRYPTION_KEY.",
    WRONG_CLUSTER: "Name it with --cluster, or choose another folder with --data.",
  };
  const hint = hints[error.code];
  if (hint === undefined || error.hint !== undefined) return error;
  return new SheafError(error.code, error.message, { hint, cause: error, outcome: error.outcome, retry: error.retry });
}

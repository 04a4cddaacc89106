// Starts a node: identity, shards, entities, services; and stops it.

import { checkLimits, SheafError, type Shard as ShardNumber } from "../base/index.ts";
import { systemEntities } from "../control/index.ts";
import { Entities, Poison } from "../entities/index.ts";
import { recordCodec } from "../journal/index.ts";
import { type AppShape, type CompiledApp, compileApp } from "../model/index.ts";
import type { Call, Calls, Reply } from "../rpc/index.ts";
import { Services } from "../services/index.ts";
import { Shards } from "../shards/index.ts";
import { closeParts } from "./close.ts";
import { identify } from "./identity.ts";
import type { Node, NodeOptions } from "./node.ts";
import { operator } from "./operate.ts";
import { type Parts, shardOfCommand } from "./parts.ts";
import { inSession, openSessions, ownSecret } from "./session.ts";

const compile = (app: AppShape): CompiledApp => compileApp({ ...app, entities: [...app.entities, ...systemEntities] });

/** Resolves when every shard it claims is served. Rejects with what `identify` rejects with, and QUARANTINED or NOT_OWNER
 *  only when no shard at all could be opened: single shards that could not are shown by `status`. */
export async function startNode(options: NodeOptions): Promise<Node> {
  const { host, engine, store } = options;
  const limits = checkLimits(options.limits);
  if (limits.maxRecordBytes > engine.maxRecordBytes) {
    throw new SheafError(
      "USAGE",
      `the engine takes records up to ${engine.maxRecordBytes} bytes; maxRecordBytes is ${limits.maxRecordBytes}`,
    );
  }
  const compiled = compile(options.app);
  const cluster = await identify(options);
  const id = options.id ?? `n-${host.dice.id().slice(-12)}`;
  const sealing = { crypto: host.crypto, compress: host.compress, key: options.encryptionKey };
  const codec = recordCodec({ ...sealing, cluster: cluster.id, maxRecordBytes: limits.maxRecordBytes });
  const snapshotOptions = { ...sealing, cluster: cluster.id, faults: host.faults };
  const shards = new Shards({
    host,
    limits,
    engine,
    store,
    codec,
    snapshotOptions,
    cluster: cluster.id,
    node: id,
    count: cluster.shards,
  });
  const poison = new Poison(host);
  const calls: Calls = { call: (call) => parts.route(call) };
  const entities = new Entities(compiled, { host, limits, shards, poison, calls, tokens: () => undefined });
  const services = new Services(compiled, { host, limits, calls, tokens: () => undefined });
  const tokens = openSessions(host, cluster, options.encryptionKey ?? ownSecret(host));
  const carry = (call: Call): Promise<Reply> => (call.target.kind === "procedure" ? services : entities).call(call);
  const parts: Parts & { route: (call: Call) => Promise<Reply> } = {
    options,
    id,
    cluster,
    shards,
    entities,
    services,
    poison,
    startedAt: host.clock.now(),
    app: options.app,
    compiled,
    state: "starting",
    route: (call) => (call.session === undefined ? carry(call) : inSession(call, tokens, shards, host.clock, carry)),
  };
  const claim = options.claim ?? shards.all.map((shard) => shard.number);
  const failed = await shards.open(claim);
  const [first] = failed.values();
  if (first && failed.size === claim.length) {
    await shards.close();
    throw first;
  }
  await park(parts, limits.maxCrashes);
  parts.state = "ready";
  return node(parts, limits);
}

/** Parks the commands that have crashed the process too often. */
async function park({ poison, shards }: Parts, maxCrashes: number): Promise<void> {
  for (const name of poison.convicted(maxCrashes)) {
    const shard = shardOfCommand(shards, name);
    if (shard.tenure.kind !== "serving") continue;
    await shard.park(name, `it crashed the process ${maxCrashes === 1 ? "once" : `${maxCrashes} times`}`, true);
    poison.forget(name);
  }
}

function node(parts: Parts & { route: (call: Call) => Promise<Reply> }, limits: Node["limits"]): Node {
  const { shards, entities, services, options } = parts;
  let stopped: Promise<void> | undefined;
  return {
    ...operator(parts),
    id: parts.id,
    cluster: parts.cluster,
    limits,
    get app() {
      return parts.app;
    },
    call: (call) => (parts.state === "ready" ? parts.route(call) : Promise.reject(new SheafError("STOPPING"))),
    async acquire(shard: ShardNumber) {
      const failed = (await shards.open([shard])).get(shard);
      if (failed) throw failed;
    },
    reload(app: AppShape) {
      const compiled = compile(app);
      parts.app = app;
      parts.compiled = compiled;
      entities.reload(compiled);
      services.reload(compiled);
    },
    stop(deadlineMs = 5_000) {
      stopped ??= stop(parts, deadlineMs, options);
      return stopped;
    },
  };
}

async function stop(parts: Parts, deadlineMs: number, { host, engine, store }: NodeOptions): Promise<void> {
  const { shards, entities, services } = parts;
  parts.state = "draining";
  const until = host.clock.tick() + deadlineMs;
  while (entities.inFlight + services.inFlight > 0 && host.clock.tick() < until) {
    await new Promise<void>((resolve) => void host.clock.after(10, resolve));
  }
  parts.state = "stopping";
  entities.close();
  services.close();
  await closeParts(host, until, { shards, engine, store });
}

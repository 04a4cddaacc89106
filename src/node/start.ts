// Starts a node: identity, shards, entities, services, its place in the cluster; and stops it.

import {
  checkLimits,
  type Limits,
  messageOf,
  type Millis,
  SheafError,
  type Shard as ShardNumber,
} from "../base/index.ts";
import { type Member, mostAccused, packMemberRecord, unpackMemberRecord } from "../cluster/index.ts";
import { endpointFinder, scheduleEntity, systemEntities } from "../control/index.ts";
import { type AskWaiting, Entities, inboxEntity, Poison, readChains, reasonOf, Work } from "../entities/index.ts";
import type { Host } from "../host/index.ts";
import { type Cluster, maxRegistryBytes, recordCodec } from "../journal/index.ts";
import {
  type AppShape,
  type CompiledApp,
  compileApp,
  type Hosted,
  hostedBy,
  queueNamed,
  topicType,
  workersOf,
} from "../model/index.ts";
import type { Call, Calls, Consistency, Derive, Reply, Sessions } from "../rpc/index.ts";
import { Services } from "../services/index.ts";
import { Shards } from "../shards/index.ts";
import { Topics } from "../topics/index.ts";
import { closeParts } from "./close.ts";
import { External } from "./external.ts";
import { nodeGauges } from "./gauges.ts";
import { identify } from "./identity.ts";
import { Membership, type Placed } from "./membership.ts";
import type { Meeting, Node, NodeOptions } from "./node.ts";
import { operator } from "./operate.ts";
import { clusterOperator } from "./operate-cluster.ts";
import { type Parts, shardOfCommand } from "./parts.ts";
import { Router } from "./router.ts";
import { followSchedules } from "./schedules.ts";
import { inSession, openSecrets, ownSecret, type Secrets, sharedSecret } from "./session.ts";
import { hostsOf, isGone, levelOf, reporter, wayOf } from "./way.ts";

/** Only services that are hosted run here; of entities that others host it is good to know what their queries ask for. */
const compile = (app: AppShape, { services }: Hosted, { faults }: Host): CompiledApp =>
  compileApp({
    ...app,
    entities: [...app.entities, ...systemEntities, scheduleEntity(app.schedules ?? [], faults)],
    services: [...app.services, ...workersOf(app)].filter(({ contract }) => services.includes(contract.name)),
  });

const hosted = (app: AppShape, { meeting }: NodeOptions, { apart }: Cluster): Hosted =>
  hostedBy(app, meeting?.roles, apart);

const insistMs: Millis = 500;
/** A node that takes longer to say who is in line there is asked again later. */
const waitingMs: Millis = 1_000;

type Running = Placed & {
  readonly external: External;
  /** Carries a call out on this node, or refuses it. */
  readonly here: (call: Call) => Promise<Reply>;
  /** Carries a call out, wherever that may be. */
  route: (call: Call) => Promise<Reply>;
  /** Calls that others carry out for callers of this node. */
  routed: () => number;
  secrets: Secrets | undefined;
  unlisten?: () => void;
};

/** Resolves when the node may take calls: alone, when every shard that it claims is served; in a cluster, when every shard of
 *  which it should have a copy is. Rejects with what `identify` rejects with, and QUARANTINED or NOT_OWNER only when no shard
 *  at all could be opened: single shards that could not are shown by `status`. */
export async function startNode(options: NodeOptions): Promise<Node> {
  const { engine, meeting } = options;
  const limits = checkLimits(options.limits);
  if (limits.maxRecordBytes > engine.maxRecordBytes) {
    throw new SheafError(
      "USAGE",
      `the engine takes records up to ${engine.maxRecordBytes} bytes; maxRecordBytes is ${limits.maxRecordBytes}`,
    );
  }
  // A mistake in them is told before anything is created.
  hostedBy(options.app, meeting?.roles, "unknown");
  const cluster = await identify(options);
  const compiled = compile(options.app, hosted(options.app, options, cluster), options.host);
  const parts = compose(options, limits, compiled, cluster);
  try {
    if (meeting) await join(parts, meeting);
    else await claim(parts);
    const started = node(parts, limits);
    parts.state = "ready";
    followSchedules(parts, { call: (call) => parts.route(call) });
    return started;
  } catch (error) {
    return abandon(parts, error);
  }
}

function compose(options: NodeOptions, limits: Limits, compiled: CompiledApp, cluster: Cluster): Running {
  const { host, engine, store, encryptionKey, meeting } = options;
  const id = options.id ?? `n-${host.dice.id().slice(-12)}`;
  const sealing = { crypto: host.crypto, compress: host.compress, key: encryptionKey };
  const shards = new Shards({
    host,
    limits,
    engine,
    store,
    codec: recordCodec({ ...sealing, cluster: cluster.id, maxRecordBytes: limits.maxRecordBytes }),
    snapshotOptions: { ...sealing, cluster: cluster.id, faults: host.faults },
    cluster: cluster.id,
    node: id,
    count: cluster.shards,
    apart: cluster.apart,
    shared: meeting !== undefined,
    snapshotTurn: (shard) => parts.membership?.snapshotTurn(shard) ?? 0,
    worked: (shard) => {
      work.wake(shard);
      topics.wake(shard);
    },
  });
  const poison = new Poison(host);
  const calls: Calls = { call: (call) => parts.route(call) };
  const tokens = (): Sessions | undefined => (meeting ? parts.secrets?.tokens : undefined);
  const derive = (): Derive | undefined => parts.secrets?.derive;
  const app = (): CompiledApp => parts.compiled;
  const among = meeting && { self: id, ask: askWaiting(() => parts) };
  const entities = new Entities(compiled, { host, limits, shards, poison, app, calls, tokens, derive, among });
  const hosts = (service: string): number => hostsOf(parts, service);
  const shared = { host, limits, shards, calls, tokens, app, hosts, isGone: (node: string) => isGone(parts, node) };
  const work = new Work({ ...shared, here: (call) => entities.call(call), room: () => entities.room });
  const topics = new Topics({ host, limits, shards, app, tokens });
  const services = new Services(compiled, { host, limits, calls, tokens, derive });
  const external = new External({
    host,
    limits,
    post: options.post,
    find: endpointFinder({ host, calls }),
    derive,
    app,
    changed: reporter(host, "address"),
  });
  const carry = (call: Call): Promise<Reply> => carriedBy(parts, call);
  const level = (call: Call): Consistency => levelOf(parts, call);
  const here = (call: Call): Promise<Reply> => {
    if (call.session === undefined) return carry(call);
    if (parts.secrets === undefined)
      return Promise.reject(new SheafError("NOT_READY", undefined, { retryAfterMs: 100 }));
    return inSession(call, parts.secrets.tokens, shards, host.clock, level, carry);
  };
  const parts: Running = {
    options,
    id,
    cluster,
    limits,
    shards,
    entities,
    services,
    work,
    topics,
    external,
    poison,
    startedAt: host.clock.now(),
    app: options.app,
    compiled,
    leaving: false,
    state: "starting",
    here,
    route: here,
    routed: () => 0,
    secrets: meeting && !encryptionKey ? undefined : openSecrets(host, cluster, encryptionKey ?? ownSecret(host)),
  };
  return parts;
}

/** Whoever on this node carries out what is called so. */
function carriedBy(parts: Running, call: Call): Promise<Reply> {
  const { target } = call;
  const { compiled, work, topics, entities, services, external } = parts;
  if (target.kind === "procedure")
    return compiled.external.has(target.service) ? external.call(call, target.service) : services.call(call);
  if (target.entity === inboxEntity) return work.accept(call);
  if (queueNamed(target.entity) !== undefined) return work.ofQueue(call);
  return target.entity === topicType ? topics.call(call) : entities.call(call);
}

/** Who is in line behind a command, asked of the node where it runs. */
function askWaiting(parts: () => Running): AskWaiting {
  return async (node, link) => {
    const { id, entities, membership } = parts();
    if (node === id) return entities.chainsBehind(link);
    return readChains(await membership?.ask(node, "waiting", link, waitingMs));
  };
}

/** A node that is alone claims its shards, and carries out everything itself. */
async function claim(parts: Running): Promise<void> {
  const { shards, options, limits } = parts;
  const claim = options.claim ?? shards.all.map((shard) => shard.number);
  const failed = await shards.open(claim);
  const [first] = failed.values();
  if (first && failed.size === claim.length) throw first;
  await park(parts, limits.maxCrashes);
}

/** A node among others takes the place that is its own, and passes on what is theirs. */
async function join(parts: Running, meeting: Meeting): Promise<void> {
  const { options, here, id } = parts;
  const { host, process } = options;
  const self: Member = {
    id,
    name: meeting.name,
    peer: meeting.address,
    ...(process?.addresses() ?? { gateway: null, admin: null }),
    zone: meeting.zone ?? "",
    weight: meeting.weight ?? 1,
    release: "",
    ...hosted(options.app, options, parts.cluster),
    state: "ready",
    cordoned: false,
    startedAt: parts.startedAt,
    pid: process?.pid ?? 0,
    version: "0.1.0",
  };
  checkReadable(self);
  const membership = new Membership(parts, meeting, self, here, (call) => parts.route(call));
  parts.membership = membership;
  const router = new Router({
    host,
    self: id,
    here,
    open: () => parts.state !== "stopping",
    knows: ({ target }) =>
      target.kind !== "procedure" &&
      (parts.compiled.entities.get(target.entity)?.operations.has(target.name) === true ||
        parts.compiled.queues.has(queueNamed(target.entity) ?? "")),
    way: wayOf(parts, membership, here),
    refused: (call, by, owner) => membership.owners.refused(call, by, owner),
  });
  Object.assign(parts, reachedBy(router));
  parts.unlisten = meeting.listen((pipe) => membership.peers.accept(pipe));
  await membership.start();
  parts.secrets ??= openSecrets(host, parts.cluster, await insist(parts, () => sharedSecret(host, parts.route)));
  await park(parts, parts.limits.maxCrashes);
  void membership.board.load();
}

const reachedBy = (router: Router): Pick<Running, "route" | "routed"> => ({
  route: (call) => router.call(call),
  routed: () => router.inFlight,
});

/** Ends what a node that could not start had begun; engine and store are its caller's. Throws the error. */
async function abandon(
  { shards, work, topics, entities, services, membership, unlisten }: Running,
  error: unknown,
): Promise<never> {
  work.close();
  topics.close();
  entities.close();
  services.close();
  await membership?.close();
  unlisten?.();
  await shards.close();
  throw error;
}

/** Throws USAGE for what would not fit the registry, with as many accusations as there may be, or not be read there. */
function checkReadable(member: Member): void {
  const accuses = Array.from({ length: mostAccused }, () => member.id);
  const record = packMemberRecord({ member, beat: Number.MAX_SAFE_INTEGER, accuses });
  const tooLarge = record.length > maxRegistryBytes && `it has ${record.length} bytes of ${maxRegistryBytes}`;
  if (!tooLarge && unpackMemberRecord(record)) return;
  throw new SheafError(
    "USAGE",
    `other nodes could not read what this one says of itself: ${tooLarge || "see the hint"}`,
    {
      hint: "names, zones and addresses have up to 512 characters, a weight is 0 to 1,000,000, and the names of all services have a few KiB",
    },
  );
}

/** As often as it takes: a node that starts while the cluster is in trouble is not to fail for that. */
async function insist<T>({ options: { host } }: Parts, attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      host.log.warn("the cluster's secret cannot be had yet", { reason: messageOf(error) });
      await new Promise<void>((resolve) => void host.clock.after(insistMs, resolve));
    }
  }
}

/** Parks the commands that have crashed the process too often. */
async function park({ poison, shards, membership, options: { host } }: Placed, maxCrashes: number): Promise<void> {
  for (const name of poison.convicted(maxCrashes)) {
    const shard = shardOfCommand(shards, name);
    const reason = reasonOf(maxCrashes);
    const owner = membership?.ownerOf(shard);
    try {
      if (shard.tenure.kind === "serving") await shard.park(name, reason, true);
      else if (membership && owner !== undefined) await membership.ask(owner, "park", [name, reason]);
      else continue;
      poison.forget(name);
    } catch (error) {
      host.log.warn("a command that crashed this process is not parked yet", {
        command: name,
        reason: messageOf(error),
      });
    }
  }
}

function node(parts: Running, limits: Limits): Node {
  const { shards, entities, services, options } = parts;
  let stopped: Promise<void> | undefined;
  const local = operator(parts);
  const operated = parts.membership ? clusterOperator(parts, parts.membership, local) : local;
  const made: Omit<Node, "app"> & { app: AppShape } = {
    ...operated,
    local,
    id: parts.id,
    cluster: parts.cluster,
    limits,
    app: parts.app,
    call: (call) => (parts.state === "ready" ? parts.route(call) : Promise.reject(new SheafError("STOPPING"))),
    measure: nodeGauges(parts),
    joinSessions: (given) => parts.secrets?.tokens.join(given) ?? "",
    async acquire(shard: ShardNumber) {
      const failed = (await shards.open([shard])).get(shard);
      if (failed) throw failed;
    },
    reload(app: AppShape) {
      const hosts = hosted(app, options, parts.cluster);
      const compiled = compile(app, hosts, options.host);
      parts.app = app;
      made.app = app;
      parts.compiled = compiled;
      entities.reload(compiled);
      services.reload(compiled);
      parts.topics.reload();
      void parts.membership?.become(hosts);
      followSchedules(parts, { call: (call) => parts.route(call) });
    },
    async leave(deadlineMs = 5_000) {
      parts.leaving = true;
      await parts.membership?.drain(options.host.clock.tick() + deadlineMs);
    },
    stop(deadlineMs = 5_000) {
      stopped ??= stop(parts, deadlineMs, options);
      return stopped;
    },
  };
  return made;
}

async function stop(parts: Running, deadlineMs: number, { host, engine, store }: NodeOptions): Promise<void> {
  const { shards, work, topics, entities, services, external, membership, routed } = parts;
  parts.state = "draining";
  const until = host.clock.tick() + deadlineMs;
  await membership?.drain(until);
  while (
    entities.inFlight + services.inFlight + topics.inFlight + external.inFlight + routed() > 0 &&
    host.clock.tick() < until
  ) {
    await new Promise<void>((resolve) => void host.clock.after(10, resolve));
  }
  parts.state = "stopping";
  work.close();
  topics.close();
  entities.close();
  services.close();
  await membership?.close();
  parts.unlisten?.();
  await closeParts(host, until, { shards, engine, store });
}

// The operator's side of one node: its status, its entities and their history, its parked commands.

import type { EntityDetail, EntityView, HistoryItem, Operator, Parked, ShardStatus, Status } from "../admin/index.ts";
import { SheafError } from "../base/index.ts";
import type { Commit, Header } from "../journal/index.ts";
import type { CompiledEntity } from "../model/index.ts";
import type { Hot, Shard, Value } from "../shards/index.ts";
import { unpack } from "../wire/index.ts";
import type { Placed } from "./membership.ts";
import { checkupHere } from "./checkup.ts";
import {
  backlogHere,
  cancelTimer,
  deadLetter,
  deadLettersHere,
  drop,
  redrive,
  tasksHere,
  timersOf,
} from "./operate-tasks.ts";
import { changeQueue, changeQueueHere, jobsHere, nextJobs, queuesHere, queuesOf } from "./operate-queues.ts";
import { changeGroup, changeGroupHere, groupsHere, groupsOf, topicsHere, topicsOf } from "./operate-topics.ts";
import { redriveHere, redriveMany } from "./operate-redrives.ts";
import { foundIn, mapped, type Part, servedHere } from "./operate-parts.ts";
import { type Parts, shardOfCommand } from "./parts.ts";
import { readiness } from "./readiness.ts";

const version = "0.1.0";
const pageRecords = 256;

/** What this node can say and do of itself, and of the shards that it serves. */
export function operator(parts: Placed): Operator {
  const alone = async (): Promise<void> => {
    throw new SheafError("USAGE", "this node is alone: there is no other to take or to give anything");
  };
  return {
    status: () => status(parts),
    entity: (type, key) => view(parts, type, key),
    history: (type, key, limit) => history(parts, type, key, limit),
    search: async (...asked) => foundIn(parts, [await searchHere(parts, ...asked)], []),
    parked: async () => foundIn(parts, [parkedHere(parts)], []),
    release: (id) => release(parts, id),
    tasks: async (...asked) => foundIn(parts, [tasksHere(parts, ...asked)], []),
    deadLetters: async (...asked) => foundIn(parts, [deadLettersHere(parts, ...asked)], []),
    backlog: async () => foundIn(parts, [backlogHere(parts)], []),
    queues: async () => {
      const { items, warnings } = foundIn(parts, [queuesHere(parts)], []);
      return { items: queuesOf(parts, items), warnings };
    },
    changeQueue: (...asked) =>
      changeQueue(parts, async (...given) => foundIn(parts, [await changeQueueHere(parts, ...given)], []), ...asked),
    jobs: async (queue, limit) => nextJobs(parts, queue, foundIn(parts, [jobsHere(parts, queue, limit)], []), limit),
    topics: async () => mapped(foundIn(parts, [await topicsHere(parts)], []), topicsOf),
    groups: async () => mapped(foundIn(parts, [await groupsHere(parts)], []), groupsOf),
    changeGroup: (...asked) =>
      changeGroup(async (...given) => foundIn(parts, [await changeGroupHere(parts, ...given)], []), ...asked),
    deadLetter: (id) => deadLetter(parts, id),
    redrive: (id) => redrive(parts, id),
    redriveMany: (...asked) =>
      redriveMany(async (...given) => foundIn(parts, [await redriveHere(parts, ...given)], []), ...asked),
    drop: (id) => drop(parts, id),
    cancelTimer: (id) => cancelTimer(parts, id),
    drain: alone,
    cordon: alone,
    remove: alone,
    move: alone,
    checkup: async () => ({ items: [await checkupHere(parts)], warnings: [] }),
    moves: async () => [],
    ready: () => readiness(parts),
  };
}

async function status(parts: Placed): Promise<Status> {
  const { cluster, options, shards } = parts;
  return {
    cluster: { id: cluster.id, name: cluster.name, shards: cluster.shards, encrypted: cluster.keyCheck !== undefined },
    app: parts.app.name,
    engine: { name: options.engine.name, ...(await options.engine.describe()) },
    nodes: [
      {
        id: parts.id,
        name: options.meeting?.name ?? parts.id,
        pid: options.process?.pid ?? 0,
        addresses: options.process?.addresses() ?? { gateway: null, admin: null },
        role: "node",
        state: parts.leaving || parts.membership?.self.state === "draining" ? "draining" : parts.state,
        zone: options.meeting?.zone ?? "",
        weight: options.meeting?.weight ?? 1,
        entities: parts.membership?.self.entities ?? true,
        hosts: parts.membership?.self.hosts ?? null,
        services: [...parts.compiled.services.keys()],
        cordoned: parts.membership?.self.cordoned ?? false,
        peer: options.meeting?.address ?? null,
        owns: shards.all.filter((shard) => shard.held !== undefined).length,
        startedAt: parts.startedAt,
        version,
        rssBytes: options.process?.rssBytes() ?? 0,
      },
    ],
    shards: shards.all.map((shard) => shardStatus(parts, shard)),
  };
}

function shardStatus({ id, membership }: Placed, { number, tenure, fold }: Shard): ShardStatus {
  return {
    shard: number,
    state: tenure.kind,
    owner: tenure.kind === "serving" || tenure.kind === "releasing" ? id : null,
    followers: [],
    epoch: fold.epoch,
    head: fold.seq,
    applied: fold.seq,
    hot: fold.size,
    reason: reason(tenure),
    pinned: membership?.board.pins.nodes.get(number) ?? null,
    movingTo: membership?.moving(number) ?? null,
  };
}

function reason(tenure: Shard["tenure"]): string | null {
  if (tenure.kind === "quarantined") return tenure.error.message;
  return tenure.kind === "fenced" ? `another node claimed it at epoch ${tenure.by}` : null;
}

function entityOf({ compiled }: Parts, type: string): CompiledEntity {
  const entity = compiled.entities.get(type);
  if (entity) return entity;
  throw new SheafError("UNKNOWN_TARGET", `there is no entity "${type}"`, {
    hint: `entities: ${[...compiled.entities.keys()].join(", ")}`,
  });
}

async function view(parts: Parts, type: string, key: string): Promise<EntityDetail> {
  const entity = entityOf(parts, type);
  const shard = parts.shards.of(type, key);
  shard.serving();
  const hot: Hot = shard.fold.peek(type, key) ?? (await parts.shards.load(shard, type, key));
  return { ...shown(entity, key, shard.number, hot.durable), timers: timersOf(shard, type, key) };
}

function shown(entity: CompiledEntity, key: string, shard: number, value: Value | undefined): EntityView {
  const schema = value?.schema ?? entity.contract.state.version;
  const state = value ? entity.restore(value.schema, unpack(value.state)) : entity.initial(key);
  return {
    type: entity.contract.name,
    key,
    version: value?.version ?? 0,
    state,
    schema,
    shard,
    bytes: value?.state.length ?? 0,
  };
}

export const parkedHere = (parts: Parts): Part<Parked> => ({
  items: parts.shards.all.flatMap(parkedOf),
  shards: servedHere(parts),
});

/** From the local store, so that any number of entities can be searched; saved first, so that it is current. */
export async function searchHere(
  parts: Parts,
  type: string,
  prefix: string,
  after: string | undefined,
  limit: number,
): Promise<Part<EntityView>> {
  const entity = entityOf(parts, type);
  // Those served at the beginning and at the end are certainly spoken for.
  const before = new Set(servedHere(parts));
  await parts.shards.save();
  const found: EntityView[] = [];
  const all = (): Part<EntityView> => ({
    items: found,
    shards: servedHere(parts).filter((shard) => before.has(shard)),
  });
  // The store also has what this node only follows, or once did: those who own it tell of that.
  for (let from = after; ;) {
    const cells = await parts.options.store.search(type, prefix, from, limit);
    for (const cell of cells) {
      const shard = parts.shards.of(type, cell.key);
      if (shard.held !== undefined && found.length < limit) found.push(shown(entity, cell.key, shard.number, cell));
    }
    from = cells.at(-1)?.key;
    if (found.length === limit || cells.length < limit) return all();
  }
}

/** Reads what is kept of the shard's journal. Voided records are not shown (F3). */
async function history(parts: Parts, type: string, key: string, limit: number): ReturnType<Operator["history"]> {
  const entity = entityOf(parts, type);
  const shard = parts.shards.of(type, key);
  shard.serving();
  const { engine, codec } = shard.ground;
  const { first, head } = await engine.read(shard.number, 1, 1);
  const items: HistoryItem[] = [];
  let highest = 0;
  for (let from = first; from <= head.seq;) {
    const { entries } = await engine.read(shard.number, from, pageRecords);
    for (const entry of entries) {
      from = entry.seq + 1;
      const { header, payload } = codec.decode(entry.record, { shard: shard.number, seq: entry.seq });
      const voided = header.epoch < highest;
      highest = Math.max(highest, header.epoch);
      if (voided || payload.kind !== "batch") continue;
      for (const commit of payload.commits)
        if (commit.type === type && commit.key === key) items.push(item(entity, header, commit));
    }
    if (entries.length === 0) break;
    if (items.length > 2 * limit) items.splice(0, items.length - limit);
  }
  const complete = items.length === 0 ? first === 1 : items[0]?.version === 1;
  return { items: items.slice(-limit).reverse(), complete };
}

function item(entity: CompiledEntity, header: Header, commit: Commit): HistoryItem {
  return {
    version: commit.version,
    at: header.at,
    command: commit.command,
    principal: commit.principal,
    op: commit.op?.id ?? null,
    state: commit.state ? entity.restore(commit.schema, unpack(commit.state)) : null,
    events: commit.events.map(({ name, value }) => ({ name, value: unpack(value) })),
    seq: header.seq,
    epoch: header.epoch,
  };
}

const parkedOf = (shard: Shard): Parked[] =>
  shard.held === undefined
    ? []
    : [...shard.fold.parked].map(([id, { reason, at }]) => ({ id, reason, shard: shard.number, at }));

async function release({ shards, poison }: Parts, id: string): Promise<void> {
  const shard = shardOfCommand(shards, id);
  shard.serving();
  if (!shard.fold.parked.has(id)) throw new SheafError("NOT_FOUND", `no parked command is called "${id}"`);
  poison.forget(id);
  await shard.park(id, "", false);
}

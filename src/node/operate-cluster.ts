// The operator's side of a cluster, asked at any of its nodes: what concerns one shard is asked of its owner, what concerns
// all is asked of all and put together.

import type {
  Backlog,
  Checkup,
  EntityView,
  Found,
  JobView,
  LetterFilter,
  NodeStatus,
  Operator,
  Parked,
  ShardStatus,
  Status,
  TaskView,
} from "../admin/index.ts";
import {
  type Instant,
  messageOf,
  type Millis,
  type Shard as ShardNumber,
  roleOfShard,
  SheafError,
} from "../base/index.ts";
import type { Member } from "../cluster/index.ts";
import { checkupHere, readClock } from "./checkup.ts";
import type { Membership } from "./membership.ts";
import { parkedHere, searchHere } from "./operate.ts";
import { foundIn, mapped, type Part } from "./operate-parts.ts";
import { backlogHere, deadLettersHere, nextTasks, oldest, shardOfTask, tasksHere } from "./operate-tasks.ts";
import {
  changeGroup,
  changeGroupHere,
  type ChangeShare,
  groupsHere,
  type GroupShare,
  groupsOf,
  topicsHere,
  type TopicShare,
  topicsOf,
} from "./operate-topics.ts";
import {
  changeQueue,
  changeQueueHere,
  type QueueChangeShare,
  jobsHere,
  nextJobs,
  type QueueShare,
  queuesHere,
  queuesOf,
} from "./operate-queues.ts";
import { type RedriveAskHere, redriveHere, redriveMany, type RedriveShare } from "./operate-redrives.ts";
import { movesOf, mayMoveTo } from "./shard-moves.ts";
import { type Parts, shardOfCommand } from "./parts.ts";

/** A node that takes longer to tell its status is shown without. */
const patienceMs: Millis = 1_500;
/** What changes something at many shards takes its time. */
const changeMs: Millis = 10_000;

/** What is asked of the owner of one shard. */
type OfOneShard = "entity" | "history" | "release" | "deadLetter" | "redrive" | "drop" | "cancelTimer";

/** What one node is asked of itself. */
type Asked = { readonly [Name in "status" | OfOneShard]: Operator[Name] } & {
  search(...asked: Parameters<Operator["search"]>): Promise<Part<EntityView>>;
  parked(): Promise<Part<Parked>>;
  tasks(...asked: Parameters<Operator["tasks"]>): Promise<Part<TaskView>>;
  deadLetters(...asked: Parameters<Operator["deadLetters"]>): Promise<Part<TaskView>>;
  backlog(): Promise<Part<Backlog>>;
  queues(): Promise<Part<QueueShare>>;
  jobs(...asked: Parameters<Operator["jobs"]>): Promise<Part<JobView>>;
  changeQueue(...asked: Parameters<Operator["changeQueue"]>): Promise<Part<QueueChangeShare>>;
  redriveMany(filter: LetterFilter, ask: RedriveAskHere): Promise<Part<RedriveShare>>;
  topics(): Promise<Part<TopicShare>>;
  groups(): Promise<Part<GroupShare>>;
  changeGroup(...asked: Parameters<Operator["changeGroup"]>): Promise<Part<ChangeShare>>;
  checkup(): Promise<Checkup>;
  /** Its wall clock. */
  clock(): Promise<Instant>;
};

/** The operator of the whole cluster. `own` is that of the node here. */
export function clusterOperator(parts: Parts, membership: Membership, own: Operator): Operator {
  const asked: Asked = {
    status: own.status,
    entity: own.entity,
    history: own.history,
    release: own.release,
    deadLetter: own.deadLetter,
    redrive: own.redrive,
    drop: own.drop,
    cancelTimer: own.cancelTimer,
    search: (...given) => searchHere(parts, ...given),
    parked: async () => parkedHere(parts),
    tasks: async (...given) => tasksHere(parts, ...given),
    deadLetters: async (...given) => deadLettersHere(parts, ...given),
    backlog: async () => backlogHere(parts),
    queues: async () => queuesHere(parts),
    jobs: async (...given) => jobsHere(parts, ...given),
    changeQueue: (...given) => changeQueueHere(parts, ...given),
    redriveMany: (...given) => redriveHere(parts, ...given),
    topics: () => topicsHere(parts),
    groups: () => groupsHere(parts),
    changeGroup: (...given) => changeGroupHere(parts, ...given),
    checkup: () => checkupHere(parts),
    clock: async () => parts.options.host.clock.now(),
  };
  membership.serve = async (name, input) => {
    if (name === "become") return membership.become(changeOf(input));
    if (name === "park") return park(parts, input);
    if (!Object.hasOwn(asked, name) || !Array.isArray(input)) throw new SheafError("UNKNOWN_TARGET");
    const given = input.map((value: unknown) => value ?? undefined);
    return (asked[name as keyof Asked] as (...args: unknown[]) => Promise<unknown>)(...given);
  };
  const askOwner = async <N extends OfOneShard>(
    shard: ShardNumber,
    name: N,
    ...args: Parameters<Operator[N]>
  ): Promise<Awaited<ReturnType<Operator[N]>>> => {
    const found = parts.shards.all[shard];
    const owner = found && membership.ownerOf(found);
    if (owner === parts.id) return (await (own[name] as (...all: unknown[]) => Promise<unknown>)(...args)) as never;
    const node = owner ?? membership.ranking(shard).find((id) => id !== parts.id);
    if (node === undefined) throw new SheafError("NOT_OWNER", `nobody is known to serve shard ${shard} at the moment`);
    return (await membership.ask(node, name, args)) as never;
  };
  const others = (): Member[] =>
    membership.view.members
      .filter(({ member, why }) => member.id !== parts.id && why !== "left" && why !== "superseded")
      .map(({ member }) => member);
  /** What this node and all others that answer say, and why the rest does not. What is wrong with the question is thrown. */
  const askAll = async <T>(
    mine: Promise<Part<T>>,
    name: keyof Asked,
    args: unknown[],
    forMs = patienceMs,
  ): Promise<Found<T>> => {
    const there = others().filter(({ id }) => membership.view.byId.get(id)?.standing !== "dead");
    const [here, asks] = await Promise.all([
      mine,
      Promise.allSettled(there.map(({ id }) => membership.ask(id, name, args, forMs))),
    ]);
    const said = asks.flatMap((ask) => (ask.status === "fulfilled" ? [ask.value as Part<T>] : []));
    const silent = asks.flatMap((ask, at) =>
      ask.status === "rejected" ? [`${there[at]?.name} did not answer: ${messageOf(ask.reason)}`] : [],
    );
    return foundIn(parts, [here, ...said], silent);
  };
  const become = async (node: string, change: Partial<Pick<Member, "state" | "cordoned">>): Promise<void> => {
    if (node === parts.id) return membership.become(change);
    if (!others().some(({ id }) => id === node)) throw unknownNode(node);
    await membership.ask(node, "become", change);
  };
  return {
    ...own,
    status: () => status(own, membership, others()),
    entity: (type, key) => askOwner(parts.shards.of(type, key).number, "entity", type, key),
    history: (type, key, limit) => askOwner(parts.shards.of(type, key).number, "history", type, key, limit),
    async search(...given) {
      const { items, warnings } = await askAll(asked.search(...given), "search", given);
      const all = new Map(items.map((view) => [view.key, view]));
      const sorted = [...all.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
      return { items: sorted.slice(0, given[3]), warnings };
    },
    async parked() {
      const { items, warnings } = await askAll(asked.parked(), "parked", []);
      return { items: once(items), warnings };
    },
    async tasks(...given) {
      const { items, warnings } = await askAll(asked.tasks(...given), "tasks", given);
      return { items: nextTasks(once(items), given[1]), warnings };
    },
    async deadLetters(...given) {
      const { items, warnings } = await askAll(asked.deadLetters(...given), "deadLetters", given);
      return { items: oldest(once(items), given[2]), warnings };
    },
    async backlog() {
      const { items, warnings } = await askAll(asked.backlog(), "backlog", []);
      return { items: [...new Map(items.map((one) => [one.shard, one])).values()], warnings };
    },
    async queues() {
      const { items, warnings } = await askAll(asked.queues(), "queues", []);
      return { items: queuesOf(parts, items), warnings };
    },
    changeQueue: (...asks) =>
      changeQueue(parts, (...given) => askAll(asked.changeQueue(...given), "changeQueue", given, changeMs), ...asks),
    jobs: async (...given) => nextJobs(parts, given[0], await askAll(asked.jobs(...given), "jobs", given), given[1]),
    redriveMany: (...asks) =>
      redriveMany((...given) => askAll(asked.redriveMany(...given), "redriveMany", given, changeMs), ...asks),
    topics: async () => mapped(await askAll(asked.topics(), "topics", []), topicsOf),
    groups: async () => mapped(await askAll(asked.groups(), "groups", []), groupsOf),
    changeGroup: (...asks) =>
      changeGroup((...given) => askAll(asked.changeGroup(...given), "changeGroup", given, changeMs), ...asks),
    async checkup() {
      const all = others();
      const asks = await Promise.allSettled(
        all.map(async ({ id }) => ({
          ...((await membership.ask(id, "checkup", [])) as Checkup),
          ...(await readClock(parts.options.host.clock, () => membership.ask(id, "clock", []) as Promise<Instant>)),
        })),
      );
      return {
        items: [await asked.checkup(), ...asks.flatMap((ask) => (ask.status === "fulfilled" ? [ask.value] : []))],
        warnings: asks.flatMap((ask, at) =>
          ask.status === "rejected" ? [`${all[at]?.name} did not answer: ${messageOf(ask.reason)}`] : [],
        ),
      };
    },
    release: (id) => askOwner(shardOfCommand(parts.shards, id).number, "release", id),
    deadLetter: async (id) => askOwner(shardOfTask(parts, id).number, "deadLetter", id),
    redrive: async (id) => askOwner(shardOfTask(parts, id).number, "redrive", id),
    drop: async (id) => askOwner(shardOfTask(parts, id).number, "drop", id),
    cancelTimer: async (id) => askOwner(shardOfTask(parts, id).number, "cancelTimer", id),
    drain: (node, on) => become(node, { state: on ? "draining" : "ready" }),
    cordon: (node, on) => become(node, { cordoned: on }),
    async remove(node) {
      if (node === parts.id) throw new SheafError("IN_USE", `node ${node} is the one that was asked`);
      const member = others().find(({ id }) => id === node);
      if (member === undefined) throw unknownNode(node);
      if (membership.peers.get(node)?.state === "up")
        throw new SheafError("IN_USE", `node ${member.name} still runs`, { hint: "drain it and stop it first" });
      await parts.options.engine.registry.delete(node);
    },
    async move(shard, node) {
      if (parts.shards.all[shard] === undefined)
        throw new SheafError("NOT_FOUND", `there is no shard ${shard}; they are 0 to ${parts.shards.all.length - 1}`);
      const role = roleOfShard(parts.cluster.apart, shard);
      await membership.board.set(shard, node === null ? undefined : mayMoveTo(membership, node, role).name);
    },
    moves: async () => movesOf(membership, (await status(own, membership, others())).shards),
  };
}

/** Two nodes may both speak for a shard that goes from one to the other. */
const once = <T extends { readonly id: string }>(items: readonly T[]): T[] => [
  ...new Map(items.map((one) => [one.id, one])).values(),
];

/** What an operator may change of a node, as another node passed it on. */
function changeOf(input: unknown): Partial<Pick<Member, "state" | "cordoned">> {
  const { state, cordoned } = (input ?? {}) as Record<string, unknown>;
  if (state === "draining" || state === "ready") return { state };
  if (typeof cordoned === "boolean") return { cordoned };
  throw new SheafError("BAD_INPUT", "a node is drained, cordoned, or neither");
}

/** Parks a command that has crashed another node, which no longer owns its shard. */
async function park({ shards }: Parts, input: unknown): Promise<void> {
  const [id, reason] = Array.isArray(input) ? (input as unknown[]) : [];
  if (typeof id !== "string" || typeof reason !== "string")
    throw new SheafError("BAD_INPUT", "a parked command has a name and a reason");
  const shard = shardOfCommand(shards, id);
  shard.serving();
  if (!shard.fold.parked.has(id)) await shard.park(id, reason, true);
}

const unknownNode = (node: string): SheafError =>
  new SheafError("NOT_FOUND", `there is no node ${node}`, { hint: "see: sheaf status" });

async function status(own: Operator, membership: Membership, others: readonly Member[]): Promise<Status> {
  const mine = await own.status();
  const theirs = await Promise.all(
    others.map(async (member) => {
      try {
        return (await membership.ask(member.id, "status", [], patienceMs)) as Status;
      } catch {
        return { nodes: [unreachable(member)], shards: [] };
      }
    }),
  );
  const all = [mine, ...theirs];
  const told = all.flatMap((one) => one.nodes);
  const there = new Set(told.filter(({ state }) => state !== "unreachable").map(({ name }) => name));
  // An earlier run of a node that runs again is nobody's concern.
  const nodes = told
    .filter(({ name, state }) => state !== "unreachable" || !there.has(name))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  return { ...mine, nodes, shards: mine.shards.map(({ shard }) => merged(shard, all)) };
}

/** A node that does not answer, as it described itself last. */
const unreachable = (member: Member): NodeStatus => ({
  id: member.id,
  name: member.name,
  pid: member.pid,
  addresses: { gateway: member.gateway, admin: member.admin },
  role: "node",
  state: "unreachable",
  zone: member.zone,
  weight: member.weight,
  entities: member.entities,
  hosts: member.hosts,
  services: member.services,
  cordoned: member.cordoned,
  peer: member.peer,
  owns: 0,
  startedAt: member.startedAt,
  version: member.version,
  rssBytes: 0,
});

/** One shard as all nodes see it together: its owner's word, or else that of whoever knows most. Of two that call themselves
 *  owner, the higher epoch is: the other has not noticed yet. */
function merged(shard: ShardNumber, all: readonly Pick<Status, "shards" | "nodes">[]): ShardStatus {
  const rows = all.flatMap(({ nodes, shards }) => {
    const row = shards[shard];
    return row ? [{ node: nodes[0]?.id ?? "", row }] : [];
  });
  const weight = ({ owner, epoch, applied }: ShardStatus): number[] => [owner === null ? 0 : 1, epoch, applied];
  const [best] = rows.toSorted((a, b) => compare(weight(b.row), weight(a.row)));
  if (!best) throw new SheafError("INTERNAL", `nobody told of shard ${shard}`);
  const followers = rows.filter(({ row }) => row.state === "following").map(({ node }) => node);
  return { ...best.row, followers };
}

const compare = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((found, value, i) => (found === 0 ? value - (b[i] ?? 0) : found), 0);

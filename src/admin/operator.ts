// What an operator may ask or do, as the admin API, the CLI and the console see it. A node carries it out.

import type { Epoch, Instant, Millis, Seq, Shard, Version } from "../base/index.ts";

export type ShardState = "opening" | "serving" | "releasing" | "following" | "fenced" | "quarantined" | "closed";

export type ShardStatus = {
  readonly shard: Shard;
  readonly state: ShardState;
  /** Id of the owning node. */
  readonly owner: string | null;
  /** Ids of the nodes that follow its journal. */
  readonly followers: readonly string[];
  readonly epoch: Epoch;
  /** Last durable sequence this node knows. */
  readonly head: Seq;
  /** Last sequence applied to state. */
  readonly applied: Seq;
  /** Entities held in memory. */
  readonly hot: number;
  /** Why it is not serving, if it is not. */
  readonly reason: string | null;
  /** Name of the node that an operator wants it at. */
  readonly pinned: string | null;
  /** Id of the node that its owner is handing it to. */
  readonly movingTo: string | null;
};

/** A shard that is not where weights and zones alone would have it, or is kept there by a pin. */
export type ShardMove = {
  readonly shard: Shard;
  /** Id of its owner; null while nobody serves it. */
  readonly from: string | null;
  /** Id of the node that it belongs to, pins aside; null while there is none. */
  readonly to: string | null;
  /** `moving`: on its way. `waiting`: it goes by itself, a few at a time. `pinned`: it goes there once its pin is taken away.
   *  `kept`: where it is it stays, as long as that node is cordoned. */
  readonly state: "moving" | "waiting" | "pinned" | "kept";
  /** Why it is where it is, and why it belongs elsewhere. */
  readonly why: string;
};

/** What was found, and what is missing of it: a sentence for each node or shard that could not be asked. */
export type Found<T> = { readonly items: readonly T[]; readonly warnings: readonly string[] };

export type NodeStatus = {
  readonly id: string;
  /** The same over restarts. */
  readonly name: string;
  readonly pid: number;
  readonly addresses: { readonly gateway: string | null; readonly admin: string | null };
  readonly role: "node";
  /** `unreachable`: it is known of, and does not answer. */
  readonly state: "starting" | "ready" | "draining" | "stopping" | "unreachable";
  readonly zone: string;
  readonly weight: number;
  /** Whether it hosts entities, and so shards; and the names of the services that it hosts. */
  readonly entities: boolean;
  /** Of a cluster that keeps entities apart, which it hosts: names, and `rest` for the others; null when it hosts all. */
  readonly hosts: readonly string[] | null;
  readonly services: readonly string[];
  /** It is given no more shards. */
  readonly cordoned: boolean;
  /** Where other nodes reach it; null for a node that is alone. */
  readonly peer: string | null;
  /** Shards it serves. */
  readonly owns: number;
  readonly startedAt: Instant;
  readonly version: string;
  readonly rssBytes: number;
};

export type Status = {
  readonly cluster: {
    readonly id: string;
    readonly name: string;
    readonly shards: number;
    readonly encrypted: boolean;
  };
  readonly app: string;
  readonly engine: Readonly<Record<string, string | number | boolean>>;
  readonly nodes: readonly NodeStatus[];
  readonly shards: readonly ShardStatus[];
};

export type EntityView = {
  readonly type: string;
  readonly key: string;
  readonly version: Version;
  /** Decoded and upgraded state; `initial` for an entity with no commit. */
  readonly state: unknown;
  readonly schema: number;
  readonly shard: Shard;
  readonly bytes: number;
};

/** An entity with the timers that it has set. */
export type EntityDetail = EntityView & {
  readonly timers: readonly {
    /** The name that the entity gave it. */
    readonly id: string;
    /** Null when it failed for good. */
    readonly due: Instant | null;
    readonly command: string;
    /** What operators call it by. */
    readonly task: string;
  }[];
};

/** One commit of an entity, read from the journal. */
export type HistoryItem = {
  readonly version: Version;
  readonly at: Instant;
  readonly command: string;
  readonly principal: string;
  readonly op: string | null;
  /** The state after it, or null when only a later state of the same batch was kept. */
  readonly state: unknown;
  readonly events: readonly { readonly name: string; readonly value: unknown }[];
  readonly seq: Seq;
  readonly epoch: Epoch;
};

export type Parked = { readonly id: string; readonly reason: string; readonly shard: Shard; readonly at: Instant };

/** A command that another has left to be done: a message that has come, or a timer. */
export type TaskView = {
  /** `SHARD/m…` of a message, `SHARD/ENTITY/KEY/NAME` of a timer, each part percent-encoded. */
  readonly id: string;
  readonly shard: Shard;
  readonly kind: "message" | "timer" | "job";
  readonly entity: string;
  readonly key: string;
  readonly command: string;
  /** When it is to be carried out, or tried again; null for a dead letter. */
  readonly due: Instant | null;
  /** When it came, or was set. */
  readonly at: Instant;
  /** Those that failed. */
  readonly attempts: number;
  /** Why the last attempt failed; empty when there was none. */
  readonly cause: string;
};

export type TaskDetail = TaskView & {
  readonly input: unknown;
  /** Id and roles of whoever called the command that left it. */
  readonly principal: string;
  readonly roles: readonly string[];
  /** The shard of the entity that sent it; that of its own for a timer. */
  readonly from: Shard;
};

/** What a shard has still to do. */
export type Backlog = {
  readonly shard: Shard;
  /** Messages that have come and timers, dead letters not among them. */
  readonly tasks: number;
  readonly deadLetters: number;
  /** Messages on their way to other shards. */
  readonly outgoing: number;
  /** For how long the oldest of these has been on its way. */
  readonly outgoingMs: Millis;
  /** How late the latest of the tasks is that are due. */
  readonly lateMs: Millis;
};

/** A queue: its jobs at all shards, and the nodes that do them. */
export type QueueView = {
  readonly queue: string;
  /** `paused`: its jobs are not begun until it is resumed. `partly`: at some shards. */
  readonly state: "open" | "paused" | "partly";
  /** Due, and nobody has them; those behind another of their key are among them. */
  readonly ready: number;
  /** With a worker or a consumer. */
  readonly leased: number;
  /** Not due yet: added for later, or to be tried again then. */
  readonly delayed: number;
  /** Dead letters. */
  readonly dead: number;
  /** For how long the one that was due first has been due. */
  readonly waitMs: Millis;
  /** Names of the nodes that have its worker, with the jobs that each does at the same time. */
  readonly workers: readonly { readonly node: string; readonly hands: number }[];
};

/** What is to be done with a queue. With `dryRun` it is only told what would come of it. */
export type QueueAsk = { readonly act: "pause" | "resume" } | { readonly act: "purge"; readonly dryRun: boolean };

/** What came of it: how many jobs were dropped. */
export type QueueChange = { readonly jobs: number };

/** Of these dead letters: those for entities of one type or jobs of one queue, and with this in their cause. */
export type LetterFilter = { readonly entity?: string | undefined; readonly cause?: string | undefined };

/** What is to be done with dead letters together: tried again by themselves, so many in a second over all shards at most (null: at once); or
 *  no more. With `tell` it is only told of which that would be, with `told` of which it is to be. */
export type RedriveAsk =
  | { readonly act: "tell" | "told" | "cancel" }
  | { readonly act: "start"; readonly perSecond: number | null };

/** Dead letters of one kind and cause. */
export type Redrive = {
  readonly entity: string;
  readonly cause: string;
  readonly count: number;
  /** When the first and the last of them are tried again; null where they are not. */
  readonly first: Instant | null;
  readonly last: Instant | null;
};

/** A job that nobody has. */
export type JobView = {
  readonly id: string;
  readonly shard: Shard;
  /** By which it is in line. */
  readonly key: string;
  readonly state: "ready" | "delayed";
  readonly priority: number;
  readonly due: Instant;
  /** When it was added. */
  readonly at: Instant;
  readonly attempts: number;
  /** Why the last attempt failed; empty when there was none, or when its lease ended. */
  readonly cause: string;
  readonly input: unknown;
};

/** A topic: what all shards keep of it. */
export type TopicView = {
  readonly topic: string;
  /** Events that are kept. `atLeast`: more may be, of before the cluster was restored from a backup. */
  readonly events: number;
  readonly atLeast: boolean;
  /** What they take, about. */
  readonly bytes: number;
  /** When the oldest and the newest that are kept were published; null when none is. */
  readonly oldest: Instant | null;
  readonly newest: Instant | null;
};

/** A subscription of the application, or another group that goes through a topic. */
export type GroupView = {
  readonly group: string;
  readonly topic: string;
  /** `subscription`: of the application. `reader`: read from outside, or of an earlier application. */
  readonly kind: "subscription" | "reader";
  /** Events that it has before it. `atLeast`: as of a topic. */
  readonly lag: number;
  readonly atLeast: boolean;
  /** How old the oldest of these is. */
  readonly lagMs: Millis;
  /** Of how many events one command or call is made at most, and for how many keys at the same time at each shard; null where the
   *  subscription says nothing of it, as of a reader. */
  readonly batch: number | null;
  readonly concurrency: number | null;
  /** Of one that is read from outside, who reads: how many shards each has, and how many events before it there. */
  readonly consumers: readonly { readonly consumer: string; readonly shards: number; readonly lag: number }[];
  /** `partly`: paused at some shards. */
  readonly state: "open" | "paused" | "partly";
  /** Shards where it stands still: before which event (empty when the event is not why), since when and why. */
  readonly stuck: readonly {
    readonly shard: Shard;
    readonly event: string;
    readonly since: Instant;
    readonly cause: string;
  }[];
};

/** Where a group is to go on: with all that is kept, with what comes, or with what was published then or later. */
export type SeekTo = "beginning" | "now" | Instant;

/** What is to be done with a group. With `dryRun` it is only told what would come of it. */
export type GroupAsk =
  | { readonly act: "pause" | "resume" }
  | { readonly act: "remove"; readonly dryRun: boolean }
  | { readonly act: "seek"; readonly to: SeekTo; readonly dryRun: boolean };

/** What a change of its place means to a group: events that it meets again, and events that it never meets. */
export type GroupChange = { readonly again: number; readonly over: number; readonly atLeast: boolean };

/** What one node measures of itself and of what is around it. */
export type Checkup = {
  readonly node: string;
  readonly name: string;
  readonly app: string;
  /** The same on nodes whose code offers the same. */
  readonly fingerprint: string;
  /** Its gateway lets every caller in. */
  readonly insecure: boolean;
  /** By which other nodes know it; null for a node that shows none. `renewsAt`: when a new one is due. */
  readonly certificates: { readonly until: Instant; readonly renewsAt: Instant; readonly rootUntil: Instant } | null;
  /** How far its clock is ahead of that of the node that was asked, and how far off that may be. */
  readonly clockSkewMs: Millis;
  readonly clockWithinMs: Millis;
  /** Why the engine told nothing. */
  readonly engineError: string | null;
  /** What a durable write takes there, measured; null where the engine does not tell. */
  readonly engineSyncMs: Millis | null;
  /** How far the engine's clock is ahead of this node's; null where it has none of its own. */
  readonly engineSkewMs: Millis | null;
  readonly engineSkewWithinMs: Millis | null;
  /** The nodes it knows of, and whether its connection to each is up. */
  readonly reaches: readonly {
    readonly node: string;
    readonly name: string;
    readonly peer: string;
    readonly link: "up" | "silent" | "refused";
  }[];
};

export interface Operator {
  /** What every node that answers measures now; those that do not answer are named in the warnings. */
  checkup(): Promise<Found<Checkup>>;
  status(): Promise<Status>;
  entity(type: string, key: string): Promise<EntityDetail>;
  /** Newest first; `complete` is false when older commits were trimmed away behind a snapshot. */
  history(type: string, key: string, limit: number): Promise<{ items: readonly HistoryItem[]; complete: boolean }>;
  /** Entities of a type in key order whose key starts with `prefix`, after `after`. */
  search(type: string, prefix: string, after: string | undefined, limit: number): Promise<Found<EntityView>>;
  parked(): Promise<Found<Parked>>;
  release(id: string): Promise<void>;
  /** What is to be done, of one type of entity or of all, by due time. */
  tasks(entity: string | undefined, limit: number): Promise<Found<TaskView>>;
  /** What failed for good, by when it came and by id; `after`: `at/id` of the last of the page before. */
  deadLetters(entity: string | undefined, after: string | undefined, limit: number): Promise<Found<TaskView>>;
  /** Shards that have something to do. */
  backlog(): Promise<Found<Backlog>>;
  /** Queues of the application, and those that jobs were left in, by name. */
  queues(): Promise<Found<QueueView>>;
  /** The jobs of a queue that are begun next: ready ones by priority, then those that are due first. NOT_FOUND when there is no such
   *  queue. */
  jobs(queue: string, limit: number): Promise<Found<JobView>>;
  /** Has no job of a queue begun any more, or again (what is leased goes on); or drops what waits in it and nobody has, dead letters
   *  aside. At all shards: what was not reached is in the warnings. NOT_FOUND when there is no such queue. */
  changeQueue(queue: string, ask: QueueAsk): Promise<Found<QueueChange>>;
  /** Topics of the application, and those that have events, by name. */
  topics(): Promise<Found<TopicView>>;
  /** Subscriptions of the application and other groups that have a place, by name. */
  groups(): Promise<Found<GroupView>>;
  /** Pauses, resumes, moves or forgets a group at all shards. What was not reached is in the warnings. NOT_FOUND when there is no
   *  such group, IN_USE when a subscription of the application is to be forgotten, BAD_INPUT when a group rests that is none. */
  changeGroup(topic: string, group: string, ask: GroupAsk): Promise<Found<GroupChange>>;
  /** NOT_FOUND when no dead letter has this id, as of `redrive` and `drop`. */
  deadLetter(id: string): Promise<TaskDetail>;
  /** Tries it again now, as often as the first time. IN_USE, as of `drop`, while another asks for the same. */
  redrive(id: string): Promise<void>;
  /** Has dead letters tried again in the course of time, or no more, or tells of those; grouped, the largest first. What was not reached is in
   *  the warnings. That is kept with each: it goes on whatever ends meanwhile. */
  redriveMany(filter: LetterFilter, ask: RedriveAsk): Promise<Found<Redrive>>;
  /** Gives up a dead letter. Resolves with what it was. */
  drop(id: string): Promise<TaskDetail>;
  /** Takes back a timer, and tells what it was. NOT_FOUND when no timer waits under this id, IN_USE while it is carried out. */
  cancelTimer(id: string): Promise<TaskDetail>;
  /** Hands over what a node serves, as far as others can take it, and gives it nothing more; or takes that back. The
   *  node stays up. NOT_FOUND when there is no such node. */
  drain(node: string, on: boolean): Promise<void>;
  /** A cordoned node is given nothing more and keeps what it has. NOT_FOUND when there is no such node. */
  cordon(node: string, on: boolean): Promise<void>;
  /** Forgets a node that is gone for good. IN_USE while it answers, NOT_FOUND when there is no such node. */
  remove(node: string): Promise<void>;
  /** Pins a shard to a node, by id, or takes its pin away (null), for as long as nothing else is asked. It moves there when
   *  its turn comes. NOT_FOUND when there is no such shard or node, IN_USE when the node takes no shards now. */
  move(shard: Shard, node: string | null): Promise<void>;
  /** The shards that are not where they belong, or are pinned. */
  moves(): Promise<readonly ShardMove[]>;
  /** May this node take traffic? Each check by name. */
  ready(): { readonly ok: boolean; readonly checks: Readonly<Record<string, string>> };
}

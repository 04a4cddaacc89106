// One node: the application's entities and services on one engine. Composes the floors below; owns no decisions.

import type { Checkup, Operator } from "../admin/index.ts";
import type { Limits, Shard, SheafError } from "../base/index.ts";
import type { Post } from "../gateway/index.ts";
import type { Host } from "../host/index.ts";
import type { Cluster, Engine } from "../journal/index.ts";
import type { AppShape } from "../model/index.ts";
import type { Calls, PeerDial, Pipe, PipeEnd } from "../rpc/index.ts";
import type { Store } from "../shards/index.ts";

export type ProcessFacts = {
  readonly pid: number;
  rssBytes(): number;
  /** Every caller is let in. */
  readonly insecure?: boolean | undefined;
  /** By which other nodes know this one; null when it shows none. */
  certificates?(): Checkup["certificates"];
  addresses(): { readonly gateway: string | null; readonly admin: string | null };
};

/** How a node meets the others of its cluster. */
export type Meeting = {
  /** Name of the node, the same over restarts: placement goes by it. */
  readonly name: string;
  /** Where other nodes reach this one. */
  readonly address: string;
  readonly dial: PeerDial;
  /** Answers connections of other nodes from now on, until the returned function is called. */
  listen(accept: (pipe: Pipe) => PipeEnd): () => void;
  /** Told once, with IN_USE, when another process that lives under the same name stays in place of this one, which is
   *  to stop. */
  readonly replaced?: ((error: SheafError) => void) | undefined;
  /** Copies of each shard: the owner and its followers; 3 when absent. */
  readonly copies?: number | undefined;
  readonly zone?: string | undefined;
  /** Share of the shards, relative to others'; 1 when absent. */
  readonly weight?: number | undefined;
  /** What of the application the node hosts, as `hostedBy` reads it; everything when absent. */
  readonly roles?: readonly string[] | undefined;
};

/** Entities that share shards which no others have. */
export type AskedApart = {
  readonly entities: readonly string[];
  /** An equal share when absent. */ readonly shards?: number;
};

export type NodeOptions = {
  readonly host: Host;
  readonly engine: Engine;
  readonly store: Store;
  readonly app: AppShape;
  /** Name of the cluster; an engine that holds a cluster of another name is refused with WRONG_CLUSTER. */
  readonly cluster: string;
  /** Only used when the cluster is created. */
  readonly shards?: number | undefined;
  /** Only used when the cluster is created: entities that get shards of their own, so that nodes may host them apart. */
  readonly apart?: readonly AskedApart[] | undefined;
  /** Create the cluster when the engine holds none; else that is NO_CLUSTER. */
  readonly create?: boolean | undefined;
  /** 32 bytes. Records and snapshots are encrypted when given; another key than the cluster's is WRONG_KEY. */
  readonly encryptionKey?: Uint8Array | undefined;
  readonly limits?: Partial<Limits> | undefined;
  /** Defaults to a fresh id. */
  readonly id?: string | undefined;
  /** What only the process around a node knows; absent in simulation. */
  readonly process?: ProcessFacts | undefined;
  /** How services outside of the cluster are called; where absent, none can be. */
  readonly post?: Post | undefined;
  /** Absent for a node that is alone. */
  readonly meeting?: Meeting | undefined;
  /** For a node that is alone: shards to claim at start; all when absent. */
  readonly claim?: readonly Shard[] | undefined;
};

export interface Node extends Calls, Operator {
  readonly id: string;
  /** Of this node alone; the node itself is the operator of the whole cluster. */
  readonly local: Operator;
  readonly cluster: Cluster;
  readonly app: AppShape;
  readonly limits: Limits;
  /** Brings the gauges up to date: to be called before they are read. */
  measure(): void;
  /** One session token that covers all of these. Throws BAD_SESSION for one that this cluster did not make. */
  joinSessions(tokens: readonly string[]): string;
  /** Claims a shard (F2). Resolves when this node serves it; rejects when another node won it. */
  acquire(shard: Shard): Promise<void>;
  /** Is not ready from now on, and hands its shards to others, while it still takes calls. Resolves when it serves no shard
   *  that another could, or after the time given. */
  leave(deadlineMs?: number): Promise<void>;
  /** Refuses new calls (STOPPING), finishes or abandons those under way by the deadline, saves, closes engine and store. */
  stop(deadlineMs?: number): Promise<void>;
  /** Replaces the application's code; state is kept. Commands already running finish in the old code. */
  reload(app: AppShape): void;
}

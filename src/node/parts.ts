// What is alive in a node.

import type { Limits } from "../base/index.ts";
import type { Entities, Poison, Work } from "../entities/index.ts";
import type { Cluster } from "../journal/index.ts";
import type { AppShape, CompiledApp } from "../model/index.ts";
import type { Services } from "../services/index.ts";
import type { Shards } from "../shards/index.ts";
import type { Topics } from "../topics/index.ts";
import type { NodeOptions } from "./node.ts";

export type Parts = {
  readonly options: NodeOptions;
  readonly id: string;
  readonly cluster: Cluster;
  readonly limits: Limits;
  readonly shards: Shards;
  readonly entities: Entities;
  readonly services: Services;
  readonly work: Work;
  readonly topics: Topics;
  readonly poison: Poison;
  readonly startedAt: number;
  app: AppShape;
  compiled: CompiledApp;
  /** It is going to stop: it takes calls still, and gives away its shards. */
  leaving: boolean;
  state: "starting" | "ready" | "draining" | "stopping";
};

/** The shard of a precise command name, `type/key/command#input`; a key may hold slashes. */
export function shardOfCommand(shards: Shards, name: string): Shards["all"][number] {
  const label = name.slice(0, name.lastIndexOf("#"));
  const type = label.slice(0, label.indexOf("/"));
  return shards.of(type, label.slice(type.length + 1, label.lastIndexOf("/")));
}

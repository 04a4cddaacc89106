// What entities are given by their node.

import type { Limits } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import type { CompiledApp } from "../model/index.ts";
import type { Calls, Derive, Sessions } from "../rpc/index.ts";
import type { Shards } from "../shards/index.ts";
import type { AskWaiting } from "./cycles.ts";
import type { Poison } from "./poison.ts";

export type EntitiesOptions = {
  readonly host: Host;
  readonly limits: Limits;
  readonly shards: Shards;
  readonly poison: Poison;
  /** The application as it is now. */
  readonly app: () => CompiledApp;
  /** Where calls made inside handlers go. */
  readonly calls: Calls;
  /** Present where followers may answer. */
  readonly tokens: () => Sessions | undefined;
  /** What is the same on every node, and nobody else's to know; once the cluster's secret is known. */
  readonly derive: () => Derive | undefined;
  /** Id of this node, and who answers for the others; where there are others. */
  readonly among?: { readonly self: string; readonly ask: AskWaiting } | undefined;
};

// What entities are given by their node.

import type { Limits } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import type { Calls, Sessions } from "../rpc/index.ts";
import type { Shards } from "../shards/index.ts";
import type { Poison } from "./poison.ts";

export type EntitiesOptions = {
  readonly host: Host;
  readonly limits: Limits;
  readonly shards: Shards;
  readonly poison: Poison;
  /** Where calls made inside handlers go. */
  readonly calls: Calls;
  /** Present where followers may answer. */
  readonly tokens: () => Sessions | undefined;
};

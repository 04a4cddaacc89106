// Which shards an operator has pinned to a node, as a system entity: one for the whole cluster.

import { systemEntity } from "../model/index.ts";
import { count, record, text, texts, time } from "./schema.ts";

const pinned = record({
  /** Raised with every change. */
  version: time,
  /** By shard: the name of the node that it is pinned to, or "". */
  nodes: texts,
});

/** The key under which there is one. */
export const pinsEntityKey = "all";

export const Pins = systemEntity("sheaf.pins", {
  state: pinned,
  commands: {
    /** An empty name takes the pin away. */
    pin: { input: record({ shard: count, node: text }), output: pinned },
  },
  queries: { all: { output: pinned, consistency: "strong" } },
});

export const pinsEntity = Pins.implement({
  initial: () => ({ version: 0, nodes: [] }),
  pin({ state, input: { shard, node } }) {
    if ((state.nodes[shard] ?? "") !== node) {
      while (state.nodes.length <= shard) state.nodes.push("");
      state.nodes[shard] = node;
      while (state.nodes.at(-1) === "") state.nodes.pop();
      state.version++;
    }
    return { version: state.version, nodes: [...state.nodes] };
  },
  all: ({ state }) => ({ version: state.version, nodes: [...state.nodes] }),
});

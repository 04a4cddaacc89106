// Which shards an operator wants at a node of their choice, whatever placement says. Kept in the journal by a system entity;
// what nodes read of it in the registry, which may be emptied by a crash of the engine, is a copy for speed.

import type { Shard } from "../base/index.ts";
import { pack, unpackUntrusted } from "../wire/index.ts";

export type Pins = {
  /** Raised with every change: the higher one stands. */
  readonly version: number;
  /** Name of the node. */
  readonly nodes: ReadonlyMap<Shard, string>;
};

export const noPins: Pins = { version: 0, nodes: new Map() };

/** The key under which the registry holds them; no member has such an id. */
export const pinsKey = "sheaf.pins";

const format = 1;
const longestName = 512;

/** By node, so that a thousand shards on a few nodes fit a record of the registry. */
export function packPins({ version, nodes }: Pins): Uint8Array {
  const byName = new Map<string, Shard[]>();
  for (const [shard, name] of [...nodes].sort(([a], [b]) => a - b)) {
    const known = byName.get(name);
    if (known) known.push(shard);
    else byName.set(name, [shard]);
  }
  return pack({ format, version, nodes: [...byName] });
}

/** The pins that the bytes are, or undefined when they are none. Never throws. */
export function unpackPins(bytes: Uint8Array): Pins | undefined {
  let value: unknown;
  try {
    value = unpackUntrusted(bytes, { maxBytes: 64 * 1024, maxDepth: 8, maxItems: 8192 });
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { format: written, version, nodes: byName } = value as Readonly<Record<string, unknown>>;
  if (written !== format || !isCount(version) || !Array.isArray(byName)) return undefined;
  const nodes = new Map<Shard, string>();
  for (const pair of byName as unknown[]) {
    if (!Array.isArray(pair)) return undefined;
    const [name, shards] = pair as unknown[];
    if (typeof name !== "string" || name === "" || name.length > longestName) return undefined;
    if (!Array.isArray(shards) || !shards.every(isCount)) return undefined;
    for (const shard of shards) nodes.set(shard, name);
  }
  return { version, nodes };
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

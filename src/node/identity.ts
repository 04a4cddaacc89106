// Which cluster an engine holds, and whether this node may join it. Nothing is written before everything fits.

import { type Apart, fromUtf8, SheafError, toHex, utf8 } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { type Cluster, keyFits, makeKeyCheck } from "../journal/index.ts";
import { maxSessionShards } from "../rpc/index.ts";
import type { AppShape } from "../model/index.ts";
import type { AskedApart, NodeOptions } from "./node.ts";

export const defaultShards = 64;

export type IdentifyOptions = Pick<
  NodeOptions,
  "engine" | "host" | "cluster" | "create" | "shards" | "apart" | "app" | "encryptionKey"
>;

/** The engine's cluster, created first where it holds none and `create` is said; the same when it is asked again. Rejects
 *  NO_CLUSTER, WRONG_CLUSTER, WRONG_KEY. */
export async function identify(options: IdentifyOptions): Promise<Cluster> {
  const { engine, host, encryptionKey: key } = options;
  if (key && key.length !== 32) throw new SheafError("USAGE", "an encryption key has 32 bytes");
  const held = await engine.identify();
  const cluster = held ?? (await create(options));
  if (cluster.name !== options.cluster) {
    throw new SheafError("WRONG_CLUSTER", `the engine holds the cluster "${cluster.name}", not "${options.cluster}"`, {
      hint: "use another data directory or database, or name the cluster that is there",
    });
  }
  checkKey(host, cluster, key);
  checkMemory(host, cluster);
  return cluster;
}

async function create({
  engine,
  host,
  cluster: name,
  create,
  shards = defaultShards,
  apart: asked,
  app,
  encryptionKey: key,
}: IdentifyOptions): Promise<Cluster> {
  if (!create) {
    throw new SheafError("NO_CLUSTER", `the engine holds no cluster; "${name}" was expected`, {
      hint: "check where the data is, or say --create to begin a new cluster",
    });
  }
  if (!Number.isInteger(shards) || shards < 1 || shards > maxSessionShards)
    throw new SheafError("USAGE", `a cluster has 1 to ${maxSessionShards} shards`);
  const apart = asked && asked.length > 0 ? apartOf(asked, shards, app.contract) : undefined;
  const remembered = host.disk.read(clusterFile);
  if (remembered) throw vanished(fromUtf8(remembered));
  const id = toHex(host.dice.bytes(16));
  const keyCheck = key && makeKeyCheck(host.crypto, host.dice, key, id);
  const cluster: Cluster = { id, name, shards, createdAt: host.clock.now(), ...(apart && { apart }), keyCheck };
  try {
    await engine.create(cluster);
    return cluster;
  } catch (error) {
    const other = await engine.identify();
    if (!other) throw error;
    return other;
  }
}

/** Gives out the shards from the end; the others keep at least one. Throws USAGE for what cannot be. */
export function apartOf(asked: readonly AskedApart[], shards: number, app: AppShape["contract"]): Apart[] {
  const usage = (says: string, hint?: string): SheafError => new SheafError("USAGE", `apart: ${says}`, { hint });
  const share = Math.floor(shards / (asked.length + 1));
  const known = app.entities.map(({ name }) => name);
  const seen = new Set<string>();
  let end = shards;
  return asked.map(({ entities, shards: own = share }) => {
    if (entities.length === 0) throw usage("name the entities");
    for (const name of entities) {
      if (!known.includes(name))
        throw usage(`the app has no entity "${name.slice(0, 80)}"`, `its entities: ${known.join(", ") || "none"}`);
      if (seen.has(name)) throw usage(`the entity ${name} is named twice`);
      seen.add(name);
    }
    if (!Number.isInteger(own) || own < 1 || own >= end)
      throw usage(
        `there are not enough shards for ${entities.join("+")}`,
        `the cluster has ${shards}: each part needs one, and so do all other entities`,
      );
    end -= own;
    return { entities, first: end, shards: own };
  });
}

function checkKey(host: Host, cluster: Cluster, key: Uint8Array | undefined): void {
  if (cluster.keyCheck === undefined) {
    if (key)
      throw new SheafError("WRONG_KEY", `the cluster "${cluster.name}" is not encrypted; it was created without a key`);
    return;
  }
  if (!key) throw new SheafError("WRONG_KEY", `the cluster "${cluster.name}" is encrypted and no key was given`);
  if (!keyFits(host.crypto, key, cluster.id, cluster.keyCheck)) throw new SheafError("WRONG_KEY");
}

/** A node's own folder remembers which cluster it worked for, so that a lost or exchanged engine is noticed (F8). */
const clusterFile = "cluster";

function checkMemory(host: Host, cluster: Cluster): void {
  const remembered = host.disk.read(clusterFile);
  if (!remembered) return host.disk.write(clusterFile, utf8(cluster.id));
  if (fromUtf8(remembered) !== cluster.id) {
    throw new SheafError(
      "WRONG_CLUSTER",
      `this node's folder belongs to the cluster ${fromUtf8(remembered)}; the engine holds ${cluster.id}`,
      {
        hint: "give the node the folder of its cluster, or an empty one",
      },
    );
  }
}

const vanished = (id: string): SheafError =>
  new SheafError(
    "ENGINE_REFUSED",
    `this node worked for the cluster ${id}, and the engine now holds none: it is not created anew`,
    {
      hint: "bring the engine's data back; to start over, remove the node's folder too",
    },
  );

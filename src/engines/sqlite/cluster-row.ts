// Which cluster journal.db holds: its row in the file, and cluster.json beside it, which outlives the file (J1).

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { SheafError } from "../../base/index.ts";
import type { Cluster } from "../../journal/index.ts";
import { decodeMarker, format, journalFile, markerFile, readCluster, replaceMarker } from "./journal-file.ts";

function readMarker(dir: string): Cluster | undefined {
  try {
    return decodeMarker(readFileSync(join(dir, markerFile), "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    const hint = `remove it: it is written again from ${journalFile}`;
    throw new SheafError("CORRUPT", `${join(dir, markerFile)} cannot be read`, { cause: error, hint });
  }
}

/** The cluster, once both places agree; a missing marker is written again. */
export function identifyCluster(dir: string, db: DatabaseSync): Cluster | undefined {
  const cluster = readCluster(db, dir);
  const marker = readMarker(dir);
  if (marker && marker.id !== cluster?.id) {
    const says = `${markerFile} names cluster ${JSON.stringify(marker.name)}, ${journalFile} holds ${cluster ? `cluster ${JSON.stringify(cluster.name)}` : "no cluster"}`;
    throw new SheafError(cluster ? "WRONG_CLUSTER" : "CORRUPT", says, {
      hint: `restore the ${journalFile} of that cluster`,
    });
  }
  if (cluster && !marker) replaceMarker(dir, cluster);
  return cluster;
}

/** Writes the row, durably, then the marker: a crash between leaves a row without a marker, which `identify` mends. */
export function createCluster(dir: string, db: DatabaseSync, lock: () => void, cluster: Cluster): void {
  lock();
  try {
    needNone(dir, db);
    insertCluster(db, cluster, format);
    db.exec("COMMIT");
  } finally {
    if (db.isTransaction) db.exec("ROLLBACK");
  }
  replaceMarker(dir, cluster);
}

/** Throws when the file holds a cluster, or an unfinished one. */
export function needNone(dir: string, db: DatabaseSync): void {
  const there = readCluster(db, dir);
  if (there)
    throw new SheafError("WRONG_CLUSTER", `${dir} holds cluster ${JSON.stringify(there.name)} (${there.id}) already`);
}

/** `mark` is the format, or a restoration's mark. */
export function insertCluster(db: DatabaseSync, cluster: Cluster, mark: number): void {
  const { id, name, shards, createdAt, keyCheck = null } = cluster;
  const apart = cluster.apart ? JSON.stringify(cluster.apart) : null;
  db.prepare("INSERT INTO cluster VALUES (1, ?, ?, ?, ?, ?, ?, ?)").run(
    mark,
    id,
    name,
    shards,
    createdAt,
    keyCheck,
    apart,
  );
}

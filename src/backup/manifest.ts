// What a backup says of itself, in manifest.json. It is written last: a folder without one is no backup.
//
// B1. The manifest names the head of every shard's journal by its hash, and the end of every snapshot. Records and frames
//     each name the one before, so these pin every byte; and the manifest carries a hash of itself.

import { fromHex, SheafError, toHex, utf8 } from "../base/index.ts";
import type { Crypto } from "../host/index.ts";
import type { Cluster, SnapshotName } from "../journal/index.ts";
import type { Folder } from "./folder.ts";

export const manifestFile = "manifest.json";
/** Its name until the backup is whole. */
export const unfinishedFile = "manifest.json.unfinished";
const format = 1;
const mostBytes = 64 * 1024 * 1024;

export type KeptSnapshot = Omit<SnapshotName, "shard"> & {
  readonly file: string;
  readonly bytes: number;
  /** Hash of its last frame, hexadecimal. */
  readonly end: string;
};

export const snapshotName = (shard: number, { generation, epoch, seq, hash }: KeptSnapshot): SnapshotName => ({
  shard,
  generation,
  epoch,
  seq,
  hash,
});

export type KeptShard = {
  readonly shard: number;
  readonly generation: number;
  /** Of the last record; the highest before it may be higher. */
  readonly epoch: number;
  /** Sequences of the first and the last record; `first` is `seq + 1` when there is none. */
  readonly first: number;
  readonly seq: number;
  /** Hash of the last record, hexadecimal. */
  readonly hash: string;
  /** Undefined when there is no record. */
  readonly file?: string;
  readonly bytes: number;
  readonly snapshots: readonly KeptSnapshot[];
};

export type Manifest = {
  readonly format: number;
  readonly cluster: Omit<Cluster, "keyCheck"> & { readonly keyCheck?: string };
  /** Name of the engine that it was taken of, and the version that took it. */
  readonly engine: string;
  readonly version: string;
  /** Between these moments the end of every journal was looked up: what was acknowledged before the first is in it. */
  readonly cutFrom: number;
  readonly cutTo: number;
  readonly shards: readonly KeptShard[];
};

export const recordsOf = ({ first, seq }: KeptShard): number => seq + 1 - first;
export const bytesOf = ({ bytes, snapshots }: KeptShard): number =>
  snapshots.reduce((sum, snapshot) => sum + snapshot.bytes, bytes);

export const clusterOf = ({ cluster: { keyCheck, ...cluster } }: Manifest): Cluster => ({
  ...cluster,
  ...(keyCheck !== undefined && { keyCheck: fromHex(keyCheck) }),
});
export const keptCluster = ({ id, name, shards, createdAt, apart, keyCheck }: Cluster): Manifest["cluster"] => ({
  id,
  name,
  shards,
  createdAt,
  ...(apart && { apart }),
  ...(keyCheck && { keyCheck: toHex(keyCheck) }),
});

export function manifestText(crypto: Crypto, manifest: Omit<Manifest, "format">): string {
  const whole: Manifest = { format, ...manifest };
  return asText({ backup: whole, sha256: hashOf(crypto, whole) });
}

const asText = (file: unknown): string => `${JSON.stringify(file, null, 1)}\n`;

const hashOf = (crypto: Crypto, manifest: unknown): string => toHex(crypto.sha256(utf8(JSON.stringify(manifest))));

/** Rejects NOT_FOUND for a folder without a manifest, CORRUPT for one that was altered or is of a newer version. */
export async function readManifest(folder: Folder, crypto: Crypto): Promise<Manifest> {
  const names = await folder.list();
  if (!names.includes(manifestFile)) {
    const unfinished = names.includes(unfinishedFile);
    throw new SheafError(
      "NOT_FOUND",
      unfinished ? "the backup was not finished" : "there is no backup in this folder",
      {
        hint: unfinished ? "remove the folder and take another backup" : `a backup has a file ${manifestFile}`,
      },
    );
  }
  const bent = (cause?: unknown): SheafError =>
    new SheafError("CORRUPT", `${manifestFile} of the backup was altered or is damaged`, { hint: useAnother, cause });
  let read: { readonly backup: Manifest; readonly sha256: string };
  try {
    const text = await textOf(folder);
    read = JSON.parse(text) as typeof read;
    if (text !== asText(read)) throw bent();
  } catch (cause) {
    throw bent(cause);
  }
  if (typeof read !== "object" || read === null || read.backup === undefined) throw bent();
  if (read.sha256 !== hashOf(crypto, read.backup)) throw bent();
  if (read.backup.format > format)
    throw new SheafError("CORRUPT", `the backup has format ${read.backup.format}; this build reads ${format}`, {
      hint: "A newer Sheaf wrote it. Run the newer version.",
    });
  return read.backup;
}

/** What to do about a backup that is damaged. */
export const useAnother = "use another backup; nothing can be restored from this one";

async function textOf(folder: Folder): Promise<string> {
  const parts: string[] = [];
  let bytes = 0;
  const decode = new TextDecoder("utf-8", { fatal: true });
  for await (const chunk of folder.read(manifestFile)) {
    bytes += chunk.length;
    if (bytes > mostBytes) throw new SheafError("CORRUPT", `${manifestFile} is over ${mostBytes} bytes`);
    parts.push(decode.decode(chunk, { stream: true }));
  }
  return parts.join("") + decode.decode();
}

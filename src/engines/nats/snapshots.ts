// Snapshots in the store stream: pieces of at most 1 MiB, each a message of its own, and last a manifest that says where
// they are. Only manifests are listed.
//
// N1. The manifest is written when every piece was acknowledged, so what is listed is whole and durable.
// N2. It holds the SHA-256 of all bytes; a piece that is missing or bent is CORRUPT.
// N3. Pieces are named by their put, so a second put of a name touches nothing of the first until its manifest stands.
//     Pieces of puts that never came to that are removed by a later put, a day on.

import { createHash, randomBytes } from "node:crypto";
import { type Millis, type Shard, SheafError } from "../../base/index.ts";
import type { SnapshotName, Snapshots } from "../../journal/index.ts";
import { lastOf } from "./last-of.ts";
import type { Layout } from "./layout.ts";
import type { Link, Stored } from "./link.ts";
import { deadlineIn, persist } from "./patience.ts";

type Manifest = {
  readonly put: string;
  readonly pieces: readonly number[];
  readonly bytes: number;
  readonly sha256: string;
};

const pieceBytes = 1024 * 1024;
/** Pieces asked for before they are needed. */
const ahead = 4;
const goneAfter = "60s";
const dayMs = 24 * 60 * 60_000;

const tokenOf = ({ generation, epoch, seq, hash }: SnapshotName): string => `${generation}-${epoch}-${seq}-${hash}`;

function nameOf(shard: Shard, token: string): SnapshotName | undefined {
  const parts = /^(\d{1,15})-(\d{1,15})-(\d{1,15})-([0-9a-f]{64})$/.exec(token);
  if (!parts) return undefined;
  const [generation, epoch, seq] = parts.slice(1, 4).map(Number) as [number, number, number];
  return { shard, generation, epoch, seq, hash: parts[4] as string };
}

const newestFirst = (a: SnapshotName, b: SnapshotName): number =>
  b.generation - a.generation || b.seq - a.seq || b.epoch - a.epoch;

/** Each chunk behind its length, cut into pieces. */
async function* piecesOf(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<Buffer> {
  let gathered: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(chunk.length);
    gathered.push(length, Buffer.from(chunk));
    bytes += 4 + chunk.length;
    if (bytes < pieceBytes) continue;
    const whole = Buffer.concat(gathered);
    let at = 0;
    for (; bytes - at >= pieceBytes; at += pieceBytes) yield whole.subarray(at, at + pieceBytes);
    gathered = [whole.subarray(at)];
    bytes -= at;
  }
  if (bytes > 0) yield Buffer.concat(gathered);
}

/** The chunks that pieces were made of. */
async function* chunksOf(pieces: AsyncIterable<Uint8Array>, corrupt: () => SheafError): AsyncGenerator<Uint8Array> {
  let rest = Buffer.alloc(0);
  for await (const piece of pieces) {
    rest = Buffer.concat([rest, piece]);
    while (rest.length >= 4 && rest.length - 4 >= rest.readUInt32BE(0)) {
      const end = 4 + rest.readUInt32BE(0);
      yield new Uint8Array(rest.subarray(4, end));
      rest = rest.subarray(end);
    }
  }
  if (rest.length > 0) throw corrupt();
}

export function snapshotsOf(
  link: Link,
  layout: Layout,
  patienceMs: Millis,
  whileOpen: () => Promise<unknown>,
): Snapshots {
  const stream = layout.store;
  const made = `${layout.space}.snapshots.made`;
  const piece = `${layout.space}.snapshots.piece`;

  function subjectOf(name: SnapshotName): string {
    const token = tokenOf(name);
    if (Number.isSafeInteger(name.shard) && name.shard >= 0 && nameOf(name.shard, token))
      return `${made}.${name.shard}.${token}`;
    throw new SheafError("BAD_INPUT", `not a snapshot's name: ${JSON.stringify(name).slice(0, 300)}`);
  }

  async function write(subject: string, bytes: Uint8Array, isGone = false): Promise<number> {
    const deadline = deadlineIn(2 * patienceMs);
    return persist(`wrote ${subject}`, deadline, async () => {
      await whileOpen();
      const timeoutMs = deadline.tryMs();
      const sent = await link.publish({ stream, subject, bytes, timeoutMs, ...(isGone && { goneAfter, isGone }) });
      if (sent.kind === "full") throw sent.error;
      return sent.kind === "stored" ? sent.position : undefined;
    });
  }

  const manifestIn = ({ bytes }: Stored): Manifest => JSON.parse(new TextDecoder().decode(bytes)) as Manifest;

  /** The manifest that stands under the name. */
  async function manifestOf(name: SnapshotName): Promise<Manifest | undefined> {
    const subject = subjectOf(name);
    const [found] = await lastOf(link, stream, subject, patienceMs);
    return found === undefined || found.isGone ? undefined : manifestIn(found);
  }

  async function removePieces(put: string): Promise<void> {
    await link.streams.purge(stream, { filter: `${piece}.${put}.*` });
  }

  /** Removes pieces of puts that began long ago and that no manifest names. */
  async function sweep(): Promise<void> {
    const counts = await link.look(stream, `${piece}.>`, patienceMs);
    if (counts === "missing") return;
    const puts = new Set(
      Object.keys(counts.counts).map((subject) => subject.slice(piece.length + 1).split(".")[0] as string),
    );
    const old = [...puts].filter((put) => parseInt(put, 36) < Date.now() - dayMs);
    if (old.length === 0) return;
    const named = await lastOf(link, stream, `${made}.>`, patienceMs);
    const used = new Set(named.flatMap((one) => (one.isGone ? [] : [manifestIn(one).put])));
    for (const put of old) if (!used.has(put)) await removePieces(put);
  }

  /** The piece at a position of `manifest`, which stood under the name when it was read. */
  async function pieceAt(seq: number, name: SnapshotName, manifest: Manifest): Promise<Uint8Array> {
    const deadline = deadlineIn(patienceMs);
    let misses = 0;
    return persist(`read a piece of snapshot ${tokenOf(name)}`, deadline, async () => {
      await whileOpen();
      const { messages } = await link.get(stream, { seq, batch: 1, max_bytes: 1 }, deadline.tryMs());
      const [found] = messages;
      if (found?.position === seq && found.subject.startsWith(`${piece}.${manifest.put}.`)) return found.bytes;
      // A replica may be behind what was acknowledged, but not for long; or the snapshot was deleted meanwhile.
      if (++misses < 8) return undefined;
      throw (await manifestOf(name))?.put === manifest.put ? corrupt(name) : missing(name);
    });
  }

  async function* piecesOfManifest(name: SnapshotName, manifest: Manifest): AsyncGenerator<Uint8Array> {
    const asked: Promise<Uint8Array>[] = [];
    for (let i = 0; i < manifest.pieces.length; i++) {
      while (asked.length <= ahead && i + asked.length < manifest.pieces.length) {
        const next = pieceAt(manifest.pieces[i + asked.length] as number, name, manifest);
        next.catch(() => {}); // It is awaited below, or given up with the others.
        asked.push(next);
      }
      yield await (asked.shift() as Promise<Uint8Array>);
    }
  }

  return {
    async put(name, chunks) {
      await whileOpen();
      const subject = subjectOf(name);
      const put = `${Date.now().toString(36)}-${randomBytes(9).toString("hex")}`;
      const hash = createHash("sha256");
      const pieces: number[] = [];
      let bytes = 0;
      try {
        for await (const one of piecesOf(chunks)) {
          hash.update(one);
          bytes += one.length;
          pieces.push(await write(`${piece}.${put}.${pieces.length}`, one));
        }
      } catch (error) {
        await removePieces(put).catch(() => {}); // A later put sweeps what stays.
        throw error;
      }
      const old = await manifestOf(name);
      const manifest: Manifest = { put, pieces, bytes, sha256: hash.digest("hex") };
      await write(subject, new TextEncoder().encode(JSON.stringify(manifest)));
      if (old) await removePieces(old.put).catch(() => {});
      await sweep().catch(() => {});
    },
    async *get(name) {
      await whileOpen();
      const manifest = await manifestOf(name);
      if (manifest === undefined) throw missing(name);
      const hash = createHash("sha256");
      let bytes = 0;
      async function* counted(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
        for await (const one of pieces) {
          hash.update(one);
          bytes += one.length;
          yield one;
        }
      }
      yield* chunksOf(counted(piecesOfManifest(name, manifest)), () => corrupt(name));
      if (bytes !== manifest.bytes || hash.digest("hex") !== manifest.sha256) throw corrupt(name);
    },
    async list(shard) {
      await whileOpen();
      const prefix = `${made}.${Math.trunc(shard)}.`;
      const found = await lastOf(link, stream, `${prefix}*`, patienceMs);
      return found
        .flatMap(({ subject, isGone }) => {
          const name = isGone ? undefined : nameOf(shard, subject.slice(prefix.length));
          return name ? [name] : [];
        })
        .toSorted(newestFirst);
    },
    async delete(name) {
      await whileOpen();
      const manifest = await manifestOf(name);
      if (manifest === undefined) return;
      await write(subjectOf(name), new Uint8Array(), true);
      await removePieces(manifest.put).catch(() => {});
    },
  };
}

const corrupt = (name: SnapshotName): SheafError =>
  new SheafError("CORRUPT", `snapshot ${tokenOf(name)} of shard ${name.shard} is damaged`);
const missing = (name: SnapshotName): SheafError =>
  new SheafError("NOT_FOUND", `there is no snapshot ${tokenOf(name)} of shard ${name.shard}`);

// Snapshots as files, one each, in the folder `snapshots`.
//
// N1. A snapshot has its final name only once its bytes are synced; its name is synced before `put` resolves and before
//     `list` tells of it, so whoever trims behind a listed snapshot loses nothing when the machine is lost.
// N2. Every chunk has a checksum and the file an end mark with the number of chunks: a bent or cut file is CORRUPT.

import { randomBytes } from "node:crypto";
import { open, readdir, rename, rm, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { SheafError, type Shard } from "../../base/index.ts";
import type { Faults } from "../../host/index.ts";
import type { SnapshotName, Snapshots } from "../../journal/index.ts";
import { asEngineError } from "./sqlite-error.ts";

/** Where a test may stop the process while a snapshot is put. */
export type PutStep = "written" | "synced" | "renamed" | "folder-synced";
export type SnapshotOptions = {
  readonly dir: string;
  /** Throws when the engine is closed. */
  readonly whileOpen: () => void;
  readonly faults?: Faults | undefined;
  readonly reached?: ((step: PutStep) => void) | undefined;
};

const magic = 0x53484e31; // "SHN1"
const endMark = 0xffffffff;
const suffix = ".snapshot";

/** Throws BAD_INPUT for a name that is not of the documented shape: it becomes part of a path. */
function fileName({ shard, generation, epoch, seq, hash }: SnapshotName): string {
  const file = `${shard}-${generation}-${epoch}-${seq}-${hash}${suffix}`;
  if (parseName(file)) return file;
  throw new SheafError("BAD_INPUT", `not a snapshot's name: ${JSON.stringify(file)}`);
}

function parseName(file: string): SnapshotName | undefined {
  const parts = /^(\d+)-(\d+)-(\d+)-(\d+)-([0-9a-f]{64})\.snapshot$/.exec(file);
  if (!parts) return undefined;
  const [shard, generation, epoch, seq] = parts.slice(1, 5).map(Number) as [number, number, number, number];
  return { shard, generation, epoch, seq, hash: parts[5] as string };
}

function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(values.length * 4);
  values.forEach((value, i) => bytes.writeUInt32BE(value, i * 4));
  return bytes;
}

async function syncFolder(dir: string): Promise<void> {
  const folder = await open(dir, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function writeChunks(
  file: FileHandle,
  name: string,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<void> {
  // The name's checksum: a file under another snapshot's name is noticed.
  await file.writeFile(words(magic, crc32(name)));
  let count = 0;
  for await (const chunk of chunks) {
    await file.writeFile(words(chunk.length, crc32(chunk)));
    await file.writeFile(chunk);
    count++;
  }
  await file.writeFile(words(endMark, count));
}

/** Exactly `length` bytes from where the file stands; throws CORRUPT when it is shorter. */
async function take(file: FileHandle, length: number, bent: () => SheafError): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(length);
  for (let at = 0; at < length;) {
    const { bytesRead } = await file.read(bytes, at, length - at, null);
    if (bytesRead === 0) throw bent();
    at += bytesRead;
  }
  return bytes;
}

async function* readChunks(dir: string, name: string): AsyncGenerator<Uint8Array> {
  const bent = (): SheafError => new SheafError("CORRUPT", `snapshot ${name} fails its checksum`);
  const file = await open(join(dir, name), "r").catch((error: unknown) => {
    const gone = (error as NodeJS.ErrnoException).code === "ENOENT";
    throw gone ? new SheafError("NOT_FOUND", `there is no snapshot ${name}`) : asEngineError(error);
  });
  try {
    const { size } = await file.stat();
    const head = await take(file, 8, bent);
    if (head.readUInt32BE(0) !== magic || head.readUInt32BE(4) !== crc32(name)) throw bent();
    for (let count = 0; ; count++) {
      const mark = await take(file, 8, bent);
      const [length, check] = [mark.readUInt32BE(0), mark.readUInt32BE(4)];
      if (length === endMark) {
        if (check !== count) throw bent();
        return;
      }
      if (length > size) throw bent();
      const chunk = await take(file, length, bent);
      if (crc32(chunk) !== check) throw bent();
      yield chunk;
    }
  } finally {
    await file.close();
  }
}

/** Removes what puts of processes that are gone have left unfinished. */
export async function sweepUnfinished(dir: string): Promise<void> {
  for (const file of await readdir(dir)) {
    const pid = Number(/\.(\d+)-[0-9a-f]+\.tmp$/.exec(file)?.[1]);
    if (!(pid > 0)) continue;
    try {
      process.kill(pid, 0);
      if (pid === process.pid) continue;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ESRCH") await rm(join(dir, file), { force: true });
    }
  }
}

export function fileSnapshots({ dir, whileOpen, faults, reached = () => {} }: SnapshotOptions): Snapshots {
  async function put(name: SnapshotName, chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
    whileOpen();
    const final = fileName(name);
    const tmp = join(dir, `${final}.${process.pid}-${randomBytes(4).toString("hex")}.tmp`);
    try {
      const file = await open(tmp, "wx");
      try {
        await writeChunks(file, final, chunks);
        reached("written");
        await file.sync();
      } finally {
        await file.close();
      }
      reached("synced");
      await rename(tmp, join(dir, final));
      reached("renamed");
      await syncFolder(dir);
      reached("folder-synced");
    } catch (error) {
      await rm(tmp, { force: true }).catch(() => {});
      // What the source rejected with is the caller's own affair.
      throw typeof (error as { code?: unknown } | null)?.code === "string" ? asEngineError(error) : error;
    }
  }
  return {
    put(name, chunks) {
      const done = put(name, chunks);
      if (!faults?.mutant("M7")) return done;
      done.catch(() => {});
      return Promise.resolve();
    },
    async *get(name) {
      whileOpen();
      yield* readChunks(dir, fileName(name));
    },
    async list(shard: Shard) {
      whileOpen();
      const names = (await readdir(dir)).map(parseName).filter((name) => name?.shard === shard) as SnapshotName[];
      if (names.length > 0) await syncFolder(dir);
      return names.sort((a, b) => b.generation - a.generation || b.seq - a.seq || b.epoch - a.epoch);
    },
    async delete(name) {
      whileOpen();
      await rm(join(dir, fileName(name)), { force: true });
    },
  };
}

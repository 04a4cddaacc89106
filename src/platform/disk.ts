// A node's own folder of small files.
//
// D1. `write` survives a lost machine: the new content is synced under another name before it takes the old one's place.
// D2. `note` is one positioned write to a file kept open. Two files take turns, so a torn note leaves the one before it.
// D3. A frame carries a counter and a checksum; `read` returns the whole frame with the highest counter, so neither a
//     torn nor a shorter later note, nor a crash between two steps, brings back older bytes than the newest whole ones.

import { closeSync, constants, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { invariant, SheafError } from "../base/index.ts";
import type { Disk } from "../host/index.ts";

export type FolderDisk = Disk & { close(): void };

const { O_CREAT, O_RDWR } = constants;
const magic = 0x53484631; // "SHF1"
const headerBytes = 20;
const noteSuffixes = [".note0", ".note1"] as const;

type Frame = { readonly count: number; readonly bytes: Uint8Array };
type File = { count: number; readonly notes: [number | undefined, number | undefined] };

/** magic u32 · checksum u32 of all that follows · counter f64 · length u32 · bytes. */
function frame(count: number, bytes: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(headerBytes + bytes.length);
  framed.writeUInt32BE(magic, 0);
  framed.writeDoubleBE(count, 8);
  framed.writeUInt32BE(bytes.length, 16);
  framed.set(bytes, headerBytes);
  framed.writeUInt32BE(crc32(framed.subarray(8)), 4);
  return framed;
}

function unframe(framed: Buffer): Frame | undefined {
  if (framed.length < headerBytes || framed.readUInt32BE(0) !== magic) return undefined;
  const end = headerBytes + framed.readUInt32BE(16);
  if (end > framed.length || crc32(framed.subarray(8, end)) !== framed.readUInt32BE(4)) return undefined;
  return { count: framed.readDoubleBE(8), bytes: Uint8Array.from(framed.subarray(headerBytes, end)) };
}

function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Makes the names in a folder durable: a file created or renamed there survives a lost machine only after this. */
export function syncFolder(dir: string): void {
  const fd = openSync(dir, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Replaces `path` atomically and durably. Leaves the old content in place when it throws. `mode` is what a file's is at most. */
export function replaceFile(dir: string, name: string, bytes: Uint8Array, mode = 0o666): void {
  const tmp = join(dir, `${name}.tmp`);
  const fd = openSync(tmp, "w", mode);
  try {
    for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at, bytes.length - at);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(tmp, join(dir, name));
  syncFolder(dir);
}

export function folderDisk(dir: string): FolderDisk {
  const files = new Map<string, File>();

  function path(name: string): string {
    const plain = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$/.test(name) && !/\.(note[01]|tmp)$/.test(name);
    invariant(plain, `a file name of the node's folder is plain, not ${JSON.stringify(name)}`);
    return join(dir, name);
  }

  function newest(name: string): Frame | undefined {
    const whole = readIfThere(path(name));
    const written = whole && unframe(whole);
    const notes = noteSuffixes
      .map((suffix) => readIfThere(path(name) + suffix))
      .map((bytes) => bytes && unframe(bytes));
    let best = written;
    for (const note of notes) if (note && note.count > (best?.count ?? 0)) best = note;
    // Only a written file promises to be whole: it is synced before it gets its name.
    if (whole && !written && !best) throw new SheafError("CORRUPT", `${join(dir, name)} fails its checksum`);
    return best;
  }

  function file(name: string): File {
    let known = files.get(name);
    if (!known) files.set(name, (known = { count: newest(name)?.count ?? 0, notes: [undefined, undefined] }));
    return known;
  }

  return {
    read: (name) => newest(name)?.bytes,
    write(name, bytes) {
      path(name);
      const state = file(name);
      replaceFile(dir, name, frame(state.count + 1, bytes));
      state.count++;
    },
    note(name, bytes) {
      const target = path(name);
      const state = file(name);
      const count = state.count + 1;
      const turn = (count % 2) as 0 | 1;
      const fd = (state.notes[turn] ??= openSync(target + noteSuffixes[turn], O_RDWR | O_CREAT, 0o600));
      const framed = frame(count, bytes);
      for (let at = 0; at < framed.length;) at += writeSync(fd, framed, at, framed.length - at, at);
      state.count = count;
    },
    close() {
      for (const { notes } of files.values()) for (const fd of notes) if (fd !== undefined) closeSync(fd);
      files.clear();
    },
  };
}

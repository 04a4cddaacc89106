// Snapshots of a shard: written from the local store, verified by reading back, and what the journal is trimmed behind.
//
// N1. The journal is trimmed strictly below the older of two snapshots that were both just verified by who trims, never below
//     the only one. Copies that write at the same time thus keep the newest two, whoever wrote them.
// N2. A snapshot is loaded, or trimmed behind, only whole, and only when its hash is that of the record it names, where the
//     journal has it: a copy that has followed what the engine has lost since writes none.

import {
  asSheafError,
  bytesEqual,
  fromHex,
  type Seq,
  SheafError,
  type Shard as ShardNumber,
  toHex,
} from "../base/index.ts";
import { decodeSnapshot, encodeSnapshot, type SnapshotName } from "../journal/index.ts";
import { isLogRow } from "./logs.ts";
import type { Shard } from "./shard.ts";
import type { Cell, Image, Position, SavedOp, Store } from "./store.ts";

type Item = readonly ["position", Position] | readonly ["cell", Cell] | readonly ["op", SavedOp];

/** Writes a snapshot of what the store holds and trims behind the one before. Tells up to which record, and its size in
 *  bytes; nothing when the store holds nothing. Rejects STOPPING once `givenUp` says so. */
export async function writeSnapshot(
  shard: Shard,
  store: Store,
  givenUp: () => boolean,
): Promise<{ readonly seq: Seq; readonly bytes: number } | undefined> {
  const image = await store.image(shard.number);
  if (!image) return undefined;
  try {
    return await writeImage(shard, image, givenUp);
  } catch (error) {
    await leave(image);
    throw error;
  }
}

async function writeImage(
  shard: Shard,
  image: Image,
  givenUp: () => boolean,
): Promise<{ readonly seq: Seq; readonly bytes: number } | undefined> {
  const { engine, host, snapshotOptions } = shard.ground;
  const { generation, epoch, seq, hash } = image.position;
  if (seq === 0) return void (await leave(image));
  const name: SnapshotName = { shard: shard.number, generation, epoch, seq, hash: toHex(hash) };
  if (await isStrange(shard, name)) throw strange();
  const leaves = { ops: host.faults.mutant("M10"), logs: host.faults.mutant("T3") };
  if (host.faults.mutant("M7")) await engine.trim(shard.number, seq);
  let bytes = 0;
  const count = (chunk: Uint8Array): void => {
    if (givenUp()) throw new SheafError("STOPPING");
    bytes += chunk.length;
  };
  const chunks = encodeSnapshot(snapshotOptions, name, items(image, leaves));
  await engine.snapshots.put(name, shown(chunks, count));
  await verify(shard, name);
  await retire(shard, name);
  shard.ground.meters.snapshots.add();
  return { seq, bytes };
}

/** Shows each to `see` on its way. */
async function* shown<T>(all: AsyncIterable<T>, see: (one: T) => void): AsyncIterable<T> {
  for await (const one of all) {
    see(one);
    yield one;
  }
}

/** Lets go of an image that was not read to its end: a store holds it open until then. */
async function leave({ cells, ops }: Image): Promise<void> {
  for (const stream of [cells, ops])
    try {
      for await (const page of stream as AsyncIterable<unknown>) return void page;
    } catch {} // It is let go already.
}

/** `leaves`: what a planted defect leaves out. */
async function* items(
  image: Image,
  leaves: { readonly ops: boolean; readonly logs: boolean },
): AsyncIterable<readonly Item[]> {
  yield [["position", image.position]];
  for await (const cells of image.cells)
    yield (leaves.logs ? cells.filter(({ type }) => !isLogRow(type)) : cells).map((cell) => ["cell", cell]);
  if (!leaves.ops) for await (const ops of image.ops) yield ops.map((op) => ["op", op]);
}

/** Keeps the two newest snapshots that are whole, of which this node has just verified `mine`: the others may have rotted
 *  since they were written, or be another copy's, written meanwhile. The journal is kept from the older one on. */
async function retire(shard: Shard, mine: SnapshotName): Promise<void> {
  const { engine, host } = shard.ground;
  const kept: SnapshotName[] = [];
  const gone: SnapshotName[] = [];
  const enough = host.faults.mutant("C9") ? 1 : 2;
  for (const name of await engine.snapshots.list(shard.number)) {
    if (kept.length < enough && (isSame(name, mine) || (await isWhole(shard, name)))) kept.push(name);
    else gone.push(name);
  }
  const older = kept[enough - 1];
  if (!older) return;
  await engine.trim(shard.number, older.seq - 1);
  for (const name of gone) await engine.snapshots.delete(name);
}

const isSame = (a: SnapshotName, b: SnapshotName): boolean =>
  a.seq === b.seq && a.epoch === b.epoch && a.generation === b.generation && a.hash === b.hash;

/** Is it whole, and of this journal? False, too, when another copy has deleted it meanwhile. */
async function isWhole(shard: Shard, name: SnapshotName): Promise<boolean> {
  try {
    await verify(shard, name);
    // A record that has rotted says nothing of the snapshot.
    const isForeign = await isStrange(shard, name).catch((error: unknown) => {
      if (asSheafError(error).code !== "CORRUPT") throw error;
      return false;
    });
    if (isForeign) throw strange();
    return true;
  } catch (error) {
    const { code } = asSheafError(error);
    if (code === "NOT_FOUND") return false;
    if (code !== "CORRUPT") throw error;
    shard.ground.host.log.error("a snapshot has gone bad", { shard: shard.number, seq: name.seq });
    return false;
  }
}

/** Is another record than the one it names in its place? Rejects CORRUPT when what is there cannot be read. */
async function isStrange({ number, ground }: Shard, { seq, hash }: SnapshotName): Promise<boolean> {
  const { entries } = await ground.engine.read(number, seq, 1);
  const [entry] = entries;
  if (entry?.seq !== seq) return false;
  return !bytesEqual(ground.codec.decode(entry.record, { shard: number, seq }).hash, fromHex(hash));
}

const strange = (): SheafError => new SheafError("CORRUPT", "the snapshot is not of this journal");

/** Reads a snapshot back. Rejects CORRUPT when it is not whole. */
async function verify({ ground: { engine, snapshotOptions } }: Shard, name: SnapshotName): Promise<void> {
  for await (const group of decodeSnapshot(snapshotOptions, name, engine.snapshots.get(name))) void group;
}

/** An owner that replaces snapshots faster than they can be read, so often in a row, is not outrun. */
const mostListings = 5;

/** Fills the store from the newest snapshot that is whole and that the journal, which starts at `first`, continues. */
export async function loadSnapshot(shard: Shard, store: Store, first: Seq): Promise<Position> {
  for (let listings = 0; listings < mostListings; listings++) {
    const loaded = await loadListed(shard, store, first);
    if (loaded !== "replaced") return loaded;
  }
  throw new SheafError("ENGINE_UNAVAILABLE", `shard ${shard.number}: its snapshots are gone before they can be read`);
}

/** `replaced` when the shard's owner has deleted one since it was listed. */
async function loadListed(shard: Shard, store: Store, first: Seq): Promise<Position | "replaced"> {
  const { engine, host } = shard.ground;
  const failures: string[] = [];
  for (const name of await engine.snapshots.list(shard.number)) {
    if (name.seq < first - 1) continue;
    try {
      return await loadOne(shard, store, name);
    } catch (error) {
      const { code, message } = asSheafError(error);
      if (code === "NOT_FOUND") return "replaced";
      if (code !== "CORRUPT") throw error;
      failures.push(`${name.seq}: ${message}`);
      host.log.error("snapshot cannot be used", { shard: shard.number, seq: name.seq, reason: message });
    }
  }
  throw missing(shard.number, first, failures);
}

async function loadOne(shard: Shard, store: Store, name: SnapshotName): Promise<Position> {
  const { engine, snapshotOptions } = shard.ground;
  if (await isStrange(shard, name)) throw strange();
  let position: Position | undefined;
  const cells: Cell[] = [];
  const ops: SavedOp[] = [];
  for await (const group of decodeSnapshot(snapshotOptions, name, engine.snapshots.get(name))) {
    for (const item of group as readonly Item[]) {
      if (item[0] === "position") position = item[1];
      else if (item[0] === "cell") cells.push(item[1]);
      else ops.push(item[1]);
    }
  }
  if (!position || position.seq !== name.seq)
    throw new SheafError("CORRUPT", "the snapshot does not say what it holds");
  await store.clear(shard.number);
  await store.save([{ shard: shard.number, position, cells, ops, forgetOps: [] }]);
  return position;
}

const missing = (shard: ShardNumber, first: Seq, failures: readonly string[]): SheafError =>
  new SheafError("CORRUPT", `shard ${shard}: the journal starts at ${first} and no usable snapshot reaches it`, {
    hint: failures.length > 0 ? `damaged: ${failures.join("; ")}` : "restore the engine from a backup",
  });

// Which copy of a shard writes its snapshots, and when. A follower does where there is one, so that an owner's commands never
// wait for it; the owner comes last. Nobody is told to: the copies stand in line (`turn`), and who finds that nobody before
// it has written one in time does.
//
// N3. Before it writes, a copy looks for a snapshot that another has written since: what that covers is not written again.
// N4. Two that write at once, or a copy that is behind, harm nothing: each trims by what it finds whole (N1).

import { asSheafError, type Limits, type Seq } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import type { SnapshotName } from "../journal/index.ts";
import type { Shard } from "./shard.ts";
import { writeSnapshot } from "./snapshots.ts";
import type { Store } from "./store.ts";

export type SnapshotterOptions = {
  readonly host: Host;
  readonly limits: Limits;
  readonly store: Store;
  /** How many other copies should write a snapshot of this shard before this node does. */
  readonly turn: (shard: Shard) => number;
};

/** What is known here of a shard's snapshots. */
type Known = {
  /** The shard's `journaledBytes` are of the records after this one. */
  from: Seq;
  /** Size of the last one that was written here. */
  readonly bytes: number | undefined;
  /** Nothing is due before this record: others are in line. */
  notBefore: Seq;
  /** How often in a row one was found due. */
  waited: number;
};

/** Each place in line waits for as much again, and for so many more looks: those before it may be writing. */
const stepShare = 1;
const stepLooks = 4;

export class Snapshotter {
  readonly #options: SnapshotterOptions;
  readonly #known = new Map<Shard, Known>();
  #running: Promise<void> | undefined;
  #again: readonly Shard[] | undefined;
  #closed = false;

  constructor(options: SnapshotterOptions) {
    this.#options = options;
  }

  /** Writes those that are due of these shards, whose state has just been saved. Nobody waits for it. */
  consider(shards: readonly Shard[]): void {
    if (this.#closed) return;
    if (this.#running) return void (this.#again = shards);
    const due = shards.filter((shard) => this.#due(shard) && this.#waited(shard));
    if (due.length === 0) return;
    this.#running = this.#writeAll(due).finally(() => {
      this.#running = undefined;
      const next = this.#again;
      this.#again = undefined;
      if (next) this.consider(next);
    });
  }

  /** Gives up what is being written, and resolves when that is done. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  #due(shard: Shard): boolean {
    if (shard.held === undefined && shard.tenure.kind !== "following") return false;
    const known = this.#of(shard);
    return shard.fold.seq >= known.notBefore && shard.journaledBytes >= this.#threshold(shard, known);
  }

  #waited(shard: Shard): boolean {
    return this.#of(shard).waited++ >= this.#options.turn(shard) * stepLooks;
  }

  #of(shard: Shard): Known {
    let known = this.#known.get(shard);
    if (!known) this.#known.set(shard, (known = { from: shard.fold.seq, bytes: undefined, notBefore: 0, waited: 0 }));
    return known;
  }

  #threshold(shard: Shard, { bytes = 0 }: Known): number {
    return Math.max(this.#options.limits.snapshotEveryBytes, 4 * bytes) * this.#patience(shard);
  }

  #patience(shard: Shard): number {
    return 1 + this.#options.turn(shard) * stepShare;
  }

  async #writeAll(due: readonly Shard[]): Promise<void> {
    for (const shard of due) if (!this.#closed) await this.#write(shard);
  }

  /** A failure is logged: the journal is not trimmed, nothing is lost. */
  async #write(shard: Shard): Promise<void> {
    const { log } = this.#options.host;
    try {
      if (this.#covered(shard, await shard.ground.engine.snapshots.list(shard.number))) return;
      const before = shard.journaledBytes;
      const written = await writeSnapshot(shard, this.#options.store, () => this.#closed);
      if (!written) return;
      this.#known.set(shard, { from: written.seq, bytes: written.bytes, notBefore: 0, waited: 0 });
      shard.journaledBytes -= before;
    } catch (error) {
      const { code, message } = asSheafError(error);
      if (code !== "STOPPING") log.warn("a snapshot could not be written", { shard: shard.number, reason: message });
    }
  }

  /** Does what another copy has written cover so much that nothing is due (N3)? The bytes since then are estimated by the
   *  records; how often those before it write one, where none was written here, by how far apart the last two are. */
  #covered(shard: Shard, [newest, before]: readonly SnapshotName[]): boolean {
    if (!newest) return false;
    const known = this.#of(shard);
    const { seq } = shard.fold;
    if (newest.seq >= seq) shard.journaledBytes = 0;
    else if (newest.seq > known.from) shard.journaledBytes *= (seq - newest.seq) / (seq - known.from);
    known.from = Math.max(known.from, newest.seq);
    if (known.bytes === undefined && this.#options.turn(shard) > 0)
      known.notBefore = newest.seq + (newest.seq - (before?.seq ?? 0)) * this.#patience(shard);
    if (this.#due(shard)) return false;
    known.waited = 0;
    return true;
  }
}

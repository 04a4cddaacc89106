// One shard at its owner: the fold of its journal, and what the owner has accepted beyond it. Commits gather in `#queue`
// while a record is under way; outcomes are told only when everything they were computed from is durable.
//
// F4. At most one append is in flight; outcomes are told in journal order.
// F6. An outcome without a record waits for an append or a barrier that started after it was asked for.
// L1. When an append is lost or refused, everything computed on top of it is discarded: `lineage` changes, so that
//     attempts that read it cannot commit.

import {
  type Epoch,
  type Instant,
  invariant,
  joinSeen,
  latestSeen,
  type Limits,
  type Millis,
  nothingSeen,
  type Seen,
  seenBeyond,
  type Seq,
  type Shard as ShardNumber,
  SheafError,
  type Tick,
} from "../base/index.ts";
import type { Host } from "../host/index.ts";
import type {
  Append,
  AppendResult,
  Commit,
  Decoded,
  Engine,
  Head,
  Note,
  Payload,
  RecordCodec,
  SnapshotOptions,
} from "../journal/index.ts";
import { coalesced, commitBytes, noteBytes } from "./bytes.ts";
import { Fold, type Hot, type Value } from "./fold.ts";
import type { Meters } from "./meters.ts";
import { JournalTime } from "./journal-time.ts";
import { type Noted, Notes, type Settle } from "./notes.ts";
import { Settling } from "./settling.ts";
import { behind, type Place, sight, type Tenure } from "./tenure.ts";

type Item = {
  readonly hot: Hot;
  readonly value: Value;
  readonly commit: Commit;
  readonly settle: Settle;
  readonly causes: Seen | undefined;
};
type Flight = {
  readonly record: Decoded;
  readonly append: Append;
  readonly items: readonly Item[];
  readonly notes: readonly Noted[];
  readonly waiting: readonly Settle[];
  readonly sentAt: Tick;
};

/** What all shards of a node share. */
export type Ground = {
  readonly host: Host;
  readonly limits: Limits;
  readonly engine: Engine;
  readonly codec: RecordCodec;
  readonly snapshotOptions: SnapshotOptions;
  readonly cluster: string;
  readonly node: string;
  /** No other node is there that might claim. */
  readonly alone: boolean;
  readonly meters: Meters;
  /** A shard has something to append or to wait for. */
  readonly ready: (shard: Shard) => void;
  /** An append of this shard is not plainly durable: find out (F5). */
  readonly doubt: (shard: Shard) => void;
  /** There is something to be done at a shard that is owned here: its agenda has changed, or it has just been won. */
  readonly worked: (shard: Shard) => void;
};

/** Within this time of a claim another one is no wonder. */
const startMs: Millis = 5_000;

/** Batches that may wait behind the one under way: what a stalled engine may hold of memory, per shard. */
const waitingBatches = 16;

export class Shard {
  readonly number: ShardNumber;
  readonly ground: Ground;
  tenure: Tenure = { kind: "closed" };
  fold: Fold;
  lineage = 0;
  /** At this moment the copy here held all that was durable: nobody else owned the shard, or it was followed to its end. */
  freshAt: Tick = 0;
  /** When this node last won the shard, and the record that says so. */
  claimed: { readonly at: Tick; readonly seq: Seq } = { at: 0, seq: 0 };
  /** Journal bytes appended or replayed since the last snapshot. */
  journaledBytes = 0;
  #queue: Item[] = [];
  #queuedBytes = 0;
  /** Commits ever accepted, and of these taken into records or discarded: `after` says behind which one somebody waits. */
  #accepted = 0;
  #taken = 0;
  #waiting: { readonly settle: Settle; readonly after: number }[] = [];
  #parking: { payload: Payload; settle: Settle }[] = [];
  readonly #notes: Notes;
  readonly #settling = new Settling();
  /** The last record took no notes, for lack of room. */
  #notesLate = false;
  readonly #time: JournalTime;
  #flight: Flight | undefined;
  #looking = false;

  constructor(number: ShardNumber, ground: Ground) {
    this.number = number;
    this.ground = ground;
    this.fold = new Fold(number, ground.limits);
    this.#time = new JournalTime(ground.host.clock);
    this.#notes = new Notes(ground.host.clock, () => ground.ready(this));
  }

  /** Throws why this node may not answer for the shard now. One that gives the shard up still takes what is `within`
   *  commands that have begun, so that these can end. */
  serving(within = false): void {
    const { kind } = this.tenure;
    if (kind !== "serving" && !(within && kind === "releasing")) throw this.#refusal();
  }

  /** Throws why no copy of the shard is here that queries may read: an owner's is, and a follower's that is not too old. */
  readable(): void {
    if (this.held !== undefined) return;
    const { host, limits } = this.ground;
    if (this.tenure.kind !== "following" || this.staleMs(host.clock.tick()) > limits.maxStaleMs) throw this.#refusal();
  }

  /** How much older than now the copy here may be. */
  staleMs(now: Tick): Millis {
    return this.held !== undefined && this.ground.alone ? 0 : Math.max(0, now - this.freshAt);
  }

  /** The epoch under which this node may append. */
  get held(): Epoch | undefined {
    const { tenure } = this;
    return tenure.kind === "serving" || tenure.kind === "releasing" ? tenure.epoch : undefined;
  }

  #refusal(): SheafError {
    switch (this.tenure.kind) {
      case "quarantined": {
        const { error } = this.tenure;
        return new SheafError("QUARANTINED", `shard ${this.number} is quarantined: ${error.message}`, {
          hint: error.hint,
          cause: error,
        });
      }
      case "opening":
        return new SheafError("NOT_READY", undefined, { retryAfterMs: 100 });
      default:
        return new SheafError("NOT_OWNER");
    }
  }

  /** Accepts a commit: the entity is at `value` for all that follow, and `settle` hears when that is durable. `causes`:
   *  what the command had seen. */
  commit(hot: Hot, value: Value, commit: Commit, settle: Settle, causes?: Seen): void {
    hot.ahead = value;
    hot.pending++;
    this.#accepted++;
    this.#queue.push({ hot, value, commit, settle, causes });
    this.#queuedBytes += commitBytes(commit);
    this.#settling.add(commit);
    this.ground.ready(this);
  }

  /** Journals a note; `settle` hears when that is durable. `causes`: what its writer had seen. */
  note(note: Note, settle: Settle, causes?: Seen): void {
    if (this.held === undefined) return settle(this.#refusal());
    this.#settling.add(note);
    this.#notes.add({ note, settle, causes });
  }

  /** Notes, when there is occasion, that a shard has accepted messages up to that one. */
  acknowledge(to: ShardNumber, through: number): void {
    if (this.held !== undefined) this.#notes.acknowledge(to, through);
  }

  /** Is something accepted, and not durable yet, that sets or takes back this timer of the entity? */
  retimes(hot: Hot, name: string): boolean {
    if (hot.pending === 0) return false;
    const changes = (item: Item): boolean =>
      item.hot === hot && item.commit.work?.timers.some((timer) => timer.name === name) === true;
    return this.#queue.some(changes) || this.#flight?.items.some(changes) === true;
  }

  /** Is something accepted, and not durable yet, that ends this task or an attempt at it? */
  settles(task: string): boolean {
    return this.#settling.has(task);
  }

  /** Cluster time. */
  now(): Instant {
    return this.#time.now(this.fold.at);
  }

  /** `settle` hears when all accepted so far is durable and this node was the owner at a moment after now (F6). */
  settled(settle: Settle): void {
    if (this.ground.host.faults.mutant("M5")) return settle(undefined);
    if (this.held === undefined) return settle(this.#refusal());
    this.#waiting.push({ settle, after: this.#accepted });
    this.ground.ready(this);
  }

  /** Journals that a command is parked or released. */
  park(id: string, reason: string, parked: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle: Settle = (error) => (error ? reject(error) : resolve());
      this.#parking.push({ payload: { kind: "park", id, reason, parked }, settle });
      this.ground.ready(this);
    });
  }

  /** Commits that are not durable yet. */
  get pending(): number {
    return this.#queue.length + (this.#flight?.items.length ?? 0);
  }

  get idle(): boolean {
    const queued = this.#queue.length + this.#waiting.length + this.#parking.length;
    return !this.#flight && queued === 0 && this.#notes.isEmpty;
  }

  /** The next record to append, when there is one and none is under way. */
  take(): Append | undefined {
    if (this.#flight || this.held === undefined) return undefined;
    const parking = this.#parking.shift();
    if (parking) return this.#launch(parking.payload, [], [parking.settle]);
    if (this.#queue.length === 0 && this.#notes.isEmpty) return undefined;
    const { noted, notes, room } = this.#takeNotes();
    const items = this.#cut(room);
    this.#taken += items.length;
    const causes = this.#causes(noted.length === 0 ? items : [...items, ...noted]);
    const payload: Payload = {
      kind: "batch",
      commits: coalesced(items),
      ...(causes && { causes }),
      ...(notes.length > 0 && { notes }),
    };
    return this.#launch(payload, items, this.#ripe(), noted);
  }

  /** What the commands had seen that nobody had before whose effects are in this journal. The journal itself goes without
   *  saying: who has seen a record has seen those before it. */
  #causes(items: readonly { readonly causes: Seen | undefined }[]): Seen | undefined {
    let seen = nothingSeen;
    for (const { causes } of items) if (causes) seen = joinSeen(seen, causes);
    if (seen.length === 0 || this.ground.host.faults.mutant("C7")) return undefined;
    const fresh = seenBeyond(latestSeen(seen, this.fold.generation), this.fold.causes, this.number);
    return fresh.length === 0 ? undefined : fresh;
  }

  /** Those who wait for nothing that is still in the queue. */
  #ripe(): Settle[] {
    const unripe = this.#waiting.findIndex(({ after }) => after > this.#taken);
    return this.#waiting.splice(0, unripe < 0 ? this.#waiting.length : unripe).map(({ settle }) => settle);
  }

  /** So much waits for the engine or the local store that no more is to be computed. */
  get full(): boolean {
    return this.#queuedBytes >= waitingBatches * this.ground.limits.maxBatchBytes || this.fold.full;
  }

  /** Notes and commits share a record. Where the first of both do not fit together they take turns. */
  #takeNotes(): ReturnType<Notes["take"]> & { readonly room: number } {
    const { maxBatchBytes } = this.ground.limits;
    const [item] = this.#queue;
    const first = item ? commitBytes(item.commit) : 0;
    this.#notesLate = !this.#notesLate && first + this.#notes.firstBytes > maxBatchBytes && first > 0;
    if (this.#notesLate) return { noted: [], notes: [], room: maxBatchBytes };
    const taken = this.#notes.take(maxBatchBytes >> 1);
    const bytes = taken.noted.reduce((sum, { note }) => sum + noteBytes(note), 0);
    return { ...taken, room: bytes === 0 ? maxBatchBytes : Math.max(0, maxBatchBytes - bytes) };
  }

  /** The front of the queue, as much as one record takes. */
  #cut(room: number): Item[] {
    const { maxBatchBytes, maxBatchCommits } = this.ground.limits;
    if (this.#queue.length <= maxBatchCommits && this.#queuedBytes <= room) {
      const items = this.#queue;
      this.#queue = [];
      this.#queuedBytes = 0;
      return items;
    }
    let bytes = 0;
    let count = 0;
    for (const { commit } of this.#queue) {
      const size = commitBytes(commit);
      const alone = count === 0 && room === maxBatchBytes;
      if (!alone && (bytes + size > room || count === maxBatchCommits)) break;
      bytes += size;
      count++;
    }
    this.#queuedBytes -= bytes;
    return this.#queue.splice(0, count);
  }

  #launch(payload: Payload, items: readonly Item[], waiting: readonly Settle[], notes: readonly Noted[] = []): Append {
    const { ground, fold } = this;
    const at = this.now();
    const epoch = this.held;
    invariant(epoch !== undefined, "only an owner appends");
    const { generation, seq, hash: prev } = fold;
    const header = { cluster: ground.cluster, shard: this.number, generation, epoch, seq: seq + 1, prev, at };
    const sealed = ground.codec.encode({ header, payload });
    const append: Append = { shard: this.number, generation, epoch, expected: seq, record: sealed.bytes };
    this.#flight = {
      record: { header, payload, hash: sealed.hash },
      append,
      items,
      notes,
      waiting,
      sentAt: ground.host.clock.tick(),
    };
    if (ground.host.faults.mutant("M2")) for (const item of items) item.settle(undefined);
    return append;
  }

  /** Is a barrier wanted, and none under way? Marks it as under way; `seen` must follow. */
  look(): { waiting: readonly Settle[]; place: Place } | undefined {
    const epoch = this.held;
    if (this.#flight || this.#looking || epoch === undefined) return undefined;
    if (this.#waiting.length === 0 || this.#queue.length > 0) return undefined;
    this.#looking = true;
    const { generation, seq } = this.fold;
    return { waiting: this.#ripe(), place: { generation, seq, epoch } };
  }

  /** The barrier that `look` asked for came back, with a head or an error. It decides nothing about a record under way,
   *  which may have been kept before another's claim (F5), nor about a later tenure. */
  seen(looked: NonNullable<ReturnType<Shard["look"]>>, head: Head | SheafError): void {
    this.#looking = false;
    const tell = (error: SheafError | undefined): void => {
      for (const settle of looked.waiting) settle(error);
    };
    const shown = head instanceof SheafError ? undefined : sight(looked.place, head);
    if (head instanceof SheafError) tell(head);
    else if (this.held !== looked.place.epoch) tell(new SheafError("NOT_OWNER"));
    else if (shown?.kind === "own" && head.seq <= this.#reached) tell(undefined);
    else if (this.#flight) tell(shown?.kind === "behind" ? behind(this.number) : new SheafError("NOT_OWNER"));
    else if (shown?.kind !== "behind") this.stepDown(head.epoch, looked.waiting);
    else this.quarantine(behind(this.number), looked.waiting);
    this.again();
  }

  /** The last record that can be this owner's own. More of its epoch is not: a claim lies between (F6). */
  get #reached(): Seq {
    return this.fold.seq + (this.#flight ? 1 : 0);
  }

  /** The append that `take` gave is decided. Only `durable` and `refused` are decisions; all else is doubt. */
  landed(result: AppendResult): void {
    const flight = this.#flight;
    if (!flight) return;
    if (result.kind === "durable") this.durable(flight);
    else if (result.kind === "refused") {
      this.discard(refusal(result.error));
      // What was to be noted and nobody waits for is noted later.
      this.ground.worked(this);
      this.again();
    } else {
      if (result.kind === "unknown" && this.ground.host.faults.mutant("M6")) {
        for (const item of flight.items) item.settle(new SheafError("ENGINE_UNAVAILABLE"));
      }
      this.ground.doubt(this);
    }
  }

  /** The record under way, for whoever resolves a doubt about it. */
  get flight(): Flight | undefined {
    return this.#flight;
  }

  durable(flight: Flight): void {
    invariant(this.#flight === flight, "the record that became durable is the one under way");
    this.#flight = undefined;
    if (flight.record.payload.kind === "batch") this.fold.applyOwn(flight.record, flight.items);
    else this.fold.apply(flight.record);
    this.journaledBytes += flight.append.record.length;
    this.freshAt = flight.sentAt;
    const { meters } = this.ground;
    meters.recordBytes.add(flight.append.record.length);
    meters.recordCommits.record(flight.items.length);
    for (const { hot, commit } of flight.items) {
      if (--hot.pending === 0) hot.ahead = undefined;
      this.#settling.durable(commit);
    }
    for (const { note } of flight.notes) this.#settling.durable(note);
    for (const { settle } of flight.items) settle(undefined);
    for (const { settle } of flight.notes) settle(undefined);
    // What was acknowledged makes room, too, and nobody waits for that note.
    const noted = flight.record.payload.kind === "batch" && flight.record.payload.notes !== undefined;
    if (noted || flight.items.some(leaves)) this.ground.worked(this);
    for (const settle of flight.waiting) settle(undefined);
    this.again();
  }

  /** Everything beyond the fold is undone and told `error`; the record under way is told `ofFlight`. */
  discard(error: SheafError, also: readonly Settle[] = [], ofFlight: SheafError = error): void {
    const flight = this.#flight;
    const items = [...(flight?.items ?? []), ...this.#queue];
    const flown = flight?.items.length ?? 0;
    const settles = [
      ...(flight?.waiting ?? []),
      ...this.#notes.drop(),
      ...this.#parking.map((p) => p.settle),
      ...this.#waiting.map((w) => w.settle),
      ...also,
    ];
    this.#flight = undefined;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#taken = this.#accepted;
    this.#waiting = [];
    this.#parking = [];
    this.#settling.clear();
    this.lineage++;
    for (const { hot } of items) {
      hot.pending = 0;
      hot.ahead = undefined;
    }
    items.forEach(({ settle }, i) => settle(i < flown ? ofFlight : error));
    for (const { settle } of flight?.notes ?? []) settle(ofFlight);
    for (const settle of settles) settle(error);
  }

  stepDown(by: Epoch, also: readonly Settle[] = [], ofFlight?: SheafError): void {
    const epoch = this.held;
    if (epoch !== undefined) {
      const { host, meters } = this.ground;
      const facts = { shard: this.number, epoch, by };
      this.tenure = { kind: "fenced", by };
      if (this.#isUnused) host.log.debug("another node has claimed the shard, too", facts);
      else {
        host.log.warn("fenced: another node owns the shard", facts);
        meters.fenced.add();
      }
    }
    this.discard(new SheafError("NOT_OWNER"), also, ofFlight);
  }

  /** Nodes that start together claim the same shards until they see each other: what came of such a claim is nothing. */
  get #isUnused(): boolean {
    const { at, seq } = this.claimed;
    return this.fold.seq === seq && this.idle && this.ground.host.clock.tick() - at < startMs;
  }

  quarantine(error: SheafError, also: readonly Settle[] = []): void {
    this.ground.host.log.error("shard quarantined", { shard: this.number, code: error.code, reason: error.message });
    this.tenure = { kind: "quarantined", error };
    this.ground.meters.quarantined.add();
    this.discard(
      error,
      also,
      new SheafError(error.code, error.message, { outcome: "unknown", hint: error.hint, cause: error }),
    );
  }

  /** Takes nothing new, so that another node may claim once what was accepted is durable. */
  release(): void {
    if (this.tenure.kind === "serving") this.tenure = { kind: "releasing", epoch: this.tenure.epoch };
  }

  /** From now on this node only applies what others append. Whatever was not durable is undone. */
  follow(freshAt: Tick): void {
    this.freshAt = freshAt;
    this.tenure = { kind: "following" };
    this.discard(new SheafError("NOT_OWNER"));
  }

  /** Ends the tenure on this side: whoever still waits hears STOPPING. */
  close(): void {
    this.tenure = { kind: "closed" };
    const error = new SheafError("STOPPING");
    this.discard(error, [], new SheafError("STOPPING", undefined, { outcome: "unknown" }));
  }

  again(): void {
    if (!this.idle) this.ground.ready(this);
  }
}

/** Is there something to be done with what a commit left? */
const leaves = ({ commit }: Item): boolean => commit.work !== undefined || commit.events.length > 0;

function refusal(error: unknown): SheafError {
  if (error instanceof SheafError) return error;
  return new SheafError("ENGINE_UNAVAILABLE", error instanceof Error ? error.message : String(error), { cause: error });
}

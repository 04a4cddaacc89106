// What a shard's journal adds up to: its entities, remembered operations and parked commands. Owner, recovery and (with
// more nodes) followers all come here with the same records and end with the same fold.
//
// D1. The fold holds only durable records, in order, each once. What an owner assumes beyond that is in `Hot.ahead`.
// D2. A cell leaves memory only when the local store holds it as it is.
// D3. While the local store takes nothing, memory holds a few times as many entities as usual, and no more are changed.

import {
  type Epoch,
  type Generation,
  type Instant,
  joinSeen,
  latestSeen,
  type Limits,
  nothingSeen,
  type Seen,
  type Seq,
  SheafError,
  type Shard,
  type Version,
} from "../base/index.ts";
import type { Commit, Decoded, Hash, Note, Op, Payload } from "../journal/index.ts";
import { pack, unpack } from "../wire/index.ts";
import { Agenda, type AgendaMemo } from "./agenda.ts";
import { isAgendaId, isAgendaRow } from "./agenda-rows.ts";
import { Logs, type LogsMemo } from "./logs.ts";
import { Operations, type OperationsMemo } from "./operations.ts";
import type { Cell, Changes, Position } from "./store.ts";

/** A state as of some version. */
export type Value = {
  readonly version: Version;
  readonly schema: number;
  readonly state: Uint8Array;
  /** What the floor above has found out about the state, for as long as this is in memory. */
  known?: unknown;
};

/** One entity in memory. */
export type Hot = {
  readonly type: string;
  readonly key: string;
  /** The fold that holds it; undefined once it rests. A command runs only on what its shard's fold holds. */
  fold: Fold | undefined;
  /** As of the last durable commit; undefined when there is none. */
  durable: Value | undefined;
  /** As of the last accepted commit, when that is not durable yet. */
  ahead: Value | undefined;
  /** Accepted commits that are not durable yet. */
  pending: number;
  /** Changed since it was last handed to the store, or being saved now. */
  dirty: boolean;
  saving: boolean;
  /** Used since the last sweep. */
  touched: boolean;
  /** The mailbox of the floor above; a cell with one stays in memory. */
  mailbox: unknown;
};

export type ParkedCommand = { readonly reason: string; readonly at: Instant };
type Memo = {
  readonly operations: OperationsMemo;
  readonly parked: readonly (readonly [string, string, Instant])[];
  readonly owner?: string | undefined;
  readonly causes?: Seen | undefined;
  readonly left?: readonly (readonly [Generation, Seq])[] | undefined;
  readonly agenda?: AgendaMemo | undefined;
  readonly logs?: LogsMemo | undefined;
};

type Batch = Extract<Payload, { kind: "batch" }>;

/** Those that pass, and those that do not. */
function apart<T>(all: readonly T[], passes: (each: T) => boolean): [readonly T[], readonly T[]] {
  if (!all.some(passes)) return [[], all];
  return [all.filter(passes), all.filter((each) => !passes(each))];
}

/** Times the usual number of entities. */
const mostUnsaved = 4;

export const noHash: Hash = new Uint8Array(32);

export class Fold {
  readonly shard: Shard;
  readonly operations: Operations;
  readonly agenda: Agenda;
  readonly logs: Logs;
  readonly parked = new Map<string, ParkedCommand>();
  generation: Generation = 1;
  /** Highest epoch ever read. */
  epoch: Epoch = 0;
  seq: Seq = 0;
  hash: Hash = noHash;
  /** Time of the last record that was not voided: journal time. */
  at: Instant = 0;
  /** What the writers of all this had seen of other shards: who reads it has its causes behind him. One for all, since
   *  one per entity would cost as much as small entities do. All journals are raised to a generation together: what
   *  was seen of one before that of this journal is either known to every copy, or lost and asked of nobody. */
  causes: Seen = nothingSeen;
  /** The node that made the last claim. */
  owner: string | undefined;
  /** Loads from the store that may come back to this fold. */
  loading = 0;
  /** Records whose epoch was below one before them (F3). */
  voided = 0;
  readonly #limits: Limits;
  readonly #hot = new Map<string, Map<string, Hot>>();
  #size = 0;
  #sweepAt: number;
  #dirty = new Set<Hot>();
  /** Generations before this one, and the last record of each that is in this journal. */
  readonly #left = new Map<Generation, Seq>();
  #seen: Seen | undefined;
  /** The position moved since the last save. */
  #moved = false;
  /** The last save failed. */
  #refused = false;

  constructor(shard: Shard, limits: Limits) {
    this.shard = shard;
    this.#limits = limits;
    this.#sweepAt = limits.maxHotEntities;
    this.operations = new Operations(limits);
    this.logs = new Logs(limits);
    this.agenda = new Agenda(
      shard,
      (topic, key, event, at) => this.logs.append(topic, key, event, at, this.generation),
      limits,
    );
  }

  get size(): number {
    return this.#size;
  }

  /** So much is kept in memory because the store takes nothing that no more is to be changed (D3). */
  get full(): boolean {
    return this.logs.full || (this.#refused && this.#size >= mostUnsaved * this.#limits.maxHotEntities);
  }

  /** The entity if it is in memory. */
  peek(type: string, key: string): Hot | undefined {
    const hot = this.#hot.get(type)?.get(key);
    if (hot) hot.touched = true;
    return hot;
  }

  /** Puts an entity in memory as the store has it; keeps one that is there already. */
  warm(type: string, key: string, cell: Cell | undefined): Hot {
    const there = this.peek(type, key);
    if (there) return there;
    const durable = cell && { version: cell.version, schema: cell.schema, state: cell.state };
    const hot: Hot = {
      type,
      key,
      fold: this,
      durable,
      ahead: undefined,
      pending: 0,
      dirty: false,
      saving: false,
      touched: true,
      mailbox: undefined,
    };
    let keys = this.#hot.get(type);
    if (!keys) {
      keys = new Map();
      this.#hot.set(type, keys);
    }
    keys.set(key, hot);
    this.#size++;
    if (this.#size > this.#sweepAt) this.#sweep();
    return hot;
  }

  /** Applies the next record. The chain has accepted it (it continues the fold; its epoch is not below `epoch`). */
  apply(record: Decoded): void {
    this.#advance(record);
    const { payload } = record;
    switch (payload.kind) {
      case "claim":
        this.owner = payload.node;
        break;
      case "noop":
        break;
      case "generation":
        this.#left.set(payload.was, record.header.seq - 1);
        this.agenda.restored(this.generation);
        this.causes = nothingSeen; // they may be lost, and what is not is known to every copy that begins anew
        break;
      case "park":
        if (payload.parked) this.parked.set(payload.id, { reason: payload.reason, at: record.header.at });
        else this.parked.delete(payload.id);
        break;
      case "batch":
        this.#cause(payload);
        for (const commit of payload.commits) this.#take(commit);
        this.#note(payload);
        break;
    }
  }

  /** Passes over a voided record: it is part of the chain and of nothing else, journal time included (F3). */
  pass(record: Decoded): void {
    this.voided++;
    this.#place(record);
  }

  /** Only moves on: what a planted defect does in place of `apply`. */
  skip(record: Decoded): void {
    this.#advance(record);
  }

  /** What somebody has seen who reads what is here: all up to here, and its causes. */
  get seen(): Seen {
    return (this.#seen ??=
      this.seq === 0 ? this.causes : joinSeen(this.causes, [this.shard, this.generation, this.seq]));
  }

  #cause({ causes }: Batch): void {
    if (causes) this.causes = latestSeen(joinSeen(this.causes, causes), this.generation);
  }

  #place(record: Decoded): void {
    this.#seen = undefined;
    this.generation = record.header.generation;
    this.seq = record.header.seq;
    this.hash = record.hash;
    this.#moved = true;
  }

  #advance(record: Decoded): void {
    this.#place(record);
    this.epoch = record.header.epoch;
    this.at = record.header.at;
    this.operations.expire(this.at);
  }

  #take(commit: Commit): void {
    if (commit.state) {
      const hot = this.warm(commit.type, commit.key, undefined);
      this.settle(hot, { version: commit.version, schema: commit.schema, state: commit.state });
    }
    this.#remember(commit);
    this.#log(commit);
    this.agenda.apply(commit, this.at, this.generation);
  }

  #note({ notes }: Batch): void {
    if (!notes) return;
    for (const note of notes) {
      switch (note.kind) {
        case "published":
          this.#publish(note);
          break;
        case "moved":
          this.agenda.send(note.messages, this.at, this.generation);
          this.logs.note(note, this.seq);
          break;
        case "group":
        case "held":
        case "trimmed":
          this.logs.note(note, this.seq);
          break;
        default:
          this.agenda.note(note, this.at);
      }
    }
  }

  #publish({ topic, key, events, op }: Extract<Note, { kind: "published" }>): void {
    for (const event of events) this.logs.append(topic, key, event, this.at, this.generation);
    if (op) this.#keep(op, 0);
  }

  /** What an entity emits is a topic of its own. */
  #log({ type, key, events }: Commit): void {
    for (const { name, value } of events)
      this.logs.append(`${type}.${name}`, key, { schema: 1, value }, this.at, this.generation);
  }

  #remember(commit: Commit): void {
    if (commit.op) this.#keep(commit.op, commit.version);
  }

  #keep({ id, issuedAt, fingerprint, reply, settled, open }: Op, version: Version): void {
    this.operations.remember({ id, seq: this.seq, at: this.at, issuedAt, fingerprint, reply, version }, settled, open);
  }

  /** Sets an entity's durable value. */
  settle(hot: Hot, value: Value): void {
    hot.durable = value;
    if (!hot.dirty) {
      hot.dirty = true;
      this.#dirty.add(hot);
    }
  }

  /** The owner's shortcut for its own record, whose effects it already holds: position, operations, durable values. */
  applyOwn(
    record: Decoded,
    commits: readonly { readonly hot: Hot; readonly value: Value; readonly commit: Commit }[],
  ): void {
    this.#advance(record);
    const { payload } = record;
    if (payload.kind === "batch") this.#cause(payload);
    for (const { hot, value, commit } of commits) {
      this.settle(hot, value);
      this.#remember(commit);
      if (commit.events.length > 0) this.#log(commit);
      if (commit.work) this.agenda.apply(commit, this.at, this.generation);
    }
    if (payload.kind === "batch") this.#note(payload);
  }

  /** What changed since the last call, for the local store; undefined when nothing did. */
  drain(): Changes | undefined {
    if (!this.#moved) return undefined;
    this.#moved = false;
    const cells: Cell[] = [];
    for (const hot of this.#dirty) {
      const { durable } = hot;
      hot.dirty = false;
      if (!durable) continue;
      hot.saving = true;
      const { version, schema, state } = durable;
      cells.push({ type: hot.type, key: hot.key, version, schema, state });
    }
    this.#dirty = new Set();
    const operations = this.operations.drain();
    const agenda = this.agenda.drain();
    const logs = this.logs.drain();
    if (logs.cells.length > 0) cells.push(...logs.cells);
    const ops = agenda.fresh.length > 0 ? [...operations.fresh, ...agenda.fresh] : operations.fresh;
    const forgetOps = agenda.gone.length > 0 ? [...operations.gone, ...agenda.gone] : operations.gone;
    const { trims } = logs;
    return { shard: this.shard, position: this.position(), cells, ops, forgetOps, ...(trims.length > 0 && { trims }) };
  }

  /** The store holds what `drain` gave. */
  saved(changes: Changes): void {
    this.#refused = false;
    for (const cell of changes.cells) {
      const hot = this.#hot.get(cell.type)?.get(cell.key);
      if (hot) hot.saving = false;
    }
    this.logs.saved();
    if (this.#size > this.#limits.maxHotEntities) this.#sweep();
  }

  /** The store could not take what `drain` gave: it is handed over again next time. */
  unsaved(changes: Changes): void {
    this.#moved = true;
    this.#refused = true;
    for (const cell of changes.cells) {
      const hot = this.#hot.get(cell.type)?.get(cell.key);
      if (!hot) continue;
      hot.saving = false;
      hot.dirty = true;
      this.#dirty.add(hot);
    }
    this.logs.unsaved();
    const [ours, others] = apart(changes.ops, isAgendaRow);
    const [gone, forgotten] = apart(changes.forgetOps, isAgendaId);
    this.agenda.undrain(ours, gone);
    this.operations.undrain(others, forgotten);
  }

  position(): Position {
    const memo: Memo = {
      operations: this.operations.memo(),
      parked: [...this.parked].map(([id, { reason, at }]) => [id, reason, at] as const),
      owner: this.owner,
      ...(this.causes.length > 0 && { causes: this.causes }),
      ...(this.#left.size > 0 && { left: [...this.#left] }),
      ...(this.agenda.isUsed && { agenda: this.agenda.memo() }),
      ...(this.logs.isUsed && { logs: this.logs.memo() }),
    };
    return {
      generation: this.generation,
      epoch: this.epoch,
      seq: this.seq,
      hash: this.hash,
      at: this.at,
      extra: pack(memo),
    };
  }

  /** Starts a new fold from a stored position. */
  restore(position: Position, ops: Parameters<Operations["restore"]>[1]): void {
    const memo = unpack(position.extra) as Memo;
    if (!memo?.operations) throw new SheafError("CORRUPT", `the stored position of shard ${this.shard} cannot be read`);
    this.generation = position.generation;
    this.epoch = position.epoch;
    this.seq = position.seq;
    this.hash = position.hash;
    this.at = position.at;
    this.owner = memo.owner;
    this.causes = latestSeen(memo.causes ?? nothingSeen, this.generation);
    this.#seen = undefined;
    const [work, operations] = apart(ops, isAgendaRow);
    this.agenda.restore(memo.agenda, work);
    this.logs.restore(memo.logs);
    this.operations.restore(memo.operations, operations);
    for (const [id, reason, at] of memo.parked) this.parked.set(id, { reason, at });
    for (const [generation, seq] of memo.left ?? []) this.#left.set(generation, seq);
  }

  /** Lets entities rest that are saved, idle and were not used since the last sweep, until a tenth of the room is free.
   *  Where too few may go yet, it looks again only when a tenth more have come. */
  #sweep(): void {
    const room = this.#limits.maxHotEntities;
    const aim = room * 0.9;
    // A load under way may bring what a cell was before a record changed it: the cell must still be there then.
    if (this.loading === 0) this.#rest(aim);
    this.#sweepAt = Math.max(room, this.#size + room * 0.1);
  }

  #rest(aim: number): void {
    for (const keys of this.#hot.values()) {
      for (const [key, hot] of keys) {
        if (this.#size <= aim) return;
        if (hot.dirty || hot.saving || hot.pending > 0 || hot.mailbox !== undefined) continue;
        if (hot.touched) {
          hot.touched = false;
          continue;
        }
        keys.delete(key);
        hot.fold = undefined;
        this.#size--;
      }
    }
  }

  /** Whether all that was there at this place of this generation is here (F8): of an earlier one what is at or below its base. */
  reaches(generation: Generation, seq: Seq): boolean {
    const last = generation === this.generation ? this.seq : this.#left.get(generation);
    return last !== undefined && seq <= last;
  }

  /** Entities in memory, for status and audits. */
  *hot(): Iterable<Hot> {
    for (const keys of this.#hot.values()) yield* keys.values();
  }
}

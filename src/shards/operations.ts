// Which operations one shard remembers, and for how long (F7). Part of the fold: it changes only by applied records.
//
// O1. An id that the user chose is remembered for the window of journal time. When as many as allowed are remembered, a
//     new one is refused (IDEMPOTENCY_FULL) rather than an old one forgotten early and perhaps run again.
// O2. An id that Sheaf issued is remembered until its client says that it needs the answer no more, or until the bound
//     on their number is reached. What was forgotten is answered TOO_OLD, never run again.

import { type Instant, type Limits, SheafError } from "../base/index.ts";
import type { SavedOp } from "./store.ts";

/** What a client's issued ids are known by: see Operation in rpc. */
export type Issued = { readonly client: string; readonly n: number };

export function issuedId(id: string): Issued {
  const dot = id.indexOf(".");
  return dot < 0 ? { client: id, n: 0 } : { client: id.slice(0, dot), n: numberAfter(id, dot) };
}

/** The client's count in base 36, which follows its name and the dot; 0 where there is none. */
function numberAfter(id: string, dot: number): number {
  let n = 0;
  for (let i = dot + 1; i < id.length; i++) {
    const digit = digits[id.charCodeAt(i)] ?? NO_DIGIT;
    if (digit === NO_DIGIT) break;
    n = n * 36 + digit;
  }
  return Number.isSafeInteger(n) ? n : 0;
}

const NO_DIGIT = 255;
const digits = Uint8Array.from({ length: 128 }, (_, code) => {
  const digit = Number.parseInt(String.fromCharCode(code), 36);
  return Number.isNaN(digit) ? NO_DIGIT : digit;
});

type Kept = { readonly n: number; readonly op: SavedOp };
type Client = {
  readonly name: string;
  /** Answers below are needed no more, but for those that are open. */
  floor: number;
  open: ReadonlySet<number>;
  lastAt: Instant;
  readonly ops: Map<string, Kept>;
};

/** `clients` and `issuedBefore` are small and kept beside the position; the operations themselves are stored as rows. */
export type OperationsMemo = {
  readonly clients: readonly (readonly [string, number, Instant, (readonly number[])?])[];
  readonly issuedBefore: Instant;
};

const maxClients = 1024;
const none: readonly number[] = [];

const isSettled = ({ floor, open }: Client, n: number): boolean => n < floor && !open.has(n);
const DOT = 0x2e;

export class Operations {
  readonly #limits: Limits;
  readonly #chosen = new Map<string, SavedOp>();
  readonly #clients = new Map<string, Client>();
  /** The one asked for last: nearly always the next, too. */
  #latest: Client | undefined;
  #issued = 0;
  #issuedBefore: Instant = 0;
  /** Changes since the last `drain`, for the local store. */
  #fresh = new Map<string, SavedOp>();
  #gone = new Set<string>();

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** The remembered operation, or undefined for one to run now. Throws TOO_OLD and IDEMPOTENCY_FULL. A full memory takes
   *  one more when by `now` another has left the window: its record moves journal time, and the other is forgotten. */
  find(id: string, issuedAt: Instant | undefined, now: Instant = 0): SavedOp | undefined {
    if (issuedAt === undefined) {
      const op = this.#chosen.get(id);
      if (!op && this.#chosen.size >= this.#limits.maxIdempotencyKeys && !this.#leaves(now)) {
        throw new SheafError("IDEMPOTENCY_FULL", undefined, {
          hint: "give one key per operation, not per attempt; or start the node with a higher --limit maxIdempotencyKeys=N, or a shorter --limit idempotencyWindowMs=N",
          retryAfterMs: 60_000,
        });
      }
      return op;
    }
    const known = this.#client(id);
    const kept = known?.ops.get(id);
    if (kept) return kept.op;
    if (known ? isSettled(known, numberAfter(id, known.name.length)) : issuedAt <= this.#issuedBefore)
      throw new SheafError("TOO_OLD");
    return undefined;
  }

  #client(id: string): Client | undefined {
    const { name } = this.#latest ?? {};
    if (name !== undefined && id.charCodeAt(name.length) === DOT && id.startsWith(name)) return this.#latest;
    const found = this.#clients.get(issuedId(id).client);
    if (found) this.#latest = found;
    return found;
  }

  /** Takes the operation of an applied record. */
  remember(op: SavedOp, settled: number | undefined, open: readonly number[] = none): void {
    this.#save(op);
    if (op.issuedAt === undefined) {
      this.#chosen.set(op.id, op);
      return;
    }
    let client = this.#client(op.id);
    if (!client) {
      const { client: name } = issuedId(op.id);
      client = { name, floor: 0, open: new Set(), lastAt: 0, ops: new Map() };
      this.#clients.set(name, client);
    }
    const before = client.ops.size;
    const n = numberAfter(op.id, client.name.length);
    client.ops.set(op.id, { n, op });
    this.#issued += client.ops.size - before;
    client.lastAt = op.at;
    if (settled !== undefined && settled <= n) {
      const closes = settled === client.floor && open.length < client.open.size;
      if (settled > client.floor || closes) this.#settle(client, settled, open);
    }
    if (this.#issued > this.#limits.maxIssuedOperations) this.#evict();
    if (this.#clients.size > maxClients) this.#forgetClient();
  }

  /** Forgets chosen ids that have left the window. Their order is that of journal time, so only the front is looked at. */
  expire(now: Instant): void {
    for (const op of this.#chosen.values()) {
      if (op.at >= now - this.#limits.idempotencyWindowMs) return;
      this.#chosen.delete(op.id);
      this.#drop(op.id);
    }
  }

  /** Has the oldest chosen id left the window by `now`? */
  #leaves(now: Instant): boolean {
    for (const op of this.#chosen.values()) return op.at < now - this.#limits.idempotencyWindowMs;
    return false;
  }

  /** What was settled once stays so, whatever an operation that was on its way for long says. */
  #settle(client: Client, floor: number, open: readonly number[] = none): void {
    client.open = new Set(open.filter((n) => n < floor && !isSettled(client, n)));
    client.floor = floor;
    for (const [id, { n }] of client.ops) {
      if (!isSettled(client, n)) continue;
      client.ops.delete(id);
      this.#issued--;
      this.#drop(id);
    }
  }

  /** Raises the floor of the client heard of longest ago past its older half. */
  #evict(): void {
    let oldest: Client | undefined;
    for (const client of this.#clients.values()) {
      if (client.ops.size > 0 && (!oldest || client.lastAt < oldest.lastAt)) oldest = client;
    }
    if (!oldest) return;
    const numbers = Array.from(oldest.ops.values(), ({ n }) => n).sort((a, b) => a - b);
    this.#settle(oldest, (numbers[numbers.length >> 1] ?? 0) + 1);
  }

  /** Clients without remembered operations go, oldest first; ids issued up to then by unknown clients are too old. */
  #forgetClient(): void {
    let name: string | undefined;
    let oldest: Client | undefined;
    for (const [key, client] of this.#clients) {
      if (!oldest || client.lastAt < oldest.lastAt) [name, oldest] = [key, client];
    }
    if (name === undefined || !oldest) return;
    this.#settle(oldest, Number.MAX_SAFE_INTEGER);
    this.#clients.delete(name);
    this.#latest = undefined;
    this.#issuedBefore = Math.max(this.#issuedBefore, oldest.lastAt);
  }

  /** An id that is used again is no longer one to forget. */
  #save(op: SavedOp): void {
    this.#fresh.set(op.id, op);
    if (this.#gone.size > 0) this.#gone.delete(op.id);
  }

  #drop(id: string): void {
    if (!this.#fresh.delete(id)) this.#gone.add(id);
  }

  /** Changes since the last call. */
  drain(): { fresh: SavedOp[]; gone: string[] } {
    const drained = { fresh: [...this.#fresh.values()], gone: [...this.#gone] };
    this.#fresh = new Map();
    this.#gone = new Set();
    return drained;
  }

  /** Takes back what `drain` gave and nobody could store. */
  undrain(fresh: readonly SavedOp[], gone: readonly string[]): void {
    const since = this.#gone;
    this.#gone = new Set(gone);
    const newer = this.#fresh;
    this.#fresh = new Map(fresh.map((op) => [op.id, op]));
    for (const id of since) this.#drop(id);
    for (const op of newer.values()) this.#save(op);
  }

  memo(): OperationsMemo {
    return {
      clients: [...this.#clients].map(([name, { floor, lastAt, open }]) =>
        open.size === 0 ? ([name, floor, lastAt] as const) : ([name, floor, lastAt, [...open]] as const),
      ),
      issuedBefore: this.#issuedBefore,
    };
  }

  /** Starts from what a store or snapshot kept. */
  restore(memo: OperationsMemo, ops: readonly SavedOp[]): void {
    this.#issuedBefore = memo.issuedBefore;
    for (const [name, floor, lastAt, open] of memo.clients)
      this.#clients.set(name, { name, floor, open: new Set(open), lastAt, ops: new Map() });
    for (const op of ops) this.remember(op, undefined);
    for (const [name, , lastAt] of memo.clients) {
      const client = this.#clients.get(name);
      if (client) client.lastAt = lastAt;
    }
    this.drain();
  }

  /** Remembered now, for status and tests. */
  get size(): number {
    return this.#chosen.size + this.#issued;
  }
}

// The load generator's books: which transfers were asked for, and how those ended that it saw the end of. They stand in a file outside
// the ledger, so that a checker can hold the ledger to its word after any crash.
//
// Transfers are planned, not drawn: transfer n is a function of n and the run, so the books need not list them. The load works
// in visits: 20 transfers within one branch of 10 accounts. Lines of the file:
//
//   {"run":…}   the plan, first line
//   opened      every account has its first money
//   R v         visit v may begin from now on; synced before its first transfer is asked for
//   A n / X n   transfer n has arrived / has moved no money in the end
//   S n         transfer n will not be asked for: the load was stopped before it

import {
  closeSync,
  fdatasync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

export type Plan = {
  readonly run: string;
  readonly branches: number;
  readonly accounts: number;
  /** What every account is opened with. */
  readonly cents: number;
  readonly perVisit: number;
};

export type Order = { readonly id: string; readonly from: string; readonly to: string; readonly cents: number };
/** The same with accounts by their number in the branch. */
export type Step = { readonly branch: number; readonly from: number; readonly to: number; readonly cents: number };

export const branchOf = (plan: Plan, visit: number): number => visit % plan.branches;
export const accountName = (plan: Plan, branch: number, n: number): string => `load-${plan.run}-${branch}-${n}`;

/** What transfer `n` is. */
export function stepOf(plan: Plan, n: number): Step {
  const branch = branchOf(plan, Math.floor(n / plan.perVisit));
  const dice = scramble(n);
  const from = dice % plan.accounts;
  const to = (from + 1 + ((dice >>> 8) % (plan.accounts - 1))) % plan.accounts;
  return { branch, from, to, cents: 1 + ((dice >>> 16) % 5000) };
}

export function orderOf(plan: Plan, n: number): Order {
  const { branch, from, to, cents } = stepOf(plan, n);
  return {
    id: `load-${plan.run}-${n}`,
    from: accountName(plan, branch, from),
    to: accountName(plan, branch, to),
    cents,
  };
}

/** Mixes the bits of a number, so that neighbours look unrelated (the finalizer of MurmurHash3). */
function scramble(n: number): number {
  let bits = Math.imul(n ^ 0x9e3779b9, 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

export const booksPath = (dataDir: string): string => join(dataDir, "load", "books.log");

/** Everything the books say, kept up to date by reading on from where the last reading ended. */
export class Reader {
  plan: Plan | undefined;
  opened = false;
  /** Visits that may begin: 0 to visits − 1. */
  visits = 0;
  /** Transfers not yet resolved, by visit; a visit with none left is not here. */
  readonly open = new Map<number, Set<number>>();
  readonly #path: string;
  #fd: number | undefined;
  #at = 0;
  #rest = "";
  readonly #seen: (n: number, applied: boolean) => void;

  /** `seen` is told of each resolved transfer, once, in the order of the file. */
  constructor(path: string, seen: (n: number, applied: boolean) => void = () => {}) {
    this.#path = path;
    this.#seen = seen;
  }

  /** Reads what was added. A last line without its end is left for the next time: it may be half written. */
  read(): void {
    if (this.#fd === undefined) {
      try {
        this.#fd = openSync(this.#path, "r");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
        throw error;
      }
    }
    const chunk = Buffer.allocUnsafe(256 * 1024);
    for (;;) {
      const length = readSync(this.#fd, chunk, 0, chunk.length, this.#at);
      if (length === 0) return;
      this.#at += length;
      const lines = (this.#rest + chunk.toString("latin1", 0, length)).split("\n");
      this.#rest = lines.pop() ?? "";
      for (const line of lines) this.#take(line);
    }
  }

  #take(line: string): void {
    if (line.startsWith("{")) this.plan ??= JSON.parse(line) as Plan;
    else if (line === "opened") this.opened = true;
    else if (/^[RAXS] \d+$/.test(line)) this.#count(line[0]!, Number(line.slice(2)));
  }

  #count(kind: string, n: number): void {
    const { perVisit } = this.plan!;
    if (kind === "R") {
      if (n < this.visits) return;
      this.visits = n + 1;
      this.open.set(n, new Set(Array.from({ length: perVisit }, (_, i) => n * perVisit + i)));
      return;
    }
    const visit = Math.floor(n / perVisit);
    const left = this.open.get(visit);
    if (left === undefined || !left.delete(n)) return;
    if (left.size === 0) this.open.delete(visit);
    this.#seen(n, kind === "A");
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}

const sync = promisify(fdatasync);

/** Cuts off a last line that a crash left half written: half of "A 123" reads as another transfer. Returns the bytes left. */
function wholeLines(fd: number): number {
  const { size } = fstatSync(fd);
  const tail = Buffer.alloc(Math.min(size, 4096));
  readSync(fd, tail, 0, tail.length, size - tail.length);
  const whole = size - tail.length + tail.lastIndexOf(10) + 1;
  if (whole < size) ftruncateSync(fd, whole);
  return whole;
}

/** Appends to the books. What is appended survives a killed process at once, and a lost machine after `synced`. */
export class Writer {
  readonly #fd: number;

  /** The books of `path`, begun with `plan` when there are none. */
  constructor(path: string, plan: Plan) {
    mkdirSync(dirname(path), { recursive: true });
    this.#fd = openSync(path, "a+");
    if (wholeLines(this.#fd) > 0) return;
    writeSync(this.#fd, `${JSON.stringify(plan)}\n`);
    fsyncSync(this.#fd);
  }

  add(line: string): void {
    writeSync(this.#fd, `${line}\n`);
  }

  async synced(): Promise<void> {
    await sync(this.#fd);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

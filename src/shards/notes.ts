// What the owner of a shard is to note with its next record, beside what commands change.

import type { Millis, Seen, Shard as ShardNumber, SheafError } from "../base/index.ts";
import type { Clock, Timer } from "../host/index.ts";
import type { Note } from "../journal/index.ts";
import { noteBytes } from "./bytes.ts";

/** Called once with the error that befell, or undefined when all is durable. */
export type Settle = (error: SheafError | undefined) => void;

export type Noted = { readonly note: Note; readonly settle: Settle; readonly causes: Seen | undefined };

/** That another shard has accepted messages is noted with the next record, or after so long. */
const acknowledgeMs: Millis = 200;
const mostNotes = 512;
const none: readonly Note[] = [];

export class Notes {
  readonly #clock: Clock;
  readonly #ready: () => void;
  #waiting: Noted[] = [];
  #acknowledged = new Map<ShardNumber, number>();
  #timer: Timer | undefined;
  /** What was acknowledged is to be noted even if there is nothing else. */
  #due = false;

  /** `ready` hears when there is something to note. */
  constructor(clock: Clock, ready: () => void) {
    this.#clock = clock;
    this.#ready = ready;
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0 && !this.#due;
  }

  add(noted: Noted): void {
    this.#waiting.push(noted);
    this.#ready();
  }

  acknowledge(to: ShardNumber, through: number): void {
    this.#acknowledged.set(to, through);
    if (this.#timer) return;
    this.#timer = this.#clock.after(acknowledgeMs, () => {
      this.#timer = undefined;
      if (this.#acknowledged.size === 0) return;
      this.#due = true;
      this.#ready();
    });
  }

  /** Bytes of the first. */
  get firstBytes(): number {
    const [first] = this.#waiting;
    return first ? noteBytes(first.note) : 0;
  }

  /** What one record takes of them: no more than `room` bytes, but for the first. */
  take(room: number): { readonly noted: readonly Noted[]; readonly notes: readonly Note[] } {
    const noted = this.#waiting.splice(0, this.#count(room));
    this.#due = false;
    if (this.#acknowledged.size === 0)
      return { noted, notes: noted.length === 0 ? none : noted.map(({ note }) => note) };
    const acknowledged = Array.from(
      this.#acknowledged,
      ([to, through]) => ({ kind: "acknowledged", to, through }) as const,
    );
    this.#acknowledged = new Map();
    return { noted, notes: [...noted.map(({ note }) => note), ...acknowledged] };
  }

  #count(room: number): number {
    let bytes = 0;
    for (let count = 0; ; count++) {
      const next = this.#waiting[count];
      if (!next || count === mostNotes) return count;
      bytes += noteBytes(next.note);
      if (count > 0 && bytes > room) return count;
    }
  }

  /** Forgets all. Gives those who wait. */
  drop(): readonly Settle[] {
    const settles = this.#waiting.map(({ settle }) => settle);
    this.#waiting = [];
    this.#acknowledged = new Map();
    this.#due = false;
    this.#timer?.cancel();
    this.#timer = undefined;
    return settles;
  }
}

// Commands that crash the process. Before handlers run, their labels are noted in a file that is not synced: it survives
// the process, not the machine, and costs microseconds per slice of commands. After a crash all that were noted are
// suspects and run one by one, so that the next crash names the one; it is parked when it has crashed the process often
// enough. Only crashes of a command that ran alone are counted, so no bystander is ever parked. Commands that wait for it,
// because it was called from within them, do not count as company.

import { SheafError, toHex } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { pack, packed, unpack } from "../wire/index.ts";
import type { Attempt } from "./attempt.ts";

type Note = { readonly active: readonly string[]; readonly alone: string | null };
const noteFile = "running";
const countFile = "crashes";

/** A suspect that runs alone, and the one that it was called from within. */
type Alone = { readonly attempt: Attempt; readonly name: string; readonly around: Alone | undefined };

/** Why one is parked. */
export const reasonOf = (crashes: number): string =>
  `it crashed the process ${crashes === 1 ? "once" : `${crashes} times`}`;

/** Names type, key and command. */
export const label = ({ task }: Attempt): string => `${task.entity.contract.name}/${task.key}/${task.operation.name}`;

export class Poison {
  readonly #host: Host;
  readonly #active = new Set<Attempt>();
  readonly #suspects = new Set<string>();
  /** Crashes by precise name: label and input. */
  readonly #crashes = new Map<string, number>();
  #alone: Alone | undefined;

  constructor(host: Host) {
    this.#host = host;
    const counted = host.disk.read(countFile);
    if (counted) for (const [name, count] of unpack(counted) as [string, number][]) this.#suspect(name, count);
    const noted = host.disk.read(noteFile);
    if (noted) this.#blame(unpack(noted) as Note);
  }

  #blame({ active, alone }: Note): void {
    for (const suspect of active) this.#suspects.add(suspect);
    if (alone !== null) {
      this.#suspect(alone, (this.#crashes.get(alone) ?? 0) + 1);
      this.#host.log.error("a command crashed the process", { command: alone, crashes: this.#crashes.get(alone) });
      this.#keep();
    }
    this.#host.disk.note(noteFile, pack({ active: [], alone: null } satisfies Note));
  }

  #suspect(name: string, crashes: number): void {
    this.#crashes.set(name, crashes);
    this.#suspects.add(name.slice(0, name.lastIndexOf("#")));
  }

  #keep(): void {
    this.#host.disk.write(countFile, pack([...this.#crashes]));
  }

  /** Label and input: what is counted and parked. */
  precise(attempt: Attempt): string {
    const input = pack(attempt.task.input ?? null);
    return `${label(attempt)}#${toHex(this.#host.crypto.sha256(input).subarray(0, 8))}`;
  }

  /** How many commands at the front of a mailbox may start together; 0 when the first was running when the process
   *  crashed, so that it is to start alone. */
  together(queue: readonly Attempt[]): number {
    if (this.#suspects.size === 0) return queue.length;
    const first = queue.findIndex((attempt) => this.#suspects.has(label(attempt)));
    return first < 0 ? queue.length : first;
  }

  /** Are there commands whose end before their turn matters? */
  get wary(): boolean {
    return this.#suspects.size > 0;
  }

  /** Is any command running that has been noted? */
  get busy(): boolean {
    return this.#active.size > 0;
  }

  /** Precise names that have crashed the process at least `max` times. */
  convicted(max: number): string[] {
    return [...this.#crashes].filter(([, count]) => count >= max).map(([name]) => name);
  }

  /** What has crashed the process at least `max` times is refused, once it is parked: a task would begin again as soon as its shard is served. */
  refuses(attempt: Attempt, max: number): boolean {
    if (!this.#suspects.has(label(attempt))) return false;
    const name = this.precise(attempt);
    if ((this.#crashes.get(name) ?? 0) < max) return false;
    const parked = attempt.task.shard.park(name, reasonOf(max), true).then(
      () => this.forget(name),
      () => {},
    );
    void parked.then(() => attempt.reject(new SheafError("NOT_READY", reasonOf(max))));
    return true;
  }

  /** Was it called from within a command that is running? */
  within(attempt: Attempt): boolean {
    const { chain } = attempt.task.call;
    return chain !== undefined && [...this.#active].some((active) => isWithin(attempt, active));
  }

  /** These are about to run. A suspect is noted as alone, until it is over or others start, when all that run are waiting
   *  for it. */
  starting(attempts: readonly Attempt[]): void {
    const [first] = attempts;
    const around = this.#alone;
    if (first && attempts.length === 1 && this.together(attempts) === 0 && this.#all(first))
      this.#alone = { attempt: first, name: this.precise(first), around };
    else if (around && !attempts.every((attempt) => isWithin(attempt, around.attempt))) this.#alone = undefined;
    for (const attempt of attempts) this.#active.add(attempt);
    this.#note();
  }

  #all(within: Attempt): boolean {
    for (const active of this.#active) if (!isWithin(within, active)) return false;
    return true;
  }

  /** Is this one running alone, and not over yet? */
  isolates(attempt: Attempt): boolean {
    return this.#alone?.attempt === attempt;
  }

  /** Its handler has returned, was given up, or is not to start yet. */
  over(attempt: Attempt): void {
    if (!this.#active.delete(attempt) || this.#alone?.attempt !== attempt) return;
    this.#suspects.delete(label(attempt));
    if (this.#crashes.delete(this.#alone.name)) this.#keep();
    const { around } = this.#alone;
    this.#alone = around && this.#active.has(around.attempt) ? around : undefined;
    this.#note();
  }

  /** Forgets the crashes of a command that was parked or released. */
  forget(name: string): void {
    this.#suspects.delete(name.slice(0, name.lastIndexOf("#")));
    if (this.#crashes.delete(name)) this.#keep();
  }

  #note(): void {
    const active: string[] = [];
    for (const attempt of this.#active) active.push(label(attempt));
    packed({ active, alone: this.#alone?.name ?? null } satisfies Note, (note) => this.#host.disk.note(noteFile, note));
  }
}

const isWithin = ({ task }: Attempt, outer: Attempt): boolean =>
  task.call.chain?.some(({ op }) => op === String(outer.task.number)) ?? false;

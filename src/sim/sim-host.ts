// The simulated outside world of one run of one node: virtual time, seeded dice, a folder that outlives it, captured log.
//
// H1. Once killed, nothing that the node asked for earlier comes back to it: it ends between two events, as a process does.
// H2. Two hosts made from the same seed answer alike.
// H3. While paused nothing reaches the node, its own timers included; its clocks go on.

import type { Millis } from "../base/index.ts";
import type { Fields, Host, Log, Meter } from "../host/index.ts";
import { memoryDisk, type SimDisk } from "./disk.ts";
import { createDoze } from "./doze.ts";
import { type Random, seeded } from "./random.ts";
import { createSchedule, type Schedule } from "./schedule.ts";
import { simCompress, simCrypto } from "./sim-crypto.ts";

export type LogLine = {
  readonly at: Millis;
  readonly node: string;
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: Fields | undefined;
};

export type SimHostOptions = {
  /** Shared by all hosts of one world; a fresh one by default. */
  readonly schedule?: Schedule | undefined;
  readonly random?: Random | undefined;
  readonly disk?: SimDisk | undefined;
  /** Named in log lines and event labels. */
  readonly name?: string | undefined;
  /** Planted defects. */
  readonly mutants?: ReadonlySet<string> | undefined;
  /** Receives every log line; by default they are kept in `lines`. */
  readonly onLog?: ((line: LogLine) => void) | undefined;
  /** Timers fire up to this much late, by the dice. 0 by default. */
  readonly lateMs?: Millis | undefined;
};

export interface SimHost extends Host {
  readonly disk: SimDisk;
  readonly schedule: Schedule;
  readonly lines: readonly LogLine[];
  /** Moves this node's wall clock by so much, from now on. Its monotonic clock does not notice. */
  jump(ms: Millis): void;
  /** Stops the node for a while (H3), as SIGSTOP does, and lets it go on. */
  pause(): void;
  resume(): void;
  paused(): boolean;
  /** Hands something to the node: now, or when it goes on, or never if it is dead by then. */
  deliver(act: () => void): void;
  /** Ends the node (H1). */
  kill(): void;
  alive(): boolean;
  /** The counter or last gauge of this name and these labels, or the sum over all labels; 0 for none. */
  metric(name: string, labels?: Labels): number;
}

/** The world's wall clock starts here: 2026-01-01T00:00:00Z. */
export const worldStart = 1_767_225_600_000;

export function simHost(options: SimHostOptions = {}): SimHost {
  const random = options.random ?? seeded(1);
  const schedule = options.schedule ?? createSchedule(random.fork("schedule"));
  const name = options.name ?? "node";
  const lateMs = options.lateMs ?? 0;
  const dice = random.fork("dice");
  const lateness = random.fork("lateness");
  const bootedAt = schedule.now() - random.below(100_000);
  const turnLabel = `${name}:turn`;
  const timerLabel = `${name}:timer`;
  let skew: Millis = 0;
  let alive = true;
  const now = (): number => Math.floor(worldStart + schedule.now() + skew);
  const lines: LogLine[] = [];
  const metered = meter();
  const doze = createDoze(schedule, turnLabel);
  const deliver = (act: () => void): void => doze.run(() => alive && act());
  return {
    schedule,
    lines,
    clock: {
      now,
      tick: () => schedule.now() - bootedAt,
      after(ms, fn) {
        const late = lateMs === 0 ? 0 : lateness.float() * lateMs;
        let wanted = true;
        const timer = schedule.after(ms + late, timerLabel, () => deliver(() => wanted && fn()));
        return {
          cancel() {
            wanted = false;
            timer.cancel();
          },
        };
      },
      turn: (fn) => void schedule.after(0, turnLabel, () => deliver(fn)),
    },
    dice: { random: dice.float, bytes: dice.bytes, id: () => uuidv7(now(), dice) },
    crypto: simCrypto(random.fork("nonces")),
    compress: simCompress,
    disk: whileAlive(options.disk ?? memoryDisk(), () => alive),
    log: capture((line) =>
      (options.onLog ?? ((kept) => lines.push(kept)))({ ...line, at: schedule.now(), node: name }),
    ),
    meter: metered.meter,
    metric: metered.read,
    faults: { mutant: (mutant) => options.mutants?.has(mutant) ?? false },
    jump(ms) {
      skew += ms;
    },
    pause: doze.begin,
    resume: doze.end,
    paused: doze.asleep,
    deliver,
    kill() {
      alive = false;
    },
    alive: () => alive,
  };
}

/** UUIDv7, RFC 9562 §5.7: 48 bits of milliseconds, version, variant, the rest random. */
function uuidv7(at: number, dice: Random): string {
  const time = at.toString(16).padStart(12, "0");
  const a = (dice.bits() & 0xfff).toString(16).padStart(3, "0");
  const b = ((dice.bits() & 0x3fff) | 0x8000).toString(16);
  const c = dice.bits().toString(16).padStart(8, "0") + (dice.bits() & 0xffff).toString(16).padStart(4, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${a}-${b}-${c}`;
}

/** A dead node's writes do not arrive. */
function whileAlive(disk: SimDisk, alive: () => boolean): SimDisk {
  return {
    ...disk,
    write: (name, bytes) => void (alive() && disk.write(name, bytes)),
    note: (name, bytes) => void (alive() && disk.note(name, bytes)),
  };
}

function capture(keep: (line: Omit<LogLine, "at" | "node">) => void): Log {
  return {
    debug: (message, fields) => keep({ level: "debug", message, fields }),
    info: (message, fields) => keep({ level: "info", message, fields }),
    warn: (message, fields) => keep({ level: "warn", message, fields }),
    error: (message, fields) => keep({ level: "error", message, fields }),
  };
}

type Labels = Readonly<Record<string, string>>;

/** Of the many that a node has, most are never touched: what is kept is looked up when one is first. */
function meter(): { meter: Meter; read: SimHost["metric"] } {
  const values = new Map<string, { value: number }>();
  const idOf = (name: string, labels: Labels | undefined): string =>
    labels === undefined ? name : `${name} ${Object.entries(labels).join()}`;
  const cell = (name: string, labels: Labels | undefined): { value: number } => {
    const id = idOf(name, labels);
    let found = values.get(id);
    if (found === undefined) values.set(id, (found = { value: 0 }));
    return found;
  };
  return {
    meter: {
      counter(name, _help, labels) {
        let kept: { value: number } | undefined;
        return { add: (amount = 1) => void ((kept ??= cell(name, labels)).value += amount) };
      },
      gauge(name, _help, labels) {
        let kept: { value: number } | undefined;
        return { set: (value) => void ((kept ??= cell(name, labels)).value = value) };
      },
      histogram(name, _help, labels) {
        let kept: { value: number } | undefined;
        return { record: () => void (kept ??= cell(`${name}_count`, labels)).value++ };
      },
    },
    read(name, labels) {
      if (labels !== undefined) return values.get(idOf(name, labels))?.value ?? 0;
      let sum = 0;
      for (const [id, kept] of values) if (id === name || id.startsWith(`${name} `)) sum += kept.value;
      return sum;
    },
  };
}

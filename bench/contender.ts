// Side by side: ours, what a user would pick instead, and the physical limit do the same work in turns, in one run, each with
// the machine to itself. A closed loop, warmed up; of several runs the one in the middle by rate is told, with what it cost.

import { messageOf } from "../src/base/index.ts";
import { median, Rounds, type Timing } from "../src/cli/bench-rounds.ts";
import { cpuMicrosOf, diskBytes, loopbackBytes, residentBytes } from "./cost.ts";
import { cacheFolder } from "./folders.ts";

export type Contender = {
  readonly name: string;
  readonly role: "ours" | "peer" | "limit";
  /** Works so long at the highest level once it has started, before anything is measured. */
  readonly warmUpMs?: number | undefined;
  start(): Promise<Started>;
};

/** One that is ready to work. */
export type Started = {
  /** Operation `n`; numbers are not repeated. */
  once(n: number): Promise<unknown>;
  /** Processes that do it, besides this one. */
  readonly pids: readonly number[];
  stop(): unknown;
};

export type Pace = { readonly ms: number; readonly runs: number };

/** How a row measures. */
export type Conditions = Pace & {
  /** `levels`: how many operations are under way. */
  sideBySide(contenders: readonly Contender[], levels: readonly number[]): Promise<readonly Figure[]>;
  /** Tells whoever waits. */
  note(text: string): void;
};

export type Cost = {
  /** Of this process, which calls. */
  readonly callerMicrosPerOp: number;
  /** Of all the others. */
  readonly serverMicrosPerOp: number;
  /** Over loopback, both ways; what goes over Unix sockets is not seen. */
  readonly wireBytesPerOp: number;
  /** Written to the disk of the whole machine. */
  readonly diskBytesPerOp: number;
  /** Of all the others, when the run was over. */
  readonly residentMb: number;
};

export type Figure = Timing &
  Cost & { readonly name: string; readonly role: Contender["role"]; readonly inFlight: number };

/** What happened; contenders that failed are missing, with the reason noted. */
async function sideBySide(
  contenders: readonly Contender[],
  levels: readonly number[],
  conditions: Conditions,
): Promise<readonly Figure[]> {
  const found = new Map<string, Figure[]>();
  const keep = (figure: Figure): void => {
    const place = `${figure.name} ${figure.inFlight}`;
    found.set(place, [...(found.get(place) ?? []), figure]);
  };
  for (let run = 0; run < conditions.runs; run++) {
    for (const contender of contenders) {
      try {
        await turn(contender, levels, conditions, keep);
      } catch (error) {
        conditions.note(`${contender.name} failed: ${messageOf(error)}`);
      }
    }
  }
  return contenders.flatMap(({ name }) =>
    levels.flatMap((level) => {
      const runs = found.get(`${name} ${level}`);
      return runs ? [median(runs)] : [];
    }),
  );
}

/** One contender from its start to its stop. */
async function turn(
  { name, role, warmUpMs, start }: Contender,
  levels: readonly number[],
  { ms, note }: Conditions,
  keep: (figure: Figure) => void,
): Promise<void> {
  const started = await start();
  try {
    if (warmUpMs !== undefined) await warmUp(started, Math.max(...levels), warmUpMs);
    for (const inFlight of levels) {
      const figure = { name, role, inFlight, ...(await costed(started, inFlight, ms)) };
      note(`${name}, ${inFlight} in flight: ${Math.round(figure.opsPerSec)}/s`);
      keep(figure);
    }
  } finally {
    await started.stop();
  }
}

export function conditionsOf(pace: Pace, note: (text: string) => void): Conditions {
  const conditions: Conditions = {
    ...pace,
    note,
    sideBySide: (contenders, levels) => sideBySide(contenders, levels, conditions),
  };
  return conditions;
}

/** Numbers of operations, the same for nobody in this process. */
let next = 0;

/** So long a cluster is under load before it is measured. Each of its processes compiles the same code for itself, and shares the
 *  processors with the others meanwhile: three nodes on two cores were seen to get faster for as long as that. */
export const clusterWarmUpMs = 20_000;

/** A closed loop that nobody measures. */
export async function warmUp({ once }: Pick<Started, "once">, inFlight: number, ms: number): Promise<void> {
  await new Rounds(inFlight, () => once(next++)).run(ms);
}

/** A closed loop, and what it cost from its first operation to its last. */
export async function costed(
  { once, pids }: Pick<Started, "once" | "pids">,
  inFlight: number,
  ms: number,
): Promise<Timing & Cost> {
  const first = next;
  const before = {
    own: process.cpuUsage(),
    cpu: cpuMicrosOf(pids),
    wire: loopbackBytes(),
    disk: diskBytes(cacheFolder),
  };
  const timing = await new Rounds(inFlight, () => once(next++)).run(ms);
  const spent = process.cpuUsage(before.own);
  const each = (sum: number): number => sum / (next - first);
  return {
    ...timing,
    callerMicrosPerOp: each(spent.user + spent.system),
    serverMicrosPerOp: each(cpuMicrosOf(pids) - before.cpu),
    wireBytesPerOp: each(loopbackBytes() - before.wire),
    diskBytesPerOp: each(diskBytes(cacheFolder) - before.disk),
    residentMb: residentBytes(pids) / 2 ** 20,
  };
}

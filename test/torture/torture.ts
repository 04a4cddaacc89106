// One run: a cluster of real processes under callers that never stop, faults that strike from a seeded schedule, and at the end
// every answer and every journal held against what was promised.

import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../../src/base/index.ts";
import { type Random, seeded } from "../../src/sim/random.ts";
import { type Eye, openEye } from "./audit.ts";
import { type Disk, diskIn } from "./disk.ts";
import { type EngineName, startServers } from "./engine.ts";
import { type Fault, faults, type Scene } from "./faults.ts";
import { bookingWorkload } from "./booking.ts";
import { ledgerWorkload } from "./ledger.ts";
import { ownWorkload } from "./load.ts";
import { type Nodes, startNodes } from "./nodes.ts";
import { worldOf } from "./private-world.ts";
import { openTally, type Stretch, type Tally } from "./tally.ts";
import { judgeTimers, type Timing, watchClocks } from "./timers.ts";
import type { Load, Workload } from "./workload.ts";

/** What can be tortured, by name. */
export const workloads: Readonly<Record<WorkloadName, Workload>> = {
  own: ownWorkload,
  ledger: ledgerWorkload,
  booking: bookingWorkload,
};
export type WorkloadName = "own" | "ledger" | "booking";

export type TortureOptions = {
  readonly workload: WorkloadName;
  /** The application has a defect: the run is to be red. */
  readonly isDefective: boolean;
  readonly engine: EngineName;
  /** Strikes go on for so long; each fault strikes once all the same. */
  readonly minutes: number;
  readonly faults: readonly string[];
  readonly seed: number;
  /** Told what happens. */
  readonly say: (line: string) => void;
  /** Resolves when the run is to end early. */
  readonly stopped: AbortSignal;
};

export type Outcome = {
  readonly stretches: readonly Stretch[];
  /** Faults that were asked for and cannot be had, and why. */
  readonly notRun: ReadonlyMap<string, string>;
  /** How much was held against what must be true, by kind. */
  readonly seen: Readonly<Record<string, number>>;
  readonly timing: Timing;
  readonly journal: { readonly records: number; readonly voided: number; readonly problems: readonly string[] };
  /** Why the run proves too little, in words; none when it does not. */
  readonly tooLittle: readonly string[];
};

const nodeCount = 3;
const diskBytes = 640 * 1024 * 1024;
const warmMs = 4_000;
/** Nodes and callers that have just begun are slow. */
const warmTries = 3;
/** Who is not answered this long after all is as it was is never answered. */
const recoveryMs = 60_000;

export async function torture(options: TortureOptions): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), "sheaf-torture-"));
  // The server of PostgreSQL runs as a user of its own, below it.
  chmodSync(folder, 0o755);
  mkdirSync(join(folder, "logs"));
  const undo: (() => void | Promise<void>)[] = [() => rmSync(folder, { recursive: true, force: true })];
  try {
    const scene = await setUp(options, folder, undo);
    return await play(options, scene);
  } finally {
    for (const step of undo.toReversed())
      await Promise.resolve(step()).catch((error: unknown) => options.say(`cleaning up: ${messageOf(error)}`));
  }
}

type Set = Scene & { readonly eye: Eye };

async function setUp(options: TortureOptions, folder: string, undo: (() => void | Promise<void>)[]): Promise<Set> {
  const { engine, seed, say } = options;
  const { app, defective } = workloads[options.workload];
  const world = worldOf(nodeCount);
  undo.push(() => world.close());
  let disk: Disk | undefined;
  let noDisk = world.why;
  try {
    if (world.cables !== undefined) disk = diskIn(folder, diskBytes);
  } catch (error) {
    noDisk = `this machine mounts no disk of ours: ${messageOf(error)}`;
  }
  if (disk !== undefined) undo.push(() => disk.close());
  const place = disk?.path ?? folder;
  if (disk === undefined) say(`no disk of its own: ${noDisk}`);
  const servers = await startServers(engine, place, world);
  undo.push(() => servers.end());
  disk?.sync();
  const nodes: Nodes = await startNodes({
    places: world.places,
    app: options.isDefective ? defective! : app,
    engine: servers.url,
    folder: place,
    logs: join(folder, "logs"),
  });
  undo.push(() => nodes.end());
  const eye = openEye(servers.url);
  undo.push(() => eye.shut());
  const eyesShut = async (during: () => Promise<void>): Promise<void> => {
    await eye.shut();
    await during();
  };
  const random = seeded(seed).fork("faults");
  return { world, nodes, servers, disk, noDisk, random, clocksAheadMs: 0, eyesShut, eye };
}

async function play(options: TortureOptions, scene: Set): Promise<Outcome> {
  const { say, seed } = options;
  const { nodes, eye } = scene;
  const notRun = new Map<string, string>();
  for (const name of options.faults) {
    const why = faults[name]!.missing(scene);
    if (why === undefined) continue;
    notRun.set(name, why);
    say(`NOT RUN  ${name}: ${why}`);
  }
  const asked = options.faults.filter((name) => !notRun.has(name));
  const gained = watchClocks();
  const tally = openTally();
  tally.begin("start");
  const gateways = nodes.all.map(({ gateway }) => gateway);
  const load = workloads[options.workload].begin({
    tally,
    gateways,
    token: nodes.key,
    random: seeded(seed).fork("load"),
    deadLetters: () => nodes.deadLetters(),
  });
  await tally.everybodyAnswered(recoveryMs);
  for (let tries = 0; tries < warmTries && warmRate(tally.stretches) < leastPerSecond; tries++) {
    tally.begin("none");
    load.turnOver();
    await Promise.race([sleep(warmMs), once(options.stopped)]);
  }
  await strikeAll(options, scene, tally, load, asked);
  say("reading everything again …");
  const seen = await load.verify();
  for (const crash of nodes.crashes) tally.now.violations.push(crash);
  await nodes.end();
  const journal = await eye.audit();
  const { stretches } = tally;
  const timing = judgeTimers(load.rings, stretches, gained);
  const tooLittle = emptiness(stretches, asked, seen, options.stopped.aborted);
  return { stretches, notRun, seen, timing, journal, tooLittle };
}

const once = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) =>
    signal.aborted ? resolve() : signal.addEventListener("abort", () => resolve(), { once: true }),
  );

async function strikeAll(
  options: TortureOptions,
  scene: Set,
  tally: Tally,
  load: Load,
  asked: readonly string[],
): Promise<void> {
  const { random } = scene;
  const end = performance.now() + options.minutes * 60_000;
  for (let round = 0; asked.length > 0 && (round === 0 || performance.now() < end); round++)
    for (const name of shuffled(asked, random)) {
      if (options.stopped.aborted || (round > 0 && performance.now() >= end)) return;
      await strikeOnce(options, scene, tally, load, name, faults[name]!);
    }
}

async function strikeOnce(
  { say }: TortureOptions,
  scene: Set,
  tally: Tally,
  load: Load,
  name: string,
  fault: Fault,
): Promise<void> {
  const before = await scene.eye.takeovers();
  const crashed = scene.nodes.crashes.length;
  const stretch = tally.begin(name);
  load.turnOver();
  // It strikes when much is under way.
  for (const until = performance.now() + crowdMs; load.underWay < leastInFlight && performance.now() < until;)
    await sleep(1);
  stretch.inFlight = load.underWay;
  await fault.strike(scene);
  stretch.aheadMs = scene.clocksAheadMs;
  if (!(await tally.everybodyAnswered(recoveryMs)))
    stretch.violations.push(`somebody was not answered for ${recoveryMs / 1000} s after it was over`);
  const after = await scene.eye.takeovers();
  if (before !== undefined && after !== undefined) stretch.takeovers = after - before;
  if (fault.silent && stretch.failedEarly > 0)
    stretch.violations.push(
      `${stretch.failedEarly} calls that any node might have taken failed with time left: ${[...stretch.failures.keys()].join(", ")}`,
    );
  for (const crash of scene.nodes.crashes.slice(crashed)) stretch.violations.push(crash);
  const { silentMs, failed, answered, takeovers, inFlight } = stretch;
  const counts = `${inFlight} under way, ${answered} answered, ${failed} failed, ${takeovers ?? "?"} takeovers`;
  say(`${String(stretch.number).padStart(3)} ${name.padEnd(10)} unanswered ${Math.round(silentMs)} ms, ${counts}`);
  for (const [what, count] of stretch.failures) say(`               ${count} times ${what}`);
  await sleep(500 + scene.random.float() * 1_000);
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const left = [...items];
  return items.map(() => left.splice(random.below(left.length), 1)[0]!);
}

// Below these a run proves nothing (PROMISES 4.6).
const leastPerSecond = 100;
const leastInFlight = 20;
const leastTakeovers = 1;
const leastOfAKind = 30;
/** A strike waits so long for that much to be under way. */
const crowdMs = 5_000;

/** Calls a second that were answered while nothing was wrong. */
const warmRate = (stretches: readonly Stretch[]): number =>
  Math.max(0, ...stretches.flatMap(({ fault, answered }) => (fault === "none" ? [(answered * 1_000) / warmMs] : [])));

/** Why a run proves too little. `asked` are the faults that can be had here. */
export function emptiness(
  stretches: readonly Stretch[],
  asked: readonly string[],
  seen: Readonly<Record<string, number>>,
  stopped: boolean,
): string[] {
  const found: string[] = [];
  const perSecond = warmRate(stretches);
  const strikes = stretches.filter(({ fault }) => fault in faults);
  if (perSecond < leastPerSecond)
    found.push(`only ${Math.floor(perSecond)} calls a second were answered while nothing was wrong`);
  for (const { number, fault, answered, inFlight, takeovers } of strikes) {
    if (answered < 10) found.push(`only ${answered} calls were answered in strike ${number}, ${fault}`);
    if (inFlight < leastInFlight) found.push(`only ${inFlight} were under way when strike ${number}, ${fault}, came`);
    if (faults[fault]!.moves && (takeovers ?? 0) < leastTakeovers)
      found.push(`nobody took anything over in strike ${number}, ${fault}`);
  }
  for (const [kind, count] of Object.entries(seen))
    if (count < leastOfAKind) found.push(`only ${count} ${kind} were checked`);
  if (stopped) return found;
  if (asked.length === 0) found.push("no fault struck");
  for (const name of asked) {
    if (strikes.every(({ fault }) => fault !== name)) found.push(`${name} never struck`);
  }
  return found;
}

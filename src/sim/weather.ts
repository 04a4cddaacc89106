// What is wrong with the simulated world at the moment. Fault schedules change it; engine connections and links obey it.

import type { Millis } from "../base/index.ts";

/** Every fault that a world can be given, and what it does. */
export const faultCatalogue = {
  crash: "a node dies between two events, its memory gone; it starts again later, at times on an empty local store",
  restart: "a node stops in good order and starts again",
  power: "all nodes die at once and unsynced notes and local saves are lost",
  "slow-engine": "for a while the engine takes up to a hundred times as long",
  "lost-ack": "an append is kept but its answer is lost: the node hears unknown, or that its own copy fenced it",
  unknown: "an append's outcome is unknown: kept, not kept, or kept only later",
  hang: "an append is never answered, a read answered late or not",
  stale: "the engine shows a journal or the registry as it was a little ago, where its contract allows that",
  full: "for a while the engine refuses appends for lack of space",
  zombie: "an old append of an owner that was replaced gets in behind the claim, as where sequences alone are compared",
  "bit-rot": "one bit of a stored snapshot flips; one of the two kept is always whole",
  contend: "another node claims a shard while its owner still runs; calls go to either",
  clock: "a node's wall clock jumps by up to an hour either way",
  cancel: "callers give up waiting",
  "lost-reply":
    "the link between caller and node loses requests and replies; callers ask again under the same operation id",
  duplicate: "the link delivers a request more than once, at times much later",
  partition: "for a while a node cannot reach the engine, or callers cannot reach a node",
  pause: "a node is stopped for a while: its clocks go on, and all that reached it meanwhile comes at once",
  split: "for a while two nodes, or one node and all others, cannot reach each other",
  "one-way": "for a while what a node sends to another, or to all others, does not arrive",
  lag: "for a while the ways from and to a node are slow, and connections to it fail",
  flap: "a node goes and comes back, or the way between two nodes breaks and heals, several times in a row",
  registry: "the engine forgets who is there, or for a while neither takes nor shows it",
} as const;

export type FaultName = keyof typeof faultCatalogue;

export const faultNames = Object.keys(faultCatalogue) as readonly FaultName[];

/** Faults that only a cluster can meet, and one that several nodes can. */
export const clusterFaults: ReadonlySet<FaultName> = new Set<FaultName>([
  "split",
  "one-way",
  "lag",
  "flap",
  "registry",
]);

/** How often each thing really happened: a run that injected nothing proves nothing. */
export type Tally = {
  injected: Record<FaultName, number>;
  appends: number;
  /** Appends whose outcome the node could not know from the answer. */
  ambiguous: number;
  claims: number;
  takeovers: number;
  calls: number;
  answered: number;
  unknown: number;
};

export const newTally = (): Tally => ({
  injected: Object.fromEntries(faultNames.map((name) => [name, 0])) as Record<FaultName, number>,
  appends: 0,
  ambiguous: 0,
  claims: 0,
  takeovers: 0,
  calls: 0,
  answered: 0,
  unknown: 0,
});

/** Adds the second tally to the first. */
export function addTally(sum: Tally, more: Tally): void {
  for (const name of faultNames) sum.injected[name] += more.injected[name];
  for (const name of ["appends", "ambiguous", "claims", "takeovers", "calls", "answered", "unknown"] as const)
    sum[name] += more[name];
}

export type Weather = {
  /** Faults that may happen; emptied when the world heals. */
  readonly enabled: Set<FaultName>;
  /** Factor on every engine delay. */
  slowness: number;
  full: boolean;
  /** Nodes (by name) that cannot reach the engine. */
  readonly cutFromEngine: Set<string>;
  /** Nodes that callers cannot reach. */
  readonly cutFromCallers: Set<string>;
  /** Nodes that callers ask no more: they are about to stop. */
  readonly leaving: Set<string>;
  /** Ways between nodes, one direction each, that carry nothing; see `wayOf`. */
  readonly cutBetween: Set<string>;
  /** Ways that take up to so much longer. */
  readonly lagBetween: Map<string, Millis>;
  registryAway: boolean;
  /** The append that is made now is let in by its sequence alone. */
  haunted: boolean;
  readonly tally: Tally;
};

/** All that lasts for a while ends now. */
export function clear(weather: Weather): void {
  weather.enabled.clear();
  weather.slowness = 1;
  weather.full = false;
  weather.registryAway = false;
  weather.cutFromEngine.clear();
  weather.cutFromCallers.clear();
  weather.cutBetween.clear();
  weather.lagBetween.clear();
}

export const newWeather = (faults: readonly FaultName[]): Weather => ({
  enabled: new Set(faults),
  slowness: 1,
  full: false,
  cutFromEngine: new Set(),
  cutFromCallers: new Set(),
  leaving: new Set(),
  cutBetween: new Set(),
  lagBetween: new Map(),
  registryAway: false,
  haunted: false,
  tally: newTally(),
});

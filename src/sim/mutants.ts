// Plants the defects that the suite must notice (PROMISES §3) into the product code, one at a time, and demands that the
// gate's workloads catch each within a bounded number of seeds. A suite that misses a mutant is not a suite.
//
//   npm run mutants -- [M2 M6 …]

import { real } from "./strict-globals.ts";
import { runTrial, type TrialOptions } from "./trial.ts";

export type Mutant = {
  readonly name: string;
  readonly says: string;
  /** Must be caught within so many seeds. */
  readonly within: number;
  /** Where the draw is narrowed to the faults that bring the defect out. */
  readonly trial?: TrialOptions;
};

export const mutants: readonly Mutant[] = [
  {
    name: "M1",
    says: "follows a record that a replaced owner wrote",
    within: 100,
    trial: { faults: ["zombie", "crash", "contend"] },
  },
  { name: "M2", says: "acknowledges before the append confirms", within: 200 },
  { name: "M4", says: "takes over without reading to the end", within: 200 },
  {
    name: "M5",
    says: "answers a strong read without a barrier",
    within: 400,
    trial: { faults: ["contend", "partition", "slow-engine"] },
  },
  { name: "M6", says: "takes a timeout for a failure", within: 200 },
  { name: "M7", says: "trims the journal before the snapshot is durable", within: 400 },
  {
    name: "M8",
    says: "loads a snapshot without looking at its checksum",
    within: 1000,
    trial: { faults: ["bit-rot", "crash"], long: true },
  },
  { name: "M10", says: "leaves the remembered operations out of snapshots", within: 400 },
  {
    name: "M11",
    says: "answers a causal read from a copy that has not seen what its caller has",
    within: 100,
    trial: { cluster: true, workloads: ["sessions"] },
  },
  {
    name: "C1",
    says: "serves after a claim without reading it back",
    within: 200,
    trial: { cluster: true, workloads: ["bags"], faults: ["unknown", "hang", "partition", "crash", "split"] },
  },
  {
    name: "C2",
    says: "hands a shard over as if what is under way were durable",
    within: 200,
    trial: { cluster: true, faults: ["flap", "restart", "unknown", "hang", "partition"] },
  },
  {
    name: "C3",
    says: "sends a command again under another operation id",
    within: 200,
    trial: { cluster: true, faults: ["split", "one-way", "crash", "pause"] },
  },
  { name: "C4", says: "believes only those whom it hears itself", within: 20, trial: { workloads: ["apart"] } },
  {
    name: "C5",
    says: "takes an old answer of the engine for a journal that lost its end",
    within: 100,
    trial: { cluster: true, faults: ["stale"] },
  },
  {
    name: "C6",
    says: "calls a copy as new as the answer that it was made from, not as the question",
    within: 200,
    trial: { cluster: true, workloads: ["glances"], faults: ["slow-engine", "hang", "lag", "pause"] },
  },
  {
    name: "C7",
    says: "leaves out of the record what its writers had seen",
    within: 200,
    trial: { cluster: true, workloads: ["sessions"], faults: ["hang", "partition", "slow-engine"] },
  },
  {
    name: "C8",
    says: "refuses without telling what was seen before",
    within: 200,
    trial: { cluster: true, workloads: ["sessions"], faults: ["hang", "partition", "slow-engine"] },
  },
  {
    name: "C9",
    says: "trims the journal behind the only snapshot that is whole",
    within: 100,
    trial: { cluster: true, faults: ["bit-rot", "crash"], long: true },
  },
  {
    name: "C10",
    says: "gives a kept answer of a query though the entity has changed since",
    within: 100,
  },
  { name: "D1", says: "accepts messages again that come again", within: 100, trial: { workloads: ["transfers"] } },
  {
    name: "D2",
    says: "says that messages are accepted before that is durable",
    within: 200,
    trial: { workloads: ["transfers"], faults: ["crash", "hang", "full", "partition"] },
  },
  { name: "D3", says: "keeps no mark that a message is carried out", within: 20, trial: { workloads: ["transfers"] } },
  {
    name: "D4",
    says: "forgets a message when it is sent",
    within: 200,
    trial: { workloads: ["transfers"], faults: ["crash", "hang", "full", "partition"] },
  },
  {
    name: "D5",
    says: "leaves what is to be done out of the local store and snapshots",
    within: 100,
    trial: { workloads: ["transfers"], faults: ["crash", "restart"] },
  },
  { name: "D6", says: "accepts messages behind one that is missing", within: 100, trial: { workloads: ["transfers"] } },
  {
    name: "Q1",
    says: "notes no attempt when it hands out a job",
    within: 20,
    trial: { workloads: ["jobs"] },
  },
  { name: "Q2", says: "keeps no mark that a job is done", within: 20, trial: { workloads: ["jobs"] } },
  { name: "Q3", says: "takes the end of a lease that is over", within: 100, trial: { workloads: ["jobs"] } },
  { name: "Q4", says: "begins jobs of a queue that is paused", within: 20, trial: { workloads: ["jobs"] } },
  { name: "Q5", says: "purges jobs that somebody has", within: 50, trial: { workloads: ["jobs"] } },
  {
    name: "Q6",
    says: "tries a dead letter again before its time",
    within: 50,
    trial: { workloads: ["jobs"] },
  },
  { name: "M12", says: "keeps no mark that a timer has fired", within: 20, trial: { workloads: ["alarms"] } },
  {
    name: "S1",
    says: "makes up for one run where a schedule is to make up for all",
    within: 100,
    trial: { workloads: ["schedules"], faults: ["crash", "hang", "pause", "restart"] },
  },
  {
    name: "S2",
    says: "has a schedule begin its last run again when a node starts",
    within: 100,
    trial: { workloads: ["schedules"], faults: ["crash", "restart"] },
  },
  { name: "T1", says: "moves a subscription on without what it sends", within: 20, trial: { workloads: ["topics"] } },
  { name: "T2", says: "sends what a subscription made, and leaves it", within: 20, trial: { workloads: ["topics"] } },
  {
    name: "T3",
    says: "leaves the events of topics out of snapshots",
    within: 100,
    trial: { workloads: ["topics"], faults: ["crash"] },
  },
  { name: "T4", says: "lets go of one event too many", within: 100, trial: { workloads: ["topics"] } },
  { name: "T5", says: "forgets what an operation has published", within: 100, trial: { workloads: ["topics"] } },
  {
    name: "T6",
    says: "misses what comes before it has noted who waits for it",
    within: 100,
    trial: { workloads: ["topics"] },
  },
  {
    name: "T7",
    says: "gives the number of an event again after a restart",
    within: 100,
    trial: { workloads: ["topics"], faults: ["crash", "restart"] },
  },
  {
    name: "T9",
    says: "has a subscription for what comes from a time on begin before",
    within: 40,
    trial: { workloads: ["topics"] },
  },
  {
    name: "T10",
    says: "moves a subscription while it makes something of events",
    within: 100,
    trial: { workloads: ["topics"] },
  },
  { name: "T11", says: "has a subscription go on that is paused", within: 40, trial: { workloads: ["topics"] } },
  { name: "T12", says: "leaves an event out of a batch", within: 40, trial: { workloads: ["topics"] } },
  {
    name: "T13",
    says: "makes as many calls of a subscription at once as there are keys",
    within: 100,
    trial: { workloads: ["topics"] },
  },
  {
    name: "T8",
    says: "tells a reader of each event that it has the whole page",
    within: 100,
    trial: { workloads: ["streams"], faults: ["lost-reply"] },
  },
  {
    name: "T14",
    says: "tells a second consumer that it has a shard, too",
    within: 40,
    trial: { workloads: ["streams"], faults: ["lost-reply"] },
  },
];

/** The seed that caught it, counted from 1, and what it said; undefined when none did. A seed that fails without the
 *  defect too has caught something else. */
export async function hunt(mutant: Mutant): Promise<{ readonly seed: number; readonly says: string } | undefined> {
  for (let seed = 1; seed <= mutant.within; seed++) {
    const { problems } = await runTrial(seed, { ...mutant.trial, mutants: [mutant.name] });
    const [says] = problems;
    if (says === undefined) continue;
    const sound = await runTrial(seed, { ...mutant.trial });
    if (sound.problems.length === 0) return { seed, says };
  }
  return undefined;
}

async function main(names: readonly string[]): Promise<void> {
  Error.stackTraceLimit = 0;
  const chosen = names.length === 0 ? mutants : mutants.filter(({ name }) => names.includes(name));
  if (chosen.length === 0)
    throw new Error(`there is no such mutant; there are ${mutants.map(({ name }) => name).join(", ")}`);
  let missed = 0;
  for (const mutant of chosen) {
    const began = real.now();
    const caught = await hunt(mutant);
    const took = ((real.now() - began) / 1000).toFixed(1);
    if (caught === undefined) missed++;
    const outcome =
      caught === undefined
        ? `MISSED in ${mutant.within} seeds`
        : `caught by seed ${caught.seed}: ${caught.says.split("\n")[0]?.slice(0, 100)}`;
    console.log(`${mutant.name.padEnd(4)} ${mutant.says}: ${outcome} (${took} s)`);
  }
  console.log(`${chosen.length - missed} caught, ${missed} missed`);
  if (missed > 0) process.exitCode = 1;
}

if (import.meta.main) await main(process.argv.slice(2));

// Holds what the nodes of a healed world serve against what the journals say (PROMISES W11, W12).
//
// V1. What an owner serves is what its journal gives.
// V2. In a cluster every shard has one owner, the journal's, soon after everything has healed.
// V3. Copies catch up, and hold what the journal gives.

import type { ShardStatus } from "../admin/index.ts";
import type { Millis } from "../base/index.ts";
import type { Engine } from "../journal/index.ts";
import type { Node } from "../node/index.ts";
import { unpack } from "../wire/index.ts";
import type { Machine } from "./machine.ts";
import type { Audit, Folded } from "./journal-audit.ts";
import type { Schedule } from "./schedule.ts";

/** What it needs of a world. */
type World = {
  readonly machines: readonly Machine[];
  readonly shared: Engine;
  readonly schedule: Schedule;
  readonly options: { readonly shards: number; readonly cluster: boolean };
  sleep(ms: Millis): Promise<void>;
};

type Report = {
  readonly name: string;
  readonly machine: Machine;
  readonly node: Node;
  readonly shards: readonly ShardStatus[];
};

const patienceMs: Millis = 3_000;
const lookEveryMs: Millis = 10;
const savedMs: Millis = 60;

async function reportsOf({ machines }: World): Promise<Report[]> {
  const reports: Report[] = [];
  for (const machine of machines) {
    const { name } = machine;
    const now = machine.state();
    if (now.kind !== "up") continue;
    reports.push({ name, machine, node: now.node, shards: (await now.node.local.status()).shards });
  }
  return reports;
}

/** What is not yet as it should be in a cluster; none when it has settled. */
async function unsettled(world: World, reports: readonly Report[]): Promise<string[]> {
  const heads = await world.shared.barrier(Array.from({ length: world.options.shards }, (_, shard) => shard));
  return heads.flatMap(({ shard, epoch, seq }) => {
    const all = reports.map((report) => ({ name: report.name, ...(report.shards[shard] as ShardStatus) }));
    const owners = all.filter(({ state }) => state === "serving");
    const late = all.filter((one) => one.state === "following" && one.applied < seq);
    const problems = late.map(
      ({ name, applied }) => `shard ${shard} is followed by ${name} only to ${applied} of ${seq}`,
    );
    if (owners.length !== 1)
      problems.push(`shard ${shard} is served by ${owners.map(({ name }) => name).join(" and ") || "nobody"}`);
    else if (owners[0]!.epoch < epoch)
      problems.push(`shard ${shard} is served by a replaced owner, ${owners[0]!.name}`);
    return problems;
  });
}

/** Waits until a cluster has settled; tells what has not. */
export async function settle(world: World): Promise<readonly string[]> {
  if (!world.options.cluster) return [];
  const until = world.schedule.now() + patienceMs;
  for (;;) {
    const problems = await unsettled(world, await reportsOf(world));
    if (problems.length === 0 || world.schedule.now() >= until) return problems;
    await world.sleep(lookEveryMs);
  }
}

/** Problems in words, none when nodes hold what the journals give. Timers and schedules may go on meanwhile: what is ahead of a journal
 *  as it was is none, where that has grown since. */
export async function auditNodes(world: World, audits: readonly Audit[]): Promise<string[]> {
  const problems: string[] = [];
  // What copies hold is looked for where they keep it: they save it several times in this time.
  if (world.options.cluster) await world.sleep(savedMs);
  const reports = await reportsOf(world);
  for (const { shard, epoch, head, entities } of audits) {
    const owner = reports.find(({ shards }) => shards[shard]?.state === "serving" && shards[shard].epoch === epoch);
    const followers = world.options.cluster ? reports.filter(({ shards }) => shards[shard]?.state === "following") : [];
    const found: Difference[] = [];
    for (const entity of entities.values()) {
      if (entity.type.startsWith("sheaf.")) continue;
      if (owner) found.push(...differences(owner.name, entity, await owner.node.local.entity(entity.type, entity.key)));
      for (const { name, machine } of followers) {
        const cell = await machine.store.cell(shard, entity.type, entity.key);
        found.push(...differences(name, entity, cell && { ...cell, state: unpack(cell.state) }));
      }
    }
    if (found.length === 0) continue;
    const [now] = await world.shared.barrier([shard]);
    const hasGrown = now !== undefined && now.seq > head;
    problems.push(...found.filter(({ isAhead }) => !isAhead || !hasGrown).map(({ says }) => says));
  }
  return problems;
}

type Held = { readonly version: number; readonly schema: number; readonly state: unknown };
type Difference = { readonly says: string; readonly isAhead: boolean };

function differences(node: string, folded: Folded, held: Held | undefined): Difference[] {
  const name = `${folded.type}/${folded.key}`;
  if (held?.version !== folded.version) {
    const says = `${name} is at version ${held?.version ?? "none"} at ${node} but journaled at ${folded.version}`;
    return [{ says, isAhead: held !== undefined && held.version > folded.version }];
  }
  const isSame = held.schema !== folded.schema || canonical(held.state) === canonical(unpack(folded.state));
  return isSame ? [] : [{ says: `${name} has another state at ${node} than its journal gives`, isAhead: false }];
}

/** Equal for equal plain values whatever the order of their keys. */
function canonical(value: unknown): string {
  const sorted = (inner: object): object =>
    Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  return JSON.stringify(value, (_, inner: unknown) =>
    inner !== null && typeof inner === "object" && !Array.isArray(inner) ? sorted(inner) : inner,
  );
}

// Opening a shard: bring the local store up to the end of the journal, then claim it (F2) or follow it. The doing; what to
// do is decided in tenure.ts.

import { asSheafError, type Epoch, SheafError } from "../base/index.ts";
import { type Entry, follow, type Page } from "../journal/index.ts";
import { isAgendaRow } from "./agenda-rows.ts";
import { Fold } from "./fold.ts";
import type { Logs } from "./logs.ts";
import { within } from "./pause.ts";
import type { Shard } from "./shard.ts";
import { loadSnapshot } from "./snapshots.ts";
import type { Position, Store } from "./store.ts";
import { behind, approach, claimEpoch, judge, sight } from "./tenure.ts";

const pageRecords = 512;
/** Cells held in memory while catching up, before they are handed to the store. */
const saveEveryPages = 8;

/** Resolves when this node serves the shard, or follows it. Rejects NOT_OWNER when another node claimed at the same time,
 *  QUARANTINED or DATA_ROLLED_BACK when the journal cannot be trusted, ENGINE_UNAVAILABLE when it does not answer. */
export async function openShard(shard: Shard, store: Store, as: "owner" | "follower"): Promise<void> {
  const { kind } = shard.tenure;
  if (shard.tenure.kind === "quarantined") throw shard.tenure.error;
  if (shard.held !== undefined || (kind === "following" && as === "follower")) return;
  // A follower's fold is at the end of the journal, or nearly: it goes on from there.
  const warm = kind === "following";
  const startedAt = shard.ground.host.clock.tick();
  const { epoch } = shard.fold;
  shard.tenure = { kind: "opening" };
  try {
    if (!warm || (await catchUp(shard, store)) === "trimmed") {
      do {
        shard.fold = new Fold(shard.number, shard.ground.limits);
        await restore(shard, store);
      } while ((await catchUp(shard, store)) === "trimmed");
    }
    if (as === "follower") return shard.follow(startedAt);
    if (warm && shard.fold.epoch > epoch) {
      // Somebody has claimed it since this node was asked to: to claim it again would only fence that one.
      shard.follow(startedAt);
      throw new SheafError("NOT_OWNER");
    }
    await claim(shard);
  } catch (error) {
    const failure = asSheafError(error, "ENGINE_UNAVAILABLE");
    const untrusted = failure.code === "CORRUPT" || failure.code === "DATA_ROLLED_BACK" || failure.code === "WRONG_KEY";
    if (untrusted) shard.quarantine(failure);
    else if (shard.tenure.kind === "opening") shard.tenure = { kind: "closed" };
    throw failure;
  }
}

/** Sets the fold to the stored position, or to a snapshot where the journal no longer reaches back to it. */
async function restore(shard: Shard, store: Store): Promise<void> {
  const { engine, host, limits } = shard.ground;
  let stored = await store.position(shard.number);
  const from = Math.max(1, stored?.seq ?? 0);
  const page = await within(host.clock, limits.appendPatienceMs, engine.read(shard.number, from, 1));
  let way = approach(stored, page.first, page.head);
  if (way.kind === "left") {
    await store.clear(shard.number);
    stored = undefined;
    way = approach(stored, page.first, page.head);
  }
  if (way.kind === "behind" && stored) throw await doubtfullyBehind(shard, stored);
  if (way.kind === "read" && stored && !continues(shard, stored, page)) throw behind(shard.number);
  if (way.kind === "snapshot") stored = await loadSnapshot(shard, store, page.first);
  if (!stored) return;
  const ops = await store.ops(shard.number);
  shard.fold.restore(stored, host.faults.mutant("D5") ? ops.filter((op) => !isAgendaRow(op)) : ops);
  if (host.faults.mutant("T7")) repeatNumbers(shard.fold.logs);
}

/** A planted defect: the last number of each log is given again. */
function repeatNumbers(logs: Logs): void {
  const memo = logs.memo();
  logs.restore({ ...memo, logs: memo.logs.map(([topic, last, ...rest]) => [topic, last - 1, ...rest]) });
}

/** A read may be stale; only a barrier shows that the journal really is behind (F8). */
async function doubtfullyBehind(shard: Shard, stored: Position): Promise<SheafError> {
  const { engine, host, limits } = shard.ground;
  const [head] = await within(host.clock, limits.appendPatienceMs, engine.barrier([shard.number]));
  if (head && sight(stored, head).kind === "behind") return behind(shard.number);
  return new SheafError("ENGINE_UNAVAILABLE", `shard ${shard.number}: the engine answered from an old copy`);
}

/** Is the record at the stored position, where the journal still keeps it, the one that was folded? */
function continues(shard: Shard, stored: Position, page: Page): boolean {
  const entry = page.entries[0];
  if (!entry || entry.seq !== stored.seq) return page.first > stored.seq;
  const { hash } = shard.ground.codec.decode(entry.record, { shard: shard.number, seq: entry.seq });
  return judge(stored.hash, { epoch: entry.epoch, hash }).kind === "applied";
}

/** Is the journal really behind what this follower has applied, or was it told by an old copy? */
export async function checkBehind(shard: Shard): Promise<void> {
  const error = await doubtfullyBehind(shard, shard.fold.position());
  if (error.code === "DATA_ROLLED_BACK") shard.quarantine(error);
}

/** Applies what follows the fold, to the end of the journal. `trimmed` when another owner trimmed it away meanwhile. */
async function catchUp(shard: Shard, store: Store): Promise<"caught-up" | "trimmed"> {
  const { engine, host, limits } = shard.ground;
  for (let pages = 1; ; pages++) {
    const page = await within(
      host.clock,
      limits.appendPatienceMs,
      engine.read(shard.number, shard.fold.seq + 1, pageRecords),
    );
    if (page.first > shard.fold.seq + 1 && page.head.seq > shard.fold.seq) return "trimmed";
    for (const entry of page.entries) applyEntry(shard, entry);
    if (page.head.seq < shard.fold.seq) throw await doubtfullyBehind(shard, shard.fold.position());
    if (shard.fold.seq >= page.head.seq) return "caught-up";
    if (page.entries.length === 0) {
      throw new SheafError(
        "CORRUPT",
        `shard ${shard.number}: the journal ends at ${page.head.seq} but has no record ${shard.fold.seq + 1}`,
      );
    }
    if (pages % saveEveryPages === 0) await saveFold(shard, store);
  }
}

async function saveFold(shard: Shard, store: Store): Promise<void> {
  const changes = shard.fold.drain();
  if (!changes) return;
  await store.save([changes]);
  shard.fold.saved(changes);
}

/** Applies one entry if it continues the chain; throws CORRUPT if it does not. */
export function applyEntry(shard: Shard, entry: Entry): void {
  const { fold, ground } = shard;
  const record = ground.codec.decode(entry.record, { shard: shard.number, seq: entry.seq });
  const next = follow(fold, record, ground.host.faults);
  if (next.kind === "corrupt")
    throw new SheafError("CORRUPT", `shard ${shard.number}, record ${entry.seq}: ${next.why}`);
  const skipped = ground.host.faults.mutant("M4") && record.payload.kind === "batch";
  if (next.kind === "void") fold.pass(record);
  else if (skipped) fold.skip(record);
  else fold.apply(record);
  shard.journaledBytes += entry.record.length;
}

/** Appends a claim one epoch above all that was read, and serves once it has read it back. */
async function claim(shard: Shard): Promise<void> {
  const { engine, host, limits, codec, cluster, node } = shard.ground;
  const { fold } = shard;
  const claimedAt = host.clock.tick();
  const epoch = claimEpoch(fold.epoch);
  const at = Math.max(host.clock.now(), fold.at);
  const { generation, seq, hash: prev } = fold;
  const header = { cluster, shard: shard.number, generation, epoch, seq: seq + 1, prev, at };
  const payload = { kind: "claim", node } as const;
  const sealed = codec.encode({ header, payload });
  const append = { shard: shard.number, generation, epoch, expected: seq, record: sealed.bytes };
  const sent = within(host.clock, limits.appendPatienceMs, engine.append([append])).catch((error: unknown) => [
    { kind: "unknown", error } as const,
  ]);
  const [result] = await sent;
  if (result?.kind === "refused") throw asSheafError(result.error, "ENGINE_UNAVAILABLE");
  if (host.faults.mutant("C1") && result?.kind !== "fenced") {
    fold.apply({ header, payload, hash: sealed.hash });
    serve(shard, epoch);
    return;
  }
  const page = await within(host.clock, limits.appendPatienceMs, engine.read(shard.number, seq + 1, 1));
  const entry = page.entries[0];
  if (!entry) throw new SheafError("ENGINE_UNAVAILABLE", `shard ${shard.number}: the engine did not keep the claim`);
  if (entry.seq !== seq + 1) throw new SheafError("NOT_OWNER");
  const { hash } = codec.decode(entry.record, { shard: shard.number, seq: seq + 1 });
  if (judge(sealed.hash, { epoch: entry.epoch, hash }).kind !== "applied" || page.head.epoch !== epoch)
    throw new SheafError("NOT_OWNER");
  fold.apply({ header, payload, hash: sealed.hash });
  if (page.head.seq !== fold.seq) throw new SheafError("NOT_OWNER");
  shard.freshAt = claimedAt;
  serve(shard, epoch);
}

function serve(shard: Shard, epoch: Epoch): void {
  shard.claimed = { at: shard.ground.host.clock.tick(), seq: shard.fold.seq };
  shard.tenure = { kind: "serving", epoch };
  shard.ground.worked(shard);
}

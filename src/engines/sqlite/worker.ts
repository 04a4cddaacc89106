// The worker thread of the engine: a writer or a reader of journal.db, by the role it is started in.

import { workerData, type Transferable } from "node:worker_threads";
import { SheafError, type Seq, type Shard } from "../../base/index.ts";
import type { Ask, Cluster } from "../../journal/index.ts";
import { prepareFolder } from "./journal-file.ts";
import { told, type Call, type Told } from "./link.ts";
import type { MemberChange } from "./members.ts";
import type { Packed } from "./packed.ts";
import { openReader, type PackedPage, type Reader } from "./reader.ts";
import type { RestoreAsk } from "./restoring.ts";
import { serve, type Answer } from "./serve.ts";
import { openWriter, type Progress, type Verdict, type Writer } from "./writer.ts";

export type Role = { readonly role: "writer" | "reader"; readonly dir: string; readonly patienceMs: number };

export type WriterAsk =
  | { readonly kind: "append"; readonly packed: Packed }
  | { readonly kind: "create"; readonly cluster: Cluster }
  | { readonly kind: "identify" }
  /** Answered with whether a checkpoint is due. */
  | { readonly kind: "restore"; readonly ask: RestoreAsk }
  | { readonly kind: "trim"; readonly shard: Shard; readonly through: Seq }
  | { readonly kind: "change-member"; readonly change: MemberChange }
  | { readonly kind: "finish-checkpoint" };

/** `each` is absent when all are durable. */
export type AppendReply = {
  readonly each?: readonly Verdict[];
  readonly error?: Told | undefined;
  readonly checkpointDue: boolean;
  /** Told once: records are folded no more, since they contradict each other. */
  readonly foldingStopped?: Told | undefined;
  /** Told once: a process was killed for standing still with the lock. */
  readonly killed?: string | undefined;
};

export type ReaderAsk =
  | { readonly kind: "heads"; readonly shards: readonly Shard[] }
  | { readonly kind: "page"; readonly shard: Shard; readonly from: Seq; readonly limit: number }
  | { readonly kind: "tail"; readonly asks: readonly Ask[]; readonly limit: number }
  | { readonly kind: "members" }
  | { readonly kind: "look"; readonly since: string | undefined; readonly keys: readonly string[] }
  /** Answered with `Grown` once journals have grown, or with nothing at the next `rest`. */
  | { readonly kind: "growth" }
  | { readonly kind: "rest" }
  | { readonly kind: "checkpoint" }
  | { readonly kind: "facts" };

type Answering = (id: number, make: () => Answer) => void;

/** Most bytes in one transaction made of several calls. */
const maxGroupBytes = 16 * 1024 * 1024;

function writing(writer: () => Writer, patienceMs: number): (calls: readonly Call[], answer: Answering) => void {
  /** What is done in slices, and may wait for another process's lock without holding up appends. */
  type Chore = { readonly id: number; readonly until: number; readonly slice: () => Progress };
  /** Changes of the registry are small, and go before trims. */
  const changes: Chore[] = [];
  const trims: Chore[] = [];

  let upkeepRuns = false;

  /** One slice per turn of the event loop: appends that came in meanwhile go first. While another process holds the lock
   *  it comes back a little later, so that appends never wait for a trim. */
  function upkeep(answer: Answering): void {
    const queue = changes.length > 0 ? changes : trims;
    const [chore] = queue;
    const state = chore ? carry(chore, answer) : writer().foldDue() ? writer().foldSlice() : "done";
    if (state === "done") queue.shift();
    upkeepRuns = changes.length > 0 || trims.length > 0 || writer().foldDue();
    if (!upkeepRuns) return;
    if (state === "busy") setTimeout(upkeep, 1, answer);
    else setImmediate(upkeep, answer);
  }
  function upkeepSoon(answer: Answering): void {
    if (!upkeepRuns) setImmediate(upkeep, answer);
    upkeepRuns = true;
  }
  function carry({ id, until, slice }: Chore, answer: Answering): Progress {
    try {
      const state = slice();
      if (state === "busy" && performance.now() > until)
        throw new SheafError("ENGINE_UNAVAILABLE", "another process has kept the database locked");
      if (state === "done") answer(id, () => ({ value: undefined }));
      return state;
    } catch (error) {
      answer(id, () => {
        throw error;
      });
      return "done";
    }
  }

  function appendAll(calls: readonly { id: number; packed: Packed }[], answer: Answering): void {
    const verdicts = writer().append(calls.map(({ packed }) => packed));
    const checkpointDue = writer().checkpointDue();
    const stopped = writer().takeFoldingStopped();
    const killed = writer().takeKilled();
    calls.forEach(({ id }, i) => {
      const { each = [], error } = verdicts[i] ?? {};
      const once = i === 0 ? { foldingStopped: stopped && told(stopped), killed } : {};
      const reply: AppendReply = each.every((verdict) => verdict === "durable")
        ? { checkpointDue, ...once }
        : { each, error: error && told(error), checkpointDue, ...once };
      answer(id, () => ({ value: reply }));
    });
  }

  return (calls, answer) => {
    let group: { id: number; packed: Packed }[] = [];
    let bytes = 0;
    const others: Call[] = [];
    for (const call of calls) {
      const ask = call.ask as WriterAsk;
      if (ask.kind !== "append") others.push(call);
      else {
        if (group.length > 0 && bytes + ask.packed.bytes.length > maxGroupBytes) {
          appendAll(group, answer);
          group = [];
          bytes = 0;
        }
        group.push({ id: call.id, packed: ask.packed });
        bytes += ask.packed.bytes.length;
      }
    }
    if (group.length > 0) appendAll(group, answer);
    if (writer().foldDue()) upkeepSoon(answer);
    for (const { id, ask } of others) {
      const other = ask as Exclude<WriterAsk, { kind: "append" }>;
      const until = performance.now() + patienceMs;
      if (other.kind === "trim") {
        trims.push({ id, until, slice: () => writer().trimSlice(other.shard, other.through) });
        upkeepSoon(answer);
      } else if (other.kind === "change-member") {
        changes.push({ id, until, slice: () => writer().changeMember(other.change) });
        upkeepSoon(answer);
      } else if (other.kind === "create") answer(id, () => ({ value: writer().create(other.cluster) }));
      else if (other.kind === "restore")
        answer(id, () => (writer().restore(other.ask), { value: writer().checkpointDue() }));
      else if (other.kind === "identify") answer(id, () => ({ value: writer().identify() }));
      else answer(id, () => ({ value: writer().finishCheckpoint() }));
    }
  };
}

function reading(reader: () => Reader): (calls: readonly Call[], answer: Answering) => void {
  const transferOf = ({ entries }: PackedPage): Transferable[] => [entries.numbers.buffer, entries.bytes.buffer];

  /** Records are given out when they are durable; other questions need not wait for that. */
  function give(id: number, pages: readonly PackedPage[], value: unknown, answer: Answering): void {
    const found: Answer = { value, transfer: pages.flatMap(transferOf) };
    if (!pages.some(({ entries }) => entries.numbers.length > 0)) return answer(id, () => found);
    reader().durable((error) =>
      answer(id, () => {
        if (error) throw error;
        return found;
      }),
    );
  }
  function carry(id: number, ask: ReaderAsk, answer: Answering): void {
    const now = (make: () => unknown): void => answer(id, () => ({ value: make() }));
    switch (ask.kind) {
      case "heads":
        return now(() => reader().heads(ask.shards));
      case "page": {
        const page = reader().page(ask.shard, ask.from, ask.limit);
        return give(id, [page], page, answer);
      }
      case "tail": {
        const pages = reader().tail(ask.asks, ask.limit);
        return give(id, pages, pages, answer);
      }
      case "growth":
        return reader().growth.next((value) => answer(id, () => ({ value })));
      case "members":
        return now(() => reader().members());
      case "look":
        return now(() => reader().look(ask.since, ask.keys));
      case "rest":
        return now(() => reader().growth.stop());
      case "checkpoint":
        return now(() => reader().checkpoint());
      case "facts":
        return now(() => reader().facts());
    }
  }
  return (calls, answer) => {
    for (const { id, ask } of calls) {
      try {
        carry(id, ask as ReaderAsk, answer);
      } catch (error) {
        answer(id, () => {
          throw error;
        });
      }
    }
  };
}

const { role, dir, patienceMs } = workerData as Role;
if (role === "writer") {
  let writer: Writer | undefined;
  const open = (): void => {
    prepareFolder(dir, patienceMs);
    writer = openWriter(dir, patienceMs);
  };
  serve(
    open,
    writing(() => writer as Writer, patienceMs),
    () => writer?.close(),
  );
} else {
  let reader: Reader | undefined;
  serve(
    () => void (reader = openReader(dir, patienceMs)),
    reading(() => reader as Reader),
    () => reader?.close(),
  );
}

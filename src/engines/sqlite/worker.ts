// The worker thread of the engine: a writer or a reader of journal.db, by the role it is started in.

import { workerData } from "node:worker_threads";
import { SheafError, type Seq, type Shard } from "../../base/index.ts";
import type { Cluster } from "../../journal/index.ts";
import { prepareFolder } from "./journal-file.ts";
import { told, type Call, type Told } from "./link.ts";
import type { Packed } from "./packed.ts";
import { openReader, type Reader } from "./reader.ts";
import { serve, type Answer } from "./serve.ts";
import { openWriter, type Progress, type Verdict, type Writer } from "./writer.ts";

export type Role = { readonly role: "writer" | "reader"; readonly dir: string; readonly patienceMs: number };

export type WriterAsk =
  | { readonly kind: "append"; readonly packed: Packed }
  | { readonly kind: "create"; readonly cluster: Cluster }
  | { readonly kind: "identify" }
  | { readonly kind: "trim"; readonly shard: Shard; readonly through: Seq }
  | { readonly kind: "finish-checkpoint" };

/** `each` is absent when all are durable. */
export type AppendReply = {
  readonly each?: readonly Verdict[];
  readonly error?: Told | undefined;
  readonly checkpointDue: boolean;
};

export type ReaderAsk =
  | { readonly kind: "heads"; readonly shards: readonly Shard[] }
  | { readonly kind: "page"; readonly shard: Shard; readonly from: Seq; readonly limit: number }
  | { readonly kind: "checkpoint" }
  | { readonly kind: "facts" };

type Answering = (id: number, make: () => Answer) => void;

/** Most bytes in one transaction made of several calls. */
const maxGroupBytes = 16 * 1024 * 1024;

function writing(writer: () => Writer, patienceMs: number): (calls: readonly Call[], answer: Answering) => void {
  type Trim = { readonly id: number; readonly shard: Shard; readonly through: Seq; readonly until: number };
  const trims: Trim[] = [];

  let upkeepRuns = false;

  /** One slice per turn of the event loop: appends that came in meanwhile go first. While another process holds the lock
   *  it comes back a little later, so that appends never wait for a trim. */
  function upkeep(answer: Answering): void {
    const [trim] = trims;
    const state = trim ? trimSome(trim, answer) : writer().foldDue() ? writer().foldSlice() : "done";
    if (state === "done") trims.shift();
    upkeepRuns = trims.length > 0 || writer().foldDue();
    if (!upkeepRuns) return;
    if (state === "busy") setTimeout(upkeep, 1, answer);
    else setImmediate(upkeep, answer);
  }
  function upkeepSoon(answer: Answering): void {
    if (!upkeepRuns) setImmediate(upkeep, answer);
    upkeepRuns = true;
  }
  function trimSome({ id, shard, through, until }: Trim, answer: Answering): Progress {
    try {
      const state = writer().trimSlice(shard, through);
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
    calls.forEach(({ id }, i) => {
      const { each = [], error } = verdicts[i] ?? {};
      const reply: AppendReply = each.every((verdict) => verdict === "durable")
        ? { checkpointDue }
        : { each, error: error && told(error), checkpointDue };
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
      if (other.kind === "trim") {
        trims.push({ id, shard: other.shard, through: other.through, until: performance.now() + patienceMs });
        upkeepSoon(answer);
      } else if (other.kind === "create") answer(id, () => ({ value: writer().create(other.cluster) }));
      else if (other.kind === "identify") answer(id, () => ({ value: writer().identify() }));
      else answer(id, () => ({ value: writer().finishCheckpoint() }));
    }
  };
}

function reading(reader: () => Reader): (calls: readonly Call[], answer: Answering) => void {
  function carry(ask: ReaderAsk): Answer {
    switch (ask.kind) {
      case "heads":
        return { value: reader().heads(ask.shards) };
      case "page": {
        const page = reader().page(ask.shard, ask.from, ask.limit);
        return { value: page, transfer: [page.entries.numbers.buffer, page.entries.bytes.buffer] };
      }
      case "checkpoint":
        return { value: reader().checkpoint() };
      case "facts":
        return { value: reader().facts() };
    }
  }
  return (calls, answer) => {
    for (const { id, ask } of calls) answer(id, () => carry(ask as ReaderAsk));
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

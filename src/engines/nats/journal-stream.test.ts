import assert from "node:assert/strict";
import { test } from "node:test";
import type { SheafError } from "../../base/index.ts";
import { journalStream, type JournalStream } from "./journal-stream.ts";
import { layoutOf } from "./layout.ts";
import { type Gathered, type Link, type Sent, type Stored } from "./link.ts";

/** A stream whose servers do to a reader what real ones were seen to do. */
type Script = {
  readonly stored: Stored[];
  /** What each read is answered from, as positions: replicas that are behind come first. The last one stays. */
  replicas: number[];
  /** What a deposed server says the last position is; the true one when undefined. */
  deposed: number | undefined;
  /** What becomes of publishes, in turn; stored when there is nothing more. */
  fates: ("stored" | "lost" | "refused")[];
  /** Whether what is stored is republished to this node. */
  republishes: boolean;
};

const subject = "s.journal.0.";

function staged(script: Partial<Script> = {}): {
  readonly at: Script;
  readonly stream: JournalStream;
  write(shard: number, record: string): void;
} {
  const at: Script = { stored: [], replicas: [Infinity], deposed: undefined, fates: [], republishes: false, ...script };
  const store = (token: string, record: string): number => {
    const position = at.stored.length + 1;
    at.stored.push({ subject: subject + token, position, record, isGone: false, bytes: new Uint8Array() });
    if (at.republishes) stream.republished(token, position, record);
    return position;
  };
  const get = (asked: readonly string[]): Gathered => {
    const upTo = Math.min(
      at.stored.length,
      at.replicas.length > 1 ? (at.replicas.shift() as number) : (at.replicas[0] as number),
    );
    const last = asked.flatMap((one) => at.stored.findLast((m) => m.subject === one && m.position <= upTo) ?? []);
    return { messages: last, isCut: false, upTo };
  };
  const link = {
    publish(message: { readonly subject: string }): Promise<Sent> {
      const fate = at.fates.shift() ?? "stored";
      if (fate === "lost") return Promise.resolve({ kind: "doubtful", error: new Error("timeout") });
      if (fate === "refused") return Promise.resolve({ kind: "refused" });
      return Promise.resolve({
        kind: "stored",
        position: store(message.subject.slice(subject.length), ""),
        isDuplicate: false,
      });
    },
    get: (_: string, ask: { readonly multi_last: readonly string[] }) => Promise.resolve(get(ask.multi_last)),
    look: () => {
      const last = at.deposed ?? at.stored.length;
      const counts: Record<string, number> = {};
      for (const one of at.stored.slice(0, last)) counts[one.subject] = (counts[one.subject] ?? 0) + 1;
      return Promise.resolve({ last, counts });
    },
  } as unknown as Link;
  const stream = journalStream(link, layoutOf("s", 3), 0, [0, 1, 2], 2000);
  store("mark", "");
  return { at, stream, write: (shard, record) => void store(String(shard), record) };
}

const seqOf = (stream: JournalStream, shard: number): number => stream.mirror.known(shard).head.seq;

test("nats barrier: sees what was stored before it, though nothing was republished and replicas are behind (S2, S3)", async () => {
  const { at, stream, write } = staged();
  write(1, "1 1 1");
  await stream.barrier();
  assert.equal(seqOf(stream, 1), 1);
  write(1, "1 2 2");
  write(2, "1 1 1");
  at.replicas = [2, 3, 3, 4, 5, Infinity];
  await stream.barrier();
  assert.deepEqual([seqOf(stream, 0), seqOf(stream, 1), seqOf(stream, 2)], [0, 2, 1]);
  assert.deepEqual(at.replicas, [Infinity]);
});

test("nats barrier: a deposed server's word is not enough, and a look that believes it takes nothing back", async () => {
  const { at, stream, write } = staged();
  write(1, "1 1 1");
  await stream.barrier();
  write(1, "1 2 2");
  at.deposed = 3;
  await stream.look();
  assert.equal(seqOf(stream, 1), 1);
  await stream.barrier();
  assert.equal(seqOf(stream, 1), 2);
  await stream.look();
  assert.equal(seqOf(stream, 1), 2);
});

test("nats barrier: reads nothing when all was republished without a gap, and reads again after a gap", async () => {
  const { at, stream, write } = staged({ republishes: true });
  await stream.barrier();
  at.replicas = [0];
  for (let seq = 1; seq < 10; seq++) write(1, `1 1 ${seq}`);
  await stream.barrier();
  assert.equal(seqOf(stream, 1), 9);
  at.republishes = false;
  write(2, "1 1 1");
  at.republishes = true;
  write(1, "1 1 10");
  at.replicas = [0, 3, Infinity];
  await stream.barrier();
  assert.deepEqual([seqOf(stream, 1), seqOf(stream, 2)], [10, 1]);
  assert.deepEqual(at.replicas, [Infinity]);
});

test("nats barrier: tries again until its no-op is acknowledged, and rejects when it never is", async () => {
  const { at, stream } = staged({ fates: ["lost", "refused", "lost"] });
  await stream.barrier();
  assert.deepEqual(at.fates, []);
  at.fates = Array.from({ length: 1000 }, () => "lost");
  await assert.rejects(stream.barrier(), (error: SheafError) => error.code === "ENGINE_UNAVAILABLE");
});

test("nats barrier: those who ask while one runs share the next, which starts after they asked", async () => {
  const { at, stream, write } = staged();
  await stream.barrier();
  const before = at.stored.length;
  const running = stream.barrier();
  const late = [stream.barrier(), stream.barrier(), stream.barrier()];
  write(0, "1 1 1");
  await Promise.all([running, ...late]);
  assert.equal(at.stored.length - before, 3, "two no-ops and the record");
  assert.equal(seqOf(stream, 0), 1);
});

test("nats stream: a position that was given before is another stream of its name: CORRUPT from then on (S4)", async () => {
  const { at, stream, write } = staged();
  for (let seq = 1; seq < 5; seq++) write(0, `1 1 ${seq}`);
  await stream.barrier();
  at.stored.splice(1);
  const corrupt = (error: SheafError): boolean => error.code === "CORRUPT";
  await assert.rejects(stream.barrier(), corrupt);
  await assert.rejects(stream.known(1), corrupt);
  await assert.rejects(stream.barrier(), corrupt);
});

test("nats stream: the first entry is never said to be later than it is, whatever is stored during a look", async () => {
  const { at, stream, write } = staged({ republishes: true });
  for (let seq = 1; seq < 5; seq++) write(0, `1 1 ${seq}`);
  await stream.look();
  assert.equal(stream.mirror.first(0), 1);
  const looking = stream.look();
  for (let seq = 5; seq < 9; seq++) write(0, `1 1 ${seq}`);
  await looking;
  assert.equal(stream.mirror.first(0), 1);
  at.stored.splice(0, at.stored.length, ...at.stored.filter(({ record }) => !["1 1 1", "1 1 2"].includes(record)));
  await stream.look();
  assert.equal(stream.mirror.first(0), 3);
});

// One journal stream as one node uses it: looks, barriers, and what it learns of heads by them.
//
// No read of JetStream is linearizable: a server that led the stream and was frozen answers with what it knew, and direct
// gets are answered by replicas that may be behind. So:
//
// S1. Appends are ordered by the stream's consensus log, and a position is given in that order. An acknowledgement is sent
//     only for a message that a majority has stored, so a deposed server cannot send one.
// S2. A barrier publishes a no-op after it was asked for. When that is acknowledged at position P, every append that was
//     acknowledged before has a position below P. Heads that are known through P (mirror.ts, M2) are therefore linearizable.
// S3. Stored messages alone tell of heads. They come as republished headers: the leading server sends them as it stores, in
//     order and before the acknowledgement, so mostly nothing needs to be read. Where one is missing, the last message of
//     each shard is read from any replica that says itself that it has come to P or further.
// S4. An acknowledged position is above all known before it was asked for. If not, this is another stream of the same name:
//     CORRUPT, from then on.

import { invariant, type Shard, SheafError } from "../../base/index.ts";
import { journalSubjects, type Layout, type Subjects } from "./layout.ts";
import { type Gathered, type Link, type Sight, unavailable } from "./link.ts";
import { type Known, type Mirror, mirror } from "./mirror.ts";
import { type Deadline, deadlineIn, persist, shared } from "./patience.ts";

export type JournalStream = {
  readonly name: string;
  readonly subjects: Subjects;
  readonly mirror: Mirror;
  /** Heads of all shards, started after the call, are in the mirror when it resolves (S2). */
  barrier(): Promise<void>;
  /** The same, but as one server sees it: may be old when that server was deposed. Learns what is trimmed too. */
  look(): Promise<void>;
  /** What is known of a shard; looked up first when nothing is. */
  known(shard: Shard): Promise<Known>;
  /** A message of this stream was republished. */
  republished(token: string, position: number, record: string): void;
  /** Throws CORRUPT when an acknowledged position cannot be of this stream (S4). */
  acknowledged(position: number, throughBefore: number): void;
};

/** Republished headers come before the acknowledgement; past this something was lost on the way. */
const republishMs = 100;
const shardsPerGet = 256;
const getBytes = 16 * 1024 * 1024;

const shardIn = (token: string): Shard | undefined => (/^\d{1,9}$/.test(token) ? Number(token) : undefined);

export function journalStream(
  link: Link,
  layout: Layout,
  index: number,
  shards: readonly Shard[],
  patienceMs: number,
): JournalStream {
  const name = layout.journal(index);
  const subjects = journalSubjects(layout.space, index);
  const seen: Mirror = mirror();
  const waiting = new Set<{ readonly position: number; readonly done: () => void }>();
  let broken: SheafError | undefined;
  let isLearned = false;

  const wake = (): void => {
    for (const one of waiting)
      if (one.position <= seen.through) {
        waiting.delete(one);
        one.done();
      }
  };

  const whole = (): void => {
    if (broken) throw broken;
  };

  /** Resolves true once the republished headers have come that far; false when they do not soon. */
  const heardThrough = (position: number): Promise<boolean> =>
    new Promise((resolve) => {
      if (seen.through >= position) return resolve(true);
      const one = {
        position,
        done: () => {
          clearTimeout(timer);
          resolve(true);
        },
      };
      const timer = setTimeout(() => {
        waiting.delete(one);
        resolve(false);
      }, republishMs);
      waiting.add(one);
    });

  /** Last messages of these subjects and how far the replica had come, the fewest of all answers. Cut answers are halved. */
  async function lastOf(asked: readonly string[], deadline: Deadline): Promise<Gathered | undefined> {
    const found = await link.get(name, { multi_last: asked, max_bytes: getBytes }, deadline.tryMs());
    if (found.upTo === 0) return undefined;
    if (!found.isCut) return found;
    const middle = asked.length >> 1;
    invariant(middle > 0, "one last message is never cut short");
    const halves = [await lastOf(asked.slice(0, middle), deadline), await lastOf(asked.slice(middle), deadline)];
    const [one, other] = halves;
    if (!one || !other) return undefined;
    return { messages: [...one.messages, ...other.messages], isCut: false, upTo: Math.min(one.upTo, other.upTo) };
  }

  /** Reads the head of every shard from replicas that have come to `position` (S3). */
  async function learn(position: number, deadline: Deadline): Promise<void> {
    let through = Number.MAX_SAFE_INTEGER;
    for (let from = 0; from === 0 || from < shards.length; from += shardsPerGet) {
      const some = shards.slice(from, from + shardsPerGet);
      const asked = [subjects.mark, ...some.map((shard) => subjects.of(shard))];
      await persist(`read the heads of stream ${name}`, deadline, async () => {
        const found = await lastOf(asked, deadline);
        if (found === undefined || found.upTo < position) return undefined;
        for (const one of found.messages) {
          const shard = shardIn(one.subject.slice(subjects.every.length - 1));
          if (shard !== undefined) seen.note(shard, one.position, one.record);
        }
        through = Math.min(through, found.upTo);
        return found;
      });
    }
    seen.settled(through);
    isLearned = true;
    wake();
  }

  async function reach(position: number, deadline: Deadline): Promise<void> {
    if (isLearned && (await heardThrough(position))) return;
    await learn(position, deadline);
  }

  async function sight(deadline: Deadline): Promise<Sight> {
    let missing = 0;
    return persist(`asked after stream ${name}`, deadline, async () => {
      const found = await link.look(name, subjects.every, deadline.tryMs());
      // A server that has just come to lead all streams may not know all of them yet.
      if (found === "missing" && ++missing >= 8) throw (broken = new SheafError("CORRUPT", `stream ${name} is gone`));
      return found === "missing" ? undefined : found;
    });
  }

  /** What a look's counts of kept messages say of each shard's first entry, given the heads that were known before it. What
   *  came later counts too, so an entry may be called kept that was trimmed meanwhile, never the other way. */
  function noteFirsts({ last, counts }: Sight, before: readonly Known[]): void {
    for (const { head, position } of before) {
      const count = counts[subjects.of(head.shard)] ?? 0;
      if (count > 0) seen.noteFirst(head.shard, head.seq - count + 1);
      else if (position > 0 && position <= last)
        throw (broken = new SheafError("CORRUPT", `stream ${name} has lost the journal of shard ${head.shard}`));
    }
  }

  function acknowledged(position: number, throughBefore: number): void {
    if (position > throughBefore) return;
    throw (broken ??= new SheafError(
      "CORRUPT",
      `stream ${name} is not the one that it was: position ${position} was given again`,
    ));
  }

  async function publishBarrier(deadline: Deadline): Promise<number> {
    return persist(`appended a no-op to stream ${name}`, deadline, async () => {
      whole();
      const before = seen.through;
      const sent = await link.publish({
        stream: name,
        subject: subjects.barrier,
        goneAfter: "1s",
        timeoutMs: deadline.tryMs(),
      });
      if (sent.kind === "stored") {
        acknowledged(sent.position, before);
        return sent.position;
      }
      if (sent.kind === "refused") return undefined;
      if (sent.error instanceof SheafError) throw sent.error;
      throw unavailable(`a no-op on stream ${name} was not acknowledged`, sent.error);
    });
  }

  const barrier = shared(async () => {
    const deadline = deadlineIn(patienceMs);
    await reach(await publishBarrier(deadline), deadline);
  });
  const look = shared(async () => {
    whole();
    const deadline = deadlineIn(patienceMs);
    if (!isLearned) await learn(0, deadline);
    const before = shards.map((shard) => seen.known(shard));
    const found = await sight(deadline);
    await reach(found.last, deadline);
    noteFirsts(found, before);
  });

  return {
    name,
    subjects,
    mirror: seen,
    barrier,
    look,
    async known(shard) {
      whole();
      if (!isLearned) await look();
      return sound(seen.known(shard));
    },
    republished(token, position, record) {
      const shard = shardIn(token);
      if (shard !== undefined) seen.note(shard, position, record);
      seen.republished(position);
      wake();
    },
    acknowledged,
  };
}

/** Throws CORRUPT when something that is no record lies in the shard's subject. */
export function sound(known: Known): Known {
  if (known.says === undefined) return known;
  throw new SheafError("CORRUPT", known.says);
}

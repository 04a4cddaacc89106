// Which cluster a space of JetStream holds, and making one.
//
// I1. The cluster record is one append that the engine takes only where there is none, so of several creators one succeeds.
// I2. Then its streams are made, each marked with the cluster's id by its first message, and only then `complete` is
//     written. Whoever finds a record without it finishes the work: every step is the same however often it is done.
// I3. Once complete, nothing is made again: a stream that is missing, or whose mark is gone, is CORRUPT (F8).
// I4. While a cluster that was kept elsewhere is being filled in, its record has a format that nobody takes for a cluster's.
//     It is replaced by the right one, which the engine takes only in the place of that very record, when all is there.

import { randomBytes } from "node:crypto";
import type { StreamInfo } from "@nats-io/jetstream";
import { type Apart, type Millis, SheafError } from "../../base/index.ts";
import { type Cluster, unfinishedRestoration } from "../../journal/index.ts";
import { journalSubjects, type Layout, layoutOf, unsafeSettings } from "./layout.ts";
import { codeOfApi, isStreamMissing, type Link, type Stored, unavailable } from "./link.ts";
import { type Deadline, deadlineIn, persist } from "./patience.ts";

/** What is written down of a cluster. */
export type Found = { readonly cluster: Cluster; readonly streams: number };

type Written = {
  readonly format: number;
  /** Tells creators apart that make the same cluster. */
  readonly creation: string;
  readonly id: string;
  readonly name: string;
  readonly shards: number;
  readonly createdAt: number;
  readonly keyCheck?: string;
  readonly apart?: readonly Apart[];
  readonly streams: number;
};

export type Identity = {
  identify(): Promise<Found | undefined>;
  create(cluster: Cluster, streams: number): Promise<Found>;
  /** Makes the streams of a cluster that is to be filled in; removes first what an unfinished restoration left if `again`. */
  begin(cluster: Cluster, streams: number, again: boolean): Promise<Begun>;
};

/** A cluster that is being filled in. Each call rejects IN_USE when another restoration has taken its place. */
export type Begun = {
  check(): Promise<void>;
  finish(): Promise<void>;
  abandon(): Promise<void>;
};

const format = 1;
/** In place of the format while a restoration is under way: no build takes it for a cluster. */
const restoringFormat = 2 ** 30;

const nameInUse = new Set([10058, 10065]);
const noPeers = new Set([10005, 10074]);

const packed = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

function unpacked(bytes: Uint8Array, subject: string): Written {
  try {
    const written = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as Partial<Written>;
    const { format: found, id, name, shards, createdAt, streams } = written;
    const counts = [found, shards, createdAt, streams].every((one) => typeof one === "number");
    if (counts && typeof id === "string" && typeof name === "string" && (found === format || found === restoringFormat))
      return written as Written;
  } catch {
    // As unreadable as one that lacks something.
  }
  throw new SheafError("CORRUPT", `what lies in ${subject} is no cluster record of a format that is known`);
}

const foundIn = ({ id, name, shards, createdAt, keyCheck, apart, streams }: Written): Found => ({
  cluster: {
    id,
    name,
    shards,
    createdAt,
    ...(apart !== undefined && { apart }),
    ...(keyCheck !== undefined && { keyCheck: new Uint8Array(Buffer.from(keyCheck, "base64")) }),
  },
  streams,
});

export function identityOf(link: Link, layout: Layout, replicas: number, patienceMs: Millis): Identity {
  const { space } = layout;
  const [recordAt, completeAt] = [`${space}.cluster`, `${space}.complete`];

  async function last(stream: string, subject: string, deadline: Deadline): Promise<Stored | undefined> {
    const { message } = await persist(`read ${subject}`, deadline, async () => {
      const sight = await link.look(stream, subject, deadline.tryMs());
      if (sight === "missing") throw unavailable(`stream ${stream} is not there yet`);
      if ((sight.counts[subject] ?? 0) === 0) return { message: undefined };
      const found = await link.get(stream, { multi_last: [subject], max_bytes: 1024 * 1024 }, deadline.tryMs());
      return found.messages.length > 0 ? { message: found.messages[0] } : undefined;
    });
    return message;
  }

  /** Writes a message where there is none, or finds the one that is there. */
  async function writeOnce(stream: string, subject: string, bytes: Uint8Array, deadline: Deadline): Promise<Stored> {
    const id = randomBytes(12).toString("base64url");
    return persist(`wrote ${subject}`, deadline, async () => {
      const sent = await link.publish({ stream, subject, bytes, id, after: 0, timeoutMs: deadline.tryMs() });
      if (sent.kind === "full") throw sent.error;
      if (sent.kind === "stored") return { subject, position: sent.position, record: "", isGone: false, bytes };
      return sent.kind === "refused" ? last(stream, subject, deadline) : undefined;
    });
  }

  async function names(deadline: Deadline): Promise<ReadonlySet<string>> {
    return persist("asked for the names of streams", deadline, async () => {
      const found = new Set<string>();
      for await (const name of link.streams.names(`${space}.>`)) found.add(name);
      return found;
    });
  }

  async function make(config: ReturnType<Layout["all"]>[number], deadline: Deadline): Promise<void> {
    await persist(`made stream ${config.name}`, deadline, async () => {
      try {
        return await link.streams.add(config as Parameters<Link["streams"]["add"]>[0]);
      } catch (error) {
        const code = codeOfApi(error);
        if (nameInUse.has(code))
          throw new SheafError("ENGINE_REFUSED", `NATS: stream ${config.name} exists already, with other settings`, {
            cause: error,
          });
        if (noPeers.has(code))
          throw new SheafError(
            "ENGINE_REFUSED",
            `NATS: there are not ${replicas} servers to keep stream ${config.name}`,
            {
              cause: error,
              hint: "a cluster needs three servers with JetStream; for development, set replicas=1",
            },
          );
        throw unavailable(`stream ${config.name} could not be made`, error);
      }
    });
  }

  async function makeStreams({ cluster, streams }: Found, deadline: Deadline): Promise<void> {
    await Promise.all(layout.all(streams).map((config) => make(config, deadline)));
    await Promise.all(
      Array.from({ length: streams }, async (_, index) => {
        await writeOnce(layout.journal(index), journalSubjects(space, index).mark, packed(cluster.id), deadline);
      }),
    );
  }

  async function complete(found: Found, deadline: Deadline): Promise<void> {
    await makeStreams(found, deadline);
    await check(found, deadline);
    await writeOnce(layout.store, completeAt, packed(found.cluster.id), deadline);
  }

  /** Rejects CORRUPT for a stream that is missing or not this cluster's, ENGINE_REFUSED for one with unsafe settings. */
  async function check({ cluster, streams }: Found, deadline: Deadline): Promise<void> {
    const refused = await Promise.all(
      layout.all(streams).map(async (wanted) => {
        const name = wanted.name as string;
        let missing = 0;
        const { config } = await persist(`asked after stream ${name}`, deadline, async () => {
          try {
            return await widened(await link.streams.info(name), wanted);
          } catch (error) {
            // A server that has just come to lead all streams may not know all of them yet.
            if (!isStreamMissing(error) || ++missing < 8) throw unavailable(`no answer about stream ${name}`, error);
            throw new SheafError("CORRUPT", `NATS: stream ${name} of cluster ${JSON.stringify(cluster.name)} is gone`, {
              hint: "restore it from a backup; it is never made again silently",
            });
          }
        });
        return unsafeSettings(config, wanted).map((says) => `stream ${name}: ${says}`);
      }),
    );
    const says = refused.flat();
    if (says.length > 0) throw new SheafError("ENGINE_REFUSED", `NATS: ${says.join("; ")}`);
    for (let index = 0; index < streams; index++) {
      const mark = await last(layout.journal(index), journalSubjects(space, index).mark, deadline);
      if (mark && Buffer.from(packed(cluster.id)).equals(mark.bytes)) continue;
      throw new SheafError("CORRUPT", `NATS: stream ${layout.journal(index)} was emptied or is another cluster's`);
    }
  }

  /** A stream that an earlier build made may lack a subject that it is given then: what is in it stays. */
  async function widened(
    stream: StreamInfo,
    { subjects = [] }: ReturnType<Layout["all"]>[number],
  ): Promise<Pick<StreamInfo, "config">> {
    const { config } = stream;
    const isPart = config.subjects.length < subjects.length && config.subjects.every((one) => subjects.includes(one));
    return isPart ? link.streams.update(config.name, { ...config, subjects }) : stream;
  }

  async function identify(): Promise<Found | undefined> {
    const deadline = deadlineIn(2 * patienceMs);
    const present = await names(deadline);
    if (!present.has(layout.store)) {
      if (present.size === 0) return undefined;
      throw new SheafError(
        "CORRUPT",
        `NATS: stream ${layout.store} is gone, which says whose ${[...present].join(", ")} are`,
      );
    }
    const record = await last(layout.store, recordAt, deadline);
    if (record === undefined) {
      if (!present.has(layout.journal(0))) return undefined;
      throw new SheafError("CORRUPT", `NATS: stream ${layout.store} has lost its cluster record`);
    }
    const written = unpacked(record.bytes, recordAt);
    if (written.format === restoringFormat) throw unfinishedRestoration(`NATS: space ${space}`, written.name);
    const found = foundIn(written);
    if (await last(layout.store, completeAt, deadline)) await check(found, deadline);
    else await complete(found, deadline);
    return found;
  }

  /** Writes the record of a cluster where there is none. */
  async function write(cluster: Cluster, streams: number, as: number, deadline: Deadline): Promise<Written> {
    await make(layoutOf(space, replicas).all(0)[0] as object, deadline);
    const creation = randomBytes(12).toString("base64url");
    const { id, name, shards, createdAt, keyCheck, apart } = cluster;
    const key = keyCheck && { keyCheck: Buffer.from(keyCheck).toString("base64") };
    const written: Written = {
      format: as,
      creation,
      id,
      name,
      shards,
      createdAt,
      ...key,
      ...(apart && { apart }),
      streams,
    };
    const record = await writeOnce(layout.store, recordAt, packed(written), deadline);
    const kept = unpacked(record.bytes, recordAt);
    if (kept.creation !== creation) throw holdsAnother(foundIn(kept).cluster);
    return written;
  }

  /** Where the record of a restoration lies. Rejects IN_USE when it is not there any more. */
  async function placeOf({ creation, format: as }: Written, deadline: Deadline): Promise<number> {
    const there = (await names(deadline)).has(layout.store);
    const record = there ? await last(layout.store, recordAt, deadline) : undefined;
    const kept = record && unpacked(record.bytes, recordAt);
    if (record && kept?.creation === creation && kept.format === as) return record.position;
    throw new SheafError("IN_USE", "another restoration has taken this one's place");
  }

  /** Removes all streams, the one that says whose they are last. */
  async function remove(streams: number, deadline: Deadline): Promise<void> {
    for (const { name } of layout.all(streams).toReversed())
      await persist(`removed stream ${name}`, deadline, async () => {
        try {
          return (await link.streams.delete(name as string)) || undefined;
        } catch (error) {
          if (isStreamMissing(error)) return true;
          throw unavailable(`stream ${name} could not be removed`, error);
        }
      });
  }

  /** What an unfinished restoration has left is removed. */
  async function removeUnfinished(): Promise<void> {
    const deadline = deadlineIn(4 * patienceMs);
    if (!(await names(deadline)).has(layout.store)) return;
    const record = await last(layout.store, recordAt, deadline);
    const written = record && unpacked(record.bytes, recordAt);
    if (written?.format === restoringFormat) await remove(written.streams, deadline);
  }

  async function needNone(): Promise<void> {
    const present = await identify();
    if (present) throw holdsAnother(present.cluster);
  }

  return {
    identify,
    async create(cluster, streams) {
      await needNone();
      const deadline = deadlineIn(4 * patienceMs);
      const found = foundIn(await write(cluster, streams, format, deadline));
      await complete(found, deadline);
      return found;
    },
    async begin(cluster, streams, again) {
      if (again) await removeUnfinished();
      await needNone();
      const deadline = deadlineIn(4 * patienceMs);
      const written = await write(cluster, streams, restoringFormat, deadline);
      const found = foundIn(written);
      await makeStreams(found, deadline);
      const later = (): Deadline => deadlineIn(4 * patienceMs);
      return {
        check: async () => void (await placeOf(written, later())),
        async finish() {
          const deadline = later();
          const after = await placeOf(written, deadline);
          const bytes = packed({ ...written, format } satisfies Written);
          await persist(`wrote ${recordAt}`, deadline, async () => {
            const timeoutMs = deadline.tryMs();
            const sent = await link.publish({ stream: layout.store, subject: recordAt, bytes, after, timeoutMs });
            if (sent.kind === "full") throw sent.error;
            if (sent.kind === "refused") await placeOf({ ...written, format }, deadline); // Its own first copy is as good.
            return sent.kind === "stored" || sent.kind === "refused" || undefined;
          });
          await complete(found, deadline);
        },
        async abandon() {
          const deadline = later();
          await placeOf(written, deadline);
          await remove(streams, deadline);
        },
      };
    },
  };
}

const holdsAnother = ({ name, id }: Cluster): SheafError =>
  new SheafError("WRONG_CLUSTER", `this engine holds the cluster ${JSON.stringify(name)} (${id})`);

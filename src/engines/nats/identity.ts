// Which cluster a space of JetStream holds, and making one.
//
// I1. The cluster record is one append that the engine takes only where there is none, so of several creators one succeeds.
// I2. Then its streams are made, each marked with the cluster's id by its first message, and only then `complete` is
//     written. Whoever finds a record without it finishes the work: every step is the same however often it is done.
// I3. Once complete, nothing is made again: a stream that is missing, or whose mark is gone, is CORRUPT (F8).

import { randomBytes } from "node:crypto";
import { type Millis, SheafError } from "../../base/index.ts";
import type { Cluster } from "../../journal/index.ts";
import { journalSubjects, type Layout, layoutOf, unsafeSettings } from "./layout.ts";
import { codeOfApi, isStreamMissing, type Link, type Stored, unavailable } from "./link.ts";
import { type Deadline, deadlineIn, persist } from "./patience.ts";

/** What is written down of a cluster. */
export type Found = { readonly cluster: Cluster; readonly streams: number };

type Written = {
  readonly format: 1;
  /** Tells creators apart that make the same cluster. */
  readonly creation: string;
  readonly id: string;
  readonly name: string;
  readonly shards: number;
  readonly createdAt: number;
  readonly keyCheck?: string;
  readonly streams: number;
};

export type Identity = {
  identify(): Promise<Found | undefined>;
  create(cluster: Cluster, streams: number): Promise<Found>;
};

const nameInUse = new Set([10058, 10065]);
const noPeers = new Set([10005, 10074]);

const packed = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

function unpacked(bytes: Uint8Array, subject: string): Written {
  try {
    const written = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as Partial<Written>;
    const { format, id, name, shards, createdAt, streams } = written;
    const counts = [format, shards, createdAt, streams].every((one) => typeof one === "number");
    if (counts && typeof id === "string" && typeof name === "string" && format === 1) return written as Written;
  } catch {
    // As unreadable as one that lacks something.
  }
  throw new SheafError("CORRUPT", `what lies in ${subject} is no cluster record of a format that is known`);
}

const foundIn = ({ id, name, shards, createdAt, keyCheck, streams }: Written): Found => ({
  cluster: {
    id,
    name,
    shards,
    createdAt,
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

  async function complete({ cluster, streams }: Found, deadline: Deadline): Promise<void> {
    await Promise.all(layout.all(streams).map((config) => make(config, deadline)));
    await Promise.all(
      Array.from({ length: streams }, async (_, index) => {
        await writeOnce(layout.journal(index), journalSubjects(space, index).mark, packed(cluster.id), deadline);
      }),
    );
    await check({ cluster, streams }, deadline);
    await writeOnce(layout.store, completeAt, packed(cluster.id), deadline);
  }

  /** Rejects CORRUPT for a stream that is missing or not this cluster's, ENGINE_REFUSED for one with unsafe settings. */
  async function check({ cluster, streams }: Found, deadline: Deadline): Promise<void> {
    const refused = await Promise.all(
      layout.all(streams).map(async (wanted) => {
        const name = wanted.name as string;
        let missing = 0;
        const { config } = await persist(`asked after stream ${name}`, deadline, async () => {
          try {
            return await link.streams.info(name);
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
    const found = foundIn(unpacked(record.bytes, recordAt));
    if (await last(layout.store, completeAt, deadline)) await check(found, deadline);
    else await complete(found, deadline);
    return found;
  }

  return {
    identify,
    async create(cluster, streams) {
      const present = await identify();
      if (present) throw holdsAnother(present.cluster);
      const deadline = deadlineIn(4 * patienceMs);
      await make(layoutOf(space, replicas).all(0)[0] as object, deadline);
      const creation = randomBytes(12).toString("base64url");
      const { id, name, shards, createdAt, keyCheck } = cluster;
      const key = keyCheck && { keyCheck: Buffer.from(keyCheck).toString("base64") };
      const written: Written = { format: 1, creation, id, name, shards, createdAt, ...key, streams };
      const record = await writeOnce(layout.store, recordAt, packed(written), deadline);
      const kept = unpacked(record.bytes, recordAt);
      const found = foundIn(kept);
      if (kept.creation !== creation) throw holdsAnother(found.cluster);
      await complete(found, deadline);
      return found;
    },
  };
}

const holdsAnother = ({ name, id }: Cluster): SheafError =>
  new SheafError("WRONG_CLUSTER", `this engine holds the cluster ${JSON.stringify(name)} (${id})`);

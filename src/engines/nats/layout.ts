// Where everything of one Sheaf cluster lies in JetStream, and how its streams must be set up. `space` sets it apart:
//
//   stream SPACE_store      SPACE.cluster, SPACE.complete       who this is; that its streams were all made
//                           SPACE.snapshots.made.SHARD.NAME     one whole snapshot: where its pieces are
//                           SPACE.snapshots.piece.PUT.N         piece N of one put
//   stream SPACE_registry   SPACE.registry.KEY                  in memory; KEY in hexadecimal
//                           SPACE.told.KEY                      that KEY was put: its value came just before
//   stream SPACE_journal_I  SPACE.journal.I.SHARD               shards with SHARD mod streams = I
//                           SPACE.journal.I.mark                the first message: whose stream this is
//                           SPACE.journal.I.barrier             no-ops of barriers, gone after a second
//   no stream               SPACE.grown.I.TOKEN                 headers of all that a journal stream has stored
//
// No name from outside gets here: shards are numbers, keys and snapshot names are encoded, and a space is checked.

import { type DiscardPolicy, type RetentionPolicy, type StorageType, type StreamConfig } from "@nats-io/jetstream";
import type { Shard } from "../../base/index.ts";

export type Layout = {
  readonly space: string;
  readonly store: string;
  readonly registry: string;
  journal(index: number): string;
  /** Every stream of a cluster with that many journal streams. */
  all(streams: number): readonly Partial<StreamConfig>[];
};

const nanosPerMilli = 1_000_000;
/** A repeat of an append is known as such for this long: far longer than any append is tried. */
const duplicateWindowMs = 120_000;

export function layoutOf(space: string, replicas: number): Layout {
  const common = {
    num_replicas: replicas,
    retention: "limits" as RetentionPolicy,
    discard: "new" as DiscardPolicy,
    storage: "file" as StorageType,
    allow_direct: true,
    allow_msg_ttl: true,
    duplicate_window: duplicateWindowMs * nanosPerMilli,
  };
  const journal = (index: number): string => `${space}_journal_${index}`;
  return {
    space,
    store: `${space}_store`,
    registry: `${space}_registry`,
    journal,
    all: (streams) => [
      {
        ...common,
        name: `${space}_store`,
        subjects: [`${space}.cluster`, `${space}.complete`, `${space}.snapshots.>`],
        max_msgs_per_subject: 1,
        discard: "old",
      },
      {
        ...common,
        name: `${space}_registry`,
        subjects: [`${space}.registry.*`, `${space}.told.*`],
        storage: "memory",
        max_msgs_per_subject: 1,
        discard: "old",
      },
      ...Array.from({ length: streams }, (_, index) => ({
        ...common,
        name: journal(index),
        subjects: [`${space}.journal.${index}.*`],
        republish: {
          src: `${space}.journal.${index}.*`,
          dest: `${space}.grown.${index}.{{wildcard(1)}}`,
          headers_only: true,
        },
      })),
    ],
  };
}

export type Subjects = {
  readonly mark: string;
  readonly barrier: string;
  readonly every: string;
  of(shard: Shard): string;
};

export function journalSubjects(space: string, index: number): Subjects {
  const prefix = `${space}.journal.${index}`;
  return {
    mark: `${prefix}.mark`,
    barrier: `${prefix}.barrier`,
    every: `${prefix}.*`,
    of: (shard) => `${prefix}.${shard}`,
  };
}

/** What about a stream's settings could lose what it acknowledged, or is not as it was made; in words an operator uses. */
export function unsafeSettings(found: StreamConfig, wanted: Partial<StreamConfig>): readonly string[] {
  const wrong: string[] = [];
  const need = (holds: boolean, says: string): void => void (holds || wrong.push(says));
  const limit = wanted.max_msgs_per_subject ?? -1;
  need(found.storage === wanted.storage, `storage is ${found.storage}, not ${wanted.storage}`);
  need(
    found.num_replicas >= (wanted.num_replicas ?? 1),
    `num_replicas is ${found.num_replicas}, under ${wanted.num_replicas}`,
  );
  need(found.retention === "limits", `retention is ${found.retention}, not limits`);
  need(found.discard === wanted.discard, `discard is ${found.discard}, not ${wanted.discard}`);
  need(found.max_age === 0, "max_age is set");
  need(found.max_msgs <= 0, "max_msgs is set");
  need(found.max_bytes <= 0, "max_bytes is set");
  need(found.max_msg_size === undefined || found.max_msg_size <= 0, "max_msg_size is set");
  need(found.max_msgs_per_subject === limit, `max_msgs_per_subject is ${found.max_msgs_per_subject}, not ${limit}`);
  need(found.duplicate_window >= duplicateWindowMs * nanosPerMilli, "duplicate_window is under 2 minutes");
  need(found.no_ack !== true, "no_ack is set");
  need(!found.sealed, "it is sealed");
  need(found.allow_direct, "allow_direct is off");
  need(found.allow_msg_ttl === true, "allow_msg_ttl is off");
  need(found.persist_mode === undefined || found.persist_mode === "default", `persist_mode is ${found.persist_mode}`);
  need(found.mirror === undefined && found.sources === undefined, "it copies another stream");
  need(found.subject_transform === undefined, "it changes subjects");
  need(found.subjects.join(" ") === wanted.subjects?.join(" "), "its subjects are not those it was made with");
  const { republish } = wanted;
  if (republish)
    need(
      found.republish?.src === republish.src &&
        found.republish.dest === republish.dest &&
        found.republish.headers_only === true,
      "republish is not as it was made",
    );
  return wrong;
}

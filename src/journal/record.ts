// What one journal record means (F1). The codec that turns it into bytes and back is codec.ts.

import type { Epoch, Generation, Instant, Millis, Seen, Seq, Shard, Version } from "../base/index.ts";

/** Bytes 0..31 of the SHA-256 of the previous record; all zero before the first. */
export type Hash = Uint8Array;

export type Header = {
  /** Cluster id, 32 hexadecimal digits. */
  readonly cluster: string;
  readonly shard: Shard;
  readonly generation: Generation;
  readonly epoch: Epoch;
  readonly seq: Seq;
  readonly prev: Hash;
  /** The owner's wall clock, made monotone within the shard: journal time. */
  readonly at: Instant;
};

/** The effects of one command on one entity, whole: applied entirely or not at all. */
export type Commit = {
  readonly type: string;
  readonly key: string;
  /** Version of the entity after this commit. */
  readonly version: Version;
  /** The state after this commit, msgpack (see wire); undefined when a later commit of the same record to the same key
   *  holds it (large states only). */
  readonly state: Uint8Array | undefined;
  /** Version of the state's schema. */
  readonly schema: number;
  readonly command: string;
  readonly principal: string;
  readonly events: readonly { readonly name: string; readonly value: Uint8Array }[];
  readonly op: Op | undefined;
  /** What the command leaves to be done; undefined for nothing. */
  readonly work?: Work | undefined;
};

/** A command that nobody waits for: to be carried out once. */
export type Message = {
  readonly type: string;
  readonly key: string;
  readonly command: string;
  /** msgpack; empty for none. */
  readonly input: Uint8Array;
  /** Who called when it was sent: id, then roles. */
  readonly by: readonly string[];
};

/** A command of the same entity at `due`. One that is set again under its name is replaced; without `due` it is taken back. */
export type TimerChange = {
  readonly name: string;
  readonly due?: Instant | undefined;
  readonly command: string;
  readonly input: Uint8Array;
  readonly by: readonly string[];
};

export type Work = {
  /** In the order sent, each to the shard of its entity. */
  readonly messages: readonly (Message & { readonly to: Shard })[];
  readonly timers: readonly TimerChange[];
  /** The task that the command carried out, which is over with it. */
  readonly done?: string | undefined;
};

/** What an owner notes of work that was left, beside what commands change. */
export type Note =
  /** Messages from another shard, of which the one numbered `after` came before. */
  | {
      readonly kind: "accepted";
      readonly from: Shard;
      readonly after: number;
      readonly first: number;
      readonly messages: readonly Message[];
    }
  /** That shard has accepted all messages to it up to this number. */
  | { readonly kind: "acknowledged"; readonly to: Shard; readonly through: number }
  /** A task is over that changed nothing, or was given up. Of a job that was done: what came of which attempt (msgpack; empty for nothing). */
  | {
      readonly kind: "done";
      readonly task: string;
      readonly attempts?: number | undefined;
      readonly result?: Uint8Array | undefined;
    }
  /** Jobs that a caller has added. */
  | { readonly kind: "added"; readonly messages: readonly Message[] }
  /** Jobs of that type are begun no more, or again. */
  | { readonly kind: "queue"; readonly type: string; readonly paused: boolean }
  /** Jobs that nobody had, and that are never begun. */
  | { readonly kind: "purged"; readonly tasks: readonly string[] }
  /** An attempt failed: the next one is due then; without `due` there is none, and the task is a dead letter. */
  | {
      readonly kind: "failed";
      readonly task: string;
      readonly due?: Instant | undefined;
      readonly attempts: number;
      readonly cause: string;
      /** Of a lease: the process that has the job done, where it is a node of the cluster. */
      readonly holder?: string | undefined;
    }
  /** Dead letters are tried again by themselves: the first then, each later one so long after the one before. Without `at` they are not. */
  | {
      readonly kind: "again";
      readonly tasks: readonly string[];
      readonly at?: Instant | undefined;
      readonly everyMs: Millis;
    }
  /** Events for the log of a topic, in this order; `op` for a repeat. */
  | {
      readonly kind: "published";
      readonly topic: string;
      readonly key: string;
      readonly events: readonly Published[];
      readonly op?: Op | undefined;
    }
  /** A group has been through the topic's log up to this number; what it made of the events is left with that. */
  | {
      readonly kind: "moved";
      readonly group: string;
      readonly topic: string;
      readonly through: number;
      readonly messages: readonly (Message & { readonly to: Shard })[];
    }
  /** A group rests, goes on, or is forgotten together with its place. */
  | {
      readonly kind: "group";
      readonly group: string;
      readonly topic: string;
      readonly state: "paused" | "open" | "gone";
    }
  /** A consumer of a group holds the shard from this record on; nobody does where `holder` is empty. */
  | { readonly kind: "held"; readonly group: string; readonly topic: string; readonly holder: string }
  /** The topic's events numbered below this one are no longer kept: so many bytes. */
  | { readonly kind: "trimmed"; readonly topic: string; readonly below: number; readonly bytes: number };

/** An event as a topic's log takes it. */
export type Published = {
  /** Version of the event's schema. */
  readonly schema: number;
  /** msgpack. */
  readonly value: Uint8Array;
};

/** The idempotency record of one operation (F7). */
export type Op = {
  /** Scope and key in one string: principal, target, command and the caller's key. */
  readonly id: string;
  /** Of the input; a repeat with another fingerprint is refused. 16 bytes; empty for ids that Sheaf issued. */
  readonly fingerprint: Uint8Array;
  /** When Sheaf issued the id, cluster time; undefined for a key that the user chose. */
  readonly issuedAt: Instant | undefined;
  /** Issued ids only: the client has the answers of all its operations numbered below this, so they may be forgotten. */
  readonly settled: number | undefined;
  /** Those below `settled` of which it has no answer yet. */
  readonly open?: readonly number[] | undefined;
  /** The reply, msgpack; empty for none. */
  readonly reply: Uint8Array;
};

export type Payload =
  | { readonly kind: "claim"; readonly node: string }
  | { readonly kind: "noop" }
  /** `causes`: what the writers of the commits had seen of other shards, beyond what is told by the records before. */
  | {
      readonly kind: "batch";
      readonly commits: readonly Commit[];
      readonly causes?: Seen | undefined;
      readonly notes?: readonly Note[] | undefined;
    }
  /** A command that crashed the process too often: refused until released. `id` names type, key, command and input. */
  | { readonly kind: "park"; readonly id: string; readonly reason: string; readonly parked: boolean }
  /** The journal goes on in the generation of this record: it was `was` up to the record before, the base. What was written
   *  behind the base elsewhere is lost by an operator's will, who says `why` (F8). */
  | { readonly kind: "generation"; readonly was: Generation; readonly why: string };

export type JournalRecord = { readonly header: Header; readonly payload: Payload };

/** What a decoded record is called by: its own hash, which the next one names as `prev`. */
export type Decoded = JournalRecord & { readonly hash: Hash };
export type Sealed = { readonly bytes: Uint8Array; readonly hash: Hash };

/** Turns records into bytes and back. Made once per node from the cluster id and, when data is encrypted, the key. */
export interface RecordCodec {
  encode(record: JournalRecord): Sealed;
  /** Throws CORRUPT when the checksum, the cluster, the place (shard, seq, epoch) or the encryption does not fit, and
   *  CORRUPT with a hint when the format version is newer than this build reads. */
  decode(bytes: Uint8Array, place: { shard: Shard; seq: Seq }): Decoded;
  /** What can be told of a record without the key: all but its payload. Throws CORRUPT as `decode` does. */
  envelope(bytes: Uint8Array, place: { shard: Shard; seq: Seq }): Pick<Decoded, "header" | "hash">;
}

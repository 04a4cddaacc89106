// Does a snapshot hold what the one before it and the records between them add up to? Of the records only the last change of
// each entity is kept, as a hash; entities that no record changed are compared all together, by the sum of their hashes.
// What snapshots remember of operations is not compared: what is forgotten of them depends on limits.

import { bytesEqual, type Seq, SheafError } from "../base/index.ts";
import type { Crypto } from "../host/index.ts";
import type { SnapshotName } from "../journal/index.ts";
import { type Cell, isLogRow } from "../shards/index.ts";
import { pack } from "../wire/index.ts";
import type { Followed, Walk } from "./walk.ts";

const nothing = new Uint8Array(32);

type Items = (name: SnapshotName) => AsyncIterable<readonly unknown[]>;

/** The entities that records after `after` and up to `through` have changed. */
type Span = { readonly after: Seq; readonly through: Seq; readonly changes: Map<string, Uint8Array> };

export class Agreement {
  readonly #crypto: Crypto;
  readonly #names: readonly SnapshotName[];
  #spans: Span[] = [];
  #changes = new Map<string, Uint8Array>();
  #after: Seq | undefined;

  /** `names` in the order of sequences. */
  constructor(crypto: Crypto, names: readonly SnapshotName[]) {
    this.#crypto = crypto;
    this.#names = names;
  }

  /** Told of every record, in order. */
  record({ header, payload, isVoid }: Followed): void {
    const { seq } = header;
    this.#after ??= seq - 1;
    const last = this.#names.at(-1)?.seq ?? 0;
    if (seq > last) return;
    if (!isVoid && payload?.kind === "batch")
      for (const { type, key, version, schema, state } of payload.commits)
        if (state) this.#changes.set(keyOf(type, key), this.#hash({ type, key, version, schema, state }));
    if (!this.#names.some((name) => name.seq === seq)) return;
    this.#spans.push({ after: this.#after, through: seq, changes: this.#changes });
    this.#changes = new Map();
    this.#after = seq;
  }

  /** Records before the next one are gone. */
  restart(): void {
    this.#spans = [];
    this.#changes = new Map();
    this.#after = undefined;
  }

  /** Of these snapshots, which are whole, those that disagree with what was followed. */
  async disagreements(
    whole: readonly SnapshotName[],
    { first }: Walk,
    read: Items,
  ): Promise<readonly { readonly name: SnapshotName; readonly says: string }[]> {
    const found: { name: SnapshotName; says: string }[] = [];
    for (const { after, through, changes } of this.#spans) {
      const [older, newer] = [after, through].map((seq) => whole.find((name) => name.seq === seq));
      if (!newer || (!older && !(after === 0 && first === 1))) continue;
      try {
        const says = await this.#compare(older, newer, changes, read);
        if (says !== undefined) found.push({ name: newer, says });
      } catch (error) {
        // Replaced by a newer one since it was listed.
        if (!(error instanceof SheafError) || error.code !== "NOT_FOUND") throw error;
      }
    }
    return found;
  }

  async #compare(
    older: SnapshotName | undefined,
    newer: SnapshotName,
    changes: ReadonlyMap<string, Uint8Array>,
    read: Items,
  ): Promise<string | undefined> {
    const before = older ? (await this.#sum(older, changes, read)).unchanged : nothing;
    const { unchanged, wrong, changed } = await this.#sum(newer, changes, read);
    if (wrong !== undefined) return `the entity ${wrong} in it is not as the journal left it`;
    if (changed < changes.size) return `it lacks ${changes.size - changed} entities that the journal has`;
    if (!bytesEqual(before, unchanged)) return "entities in it differ that no record since the one before has changed";
    return undefined;
  }

  async #sum(
    name: SnapshotName,
    changes: ReadonlyMap<string, Uint8Array>,
    read: Items,
  ): Promise<{ readonly unchanged: Uint8Array; readonly wrong: string | undefined; readonly changed: number }> {
    const unchanged = new Uint8Array(32);
    let wrong: string | undefined;
    let changed = 0;
    for await (const group of read(name))
      for (const item of group as readonly (readonly [string, Cell])[]) {
        // Events come and go with their numbers: each has its own checksum, and no other form to be compared with.
        if (item[0] !== "cell" || isLogRow(item[1].type)) continue;
        const hash = this.#hash(item[1]);
        const change = changes.get(keyOf(item[1].type, item[1].key));
        if (!change) for (let i = 0; i < 32; i++) unchanged[i]! ^= hash[i]!;
        else if (bytesEqual(change, hash)) changed++;
        else wrong ??= `${item[1].type}/${item[1].key}`;
      }
    return { unchanged, wrong, changed };
  }

  #hash({ type, key, version, schema, state }: Cell): Uint8Array {
    return this.#crypto.sha256(pack([type, key, version, schema, state]));
  }
}

const keyOf = (type: string, key: string): string => `${type}\n${key}`;

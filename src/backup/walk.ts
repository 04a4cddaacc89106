// Follows a journal record by record, as far as that can be done with the key that is there.

import { SheafError, type Instant, type Seq } from "../base/index.ts";
import { type Decoded, follow, type Link, noTip, type RecordCodec, type Tip } from "../journal/index.ts";
import type { Kept } from "./journal-file.ts";

/** A record that was followed; the payload only where it could be read. */
export type Followed = Pick<Decoded, "header" | "hash"> & {
  readonly payload?: Decoded["payload"] | undefined;
  readonly isVoid: boolean;
};

export class Walk {
  readonly #codec: RecordCodec;
  readonly #opens: boolean;
  /** Up to where; undefined before the first record. */
  tip: Tip | undefined;
  first: Seq | undefined;
  /** Of the last record. */
  epoch = 0;
  at: Instant = 0;
  records = 0;
  bytes = 0;
  voided = 0;
  largest = 0;

  /** `opens`: whether the codec can read payloads. */
  constructor(codec: RecordCodec, opens: boolean) {
    this.#codec = codec;
    this.#opens = opens;
  }

  get seq(): Seq {
    return this.tip?.seq ?? 0;
  }

  /** Throws CORRUPT when the record is damaged, or is not the one after the last. */
  next({ shard, seq, epoch, record }: Kept): Followed {
    const place = { shard, seq };
    const read: Link & { payload?: Decoded["payload"] } = this.#opens
      ? this.#codec.decode(record, place)
      : this.#codec.envelope(record, place);
    const { header } = read;
    if (epoch !== undefined && header.epoch !== epoch)
      throw new SheafError("CORRUPT", `record ${seq} is of epoch ${header.epoch}, and kept as one of ${epoch}`);
    const tip = this.tip ?? before(read);
    const isRaised = read.payload === undefined && header.generation > tip.generation;
    const verdict = follow(tip, isRaised ? { ...read, payload: { kind: "generation" } } : read);
    if (verdict.kind === "corrupt") throw new SheafError("CORRUPT", verdict.why);
    this.tip = verdict.tip;
    this.first ??= seq;
    this.epoch = header.epoch;
    this.records++;
    this.bytes += record.length;
    this.largest = Math.max(this.largest, record.length);
    const isVoid = verdict.kind === "void";
    if (isVoid) this.voided++;
    else this.at = header.at;
    return { ...read, isVoid };
  }
}

/** Where the chain stood before the first record that is kept: nothing is known of it but what that record says. */
function before({ header, payload }: Link): Tip {
  if (header.seq === 1) return noTip;
  const generation = payload?.kind === "generation" ? header.generation - 1 : header.generation;
  return { generation, epoch: 0, seq: header.seq - 1, hash: header.prev };
}

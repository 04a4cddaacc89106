// What one node knows of one journal stream: the head of each shard in it, and how far it knows the stream without a gap.
// Pure. It is told of stored messages only (the stream's republished headers, acknowledgements, reads), so everything in it
// is true of the journal, if not the newest.
//
// M1. A head only moves to a later position.
// M2. Every message at or below `through` has been counted in: the head of each shard is then the last one there is at
//     `through`, or a later one. Republished headers come in the order of positions, which have no gaps; one that is
//     missing stops `through` until the stream was asked again.

import type { Seq, Shard } from "../../base/index.ts";
import type { Head } from "../../journal/index.ts";
import { type Place, type Places, places } from "./places.ts";

/** The header that carries a record's generation, epoch and sequence. */
export const recordHeader = "Sheaf-Record";

/** A shard's last record and where it lies: 0 for a shard that was never written. */
export type Known = {
  readonly head: Head;
  readonly position: number;
  /** Why the shard cannot be used: something that is no record lies in its subject. */
  readonly says: string | undefined;
};

export type Mirror = {
  readonly through: number;
  known(shard: Shard): Known;
  first(shard: Shard): Seq;
  places(shard: Shard): Places;
  /** A stored message of a shard. `header` is what its record header says. Returns its head. */
  note(shard: Shard, position: number, header: string): Head | undefined;
  /** Entries below `first` are gone. */
  noteFirst(shard: Shard, first: Seq): void;
  /** The stream republished the message at `position`. */
  republished(position: number): void;
  /** The heads of all shards were noted as they are at `position`, or later. */
  settled(position: number): void;
};

type Row = { head: Head; position: number; first: Seq; readonly places: Places; says: string | undefined };

export const parseRecordHeader = (header: string): [generation: number, epoch: number, seq: number] | undefined => {
  const parts = /^(\d{1,15}) (\d{1,15}) (\d{1,15})$/.exec(header);
  return parts ? [Number(parts[1]), Number(parts[2]), Number(parts[3])] : undefined;
};

export function mirror(): Mirror {
  const rows = new Map<Shard, Row>();
  let through = 0;
  /** A run of republished positions beyond a gap. */
  let run: { readonly from: number; to: number } | undefined;

  const row = (shard: Shard): Row => {
    let found = rows.get(shard);
    if (found === undefined) {
      const head = { shard, generation: 1, epoch: 0, seq: 0 };
      rows.set(shard, (found = { head, position: 0, first: 1, places: places(), says: undefined }));
    }
    return found;
  };

  const joinRun = (): void => {
    if (run === undefined || run.from > through + 1) return;
    through = Math.max(through, run.to);
    run = undefined;
  };

  return {
    get through() {
      return through;
    },
    known(shard) {
      const { head, position, says } = row(shard);
      return { head, position, says };
    },
    first: (shard) => row(shard).first,
    places: (shard) => row(shard).places,
    note(shard, position, header) {
      const mine = row(shard);
      const parts = parseRecordHeader(header);
      if (parts === undefined) {
        mine.says = `shard ${shard}: message ${position} of its stream is not one of Sheaf's records`;
        return undefined;
      }
      const [generation, epoch, seq] = parts;
      const head = { shard, generation, epoch, seq };
      mine.places.add({ seq, position } satisfies Place);
      if (position > mine.position) {
        mine.head = head;
        mine.position = position;
      }
      return head;
    },
    noteFirst(shard, first) {
      const mine = row(shard);
      mine.first = Math.max(mine.first, first);
    },
    republished(position) {
      if (position <= through) return;
      if (position === through + 1) through = position;
      else if (run !== undefined && position === run.to + 1) run.to = position;
      else if (run === undefined || position > run.to) run = { from: position, to: position };
      joinRun();
    },
    settled(position) {
      through = Math.max(through, position);
      joinRun();
    },
  };
}

// The dice of one operation: whoever carries it out again draws the same. So what a handler made of a draw the first time, the
// key of a new entity say, is met again rather than made twice. Nobody can foretell a draw who does not know the cluster's secret.

import { type Instant, toHex } from "../base/index.ts";
import type { Dice, Host } from "../host/index.ts";
import type { Call } from "./call.ts";
import { partsOf } from "./inner.ts";

export type Draw = Pick<Dice, "random" | "id">;

/** 32 bytes that go with a label, the same on every node. */
export type Derive = (label: string) => Uint8Array;

/** For the handler of a call. An operation without an id is never carried out again by Sheaf, and one whose key a user chose is
 *  a new one when that key comes again after its window: those draw what nobody ever draws again. */
export function drawOf({ op, principal, target }: Call, { dice }: Host, derive: Derive | undefined): Draw {
  if (op?.issuedAt === undefined || derive === undefined) return dice;
  return new Draws(derive, JSON.stringify([principal.id, op.id, ...partsOf(target)]), op.issuedAt);
}

const latest = 2 ** 48 - 1;

class Draws implements Draw {
  readonly #derive: Derive;
  readonly #label: string;
  readonly #at: Instant;
  /** Counted apart, so that a handler may draw of the one more often than before and of the other the same. */
  #numbers = 0;
  #ids = 0;

  constructor(derive: Derive, label: string, at: Instant) {
    this.#derive = derive;
    this.#label = label;
    this.#at = Math.min(Math.floor(at), latest);
  }

  random(): number {
    const bytes = this.#derive(`random ${this.#numbers++} ${this.#label}`);
    return bytes.subarray(0, 6).reduce((sum, byte) => sum * 256 + byte, bytes[6]! & 31) / 2 ** 53;
  }

  /** UUIDv7 (RFC 9562), of the time at which the operation was issued. */
  id(): string {
    const bytes = this.#derive(`id ${this.#ids++} ${this.#label}`).slice(0, 16);
    bytes[6] = (bytes[6]! & 15) | 0x70;
    bytes[8] = (bytes[8]! & 63) | 0x80;
    const text = this.#at.toString(16).padStart(12, "0") + toHex(bytes.subarray(6));
    return [text.slice(0, 8), text.slice(8, 12), text.slice(12, 16), text.slice(16, 20), text.slice(20)].join("-");
  }
}

// Randomness from the operating system, drawn in blocks: one system call serves hundreds of ids.

import { randomFillSync } from "node:crypto";
import type { Clock, Dice } from "../host/index.ts";

const blockBytes = 4096;

export function realDice(clock: Pick<Clock, "now">): Dice {
  const block = Buffer.allocUnsafeSlow(blockBytes);
  let used = blockBytes;
  let lastMs = 0;
  let counter = 0;

  /** Where `length` fresh bytes begin in the block. No byte is ever used twice. */
  function draw(length: number): number {
    if (used + length > blockBytes) {
      randomFillSync(block);
      used = 0;
    }
    const at = used;
    used += length;
    return at;
  }

  return {
    random: () => {
      const at = draw(7);
      return (block.readUIntBE(at, 6) * 32 + ((block[at + 6] as number) & 31)) / 2 ** 53;
    },
    bytes(length) {
      if (length > blockBytes) return randomFillSync(new Uint8Array(length));
      const at = draw(length);
      return Uint8Array.prototype.slice.call(block, at, at + length);
    },
    // RFC 9562 §5.7 with the 12 bits after the version used as a counter (method 1 of §6.2): ids of one process never
    // go backwards, not even within a millisecond or when the clock does.
    id() {
      const at = draw(10);
      const now = clock.now();
      if (now > lastMs) {
        lastMs = now;
        counter = block.readUInt16BE(at) & 0x7ff;
      } else if (++counter > 0xfff) {
        lastMs++;
        counter = 0;
      }
      const time = lastMs.toString(16).padStart(12, "0");
      block[at + 2] = ((block[at + 2] as number) & 0x3f) | 0x80;
      const tail = block.toString("hex", at + 2, at + 10);
      const head = (0x7000 | counter).toString(16);
      return `${time.slice(0, 8)}-${time.slice(8)}-${head}-${tail.slice(0, 4)}-${tail.slice(4)}`;
    },
  };
}

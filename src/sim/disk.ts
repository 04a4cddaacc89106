// A node's folder of small files in memory. It outlives the node: what a crash or a power loss leaves is what a real
// machine would leave.

import type { Disk } from "../host/index.ts";

export interface SimDisk extends Disk {
  /** The machine lost power: a note not yet written through is gone, and what was there before it is back. */
  losePower(): void;
  /** Changes one bit of one file; false when the folder holds no such file. */
  flipBit(name: string, bit: number): boolean;
  names(): readonly string[];
}

export function memoryDisk(): SimDisk {
  const synced = new Map<string, Uint8Array>();
  const noted = new Map<string, Uint8Array>();
  return {
    read: (name) => (noted.get(name) ?? synced.get(name))?.slice(),
    write(name, bytes) {
      noted.delete(name);
      synced.set(name, bytes.slice());
    },
    note: (name, bytes) => void noted.set(name, bytes.slice()),
    losePower: () => noted.clear(),
    flipBit(name, bit) {
      const bytes = noted.get(name) ?? synced.get(name);
      const at = bit >> 3;
      if (bytes === undefined || at >= bytes.length) return false;
      bytes[at] = (bytes[at] as number) ^ (1 << (bit & 7));
      return true;
    },
    names: () => [...new Set([...synced.keys(), ...noted.keys()])].sort(),
  };
}

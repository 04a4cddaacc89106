// Seeded randomness. The generator is sfc32 by Chris Doty-Humphrey (PractRand, public domain): 128 bits of state, passes
// PractRand and BigCrush, a few nanoseconds a draw. The seed is spread by SplitMix32 so that neighbouring seeds differ.

import { hash32 } from "../base/index.ts";

export interface Random {
  /** 32 uniform bits. */
  bits(): number;
  /** Uniform in [0, 1). */
  float(): number;
  /** Uniform whole number in [0, count). */
  below(count: number): number;
  /** Uniform in [low, high). */
  between(low: number, high: number): number;
  chance(probability: number): boolean;
  pick<T>(items: readonly T[]): T;
  bytes(length: number): Uint8Array;
  /** An independent stream: drawing from it does not disturb this one. */
  fork(label: string): Random;
}

export function seeded(seed: number): Random {
  let spread = seed >>> 0;
  const word = (): number => {
    spread = (spread + 0x9e3779b9) | 0;
    let t = spread ^ (spread >>> 16);
    t = Math.imul(t, 0x21f0aaad);
    t ^= t >>> 15;
    t = Math.imul(t, 0x735a2d97);
    return t ^ (t >>> 15);
  };
  let a = word();
  let b = word();
  let c = word();
  let counter = 1;
  const bits = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    c |= 0;
    return sum >>> 0;
  };
  for (let i = 0; i < 12; i++) bits();
  const float = (): number => bits() / 4294967296;
  const below = (count: number): number => Math.floor(float() * count);
  return {
    bits,
    float,
    below,
    between: (low, high) => low + float() * (high - low),
    chance: (probability) => float() < probability,
    pick<T>(items: readonly T[]): T {
      if (items.length === 0) throw new Error("cannot pick from nothing");
      return items[below(items.length)] as T;
    },
    bytes(length) {
      const out = new Uint8Array(length);
      for (let i = 0; i < length; i++) out[i] = bits() & 255;
      return out;
    },
    fork: (label) => seeded(hash32(label, bits())),
  };
}

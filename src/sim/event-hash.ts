// A running fingerprint of everything that happened in a world, in order. Two runs of one seed that differ in their
// fingerprint differ in behaviour: something leaked in that is not seeded.

export interface EventHash {
  text(text: string): void;
  number(value: number): void;
  bytes(bytes: Uint8Array): void;
  /** 16 hexadecimal digits. */
  digest(): string;
}

const floats = new Float64Array(1);
const words = new Uint32Array(floats.buffer);

/** Two lanes of a multiply-xor mix (after cyrb53 by bryc, public domain). Not for adversaries. */
export function eventHash(): EventHash {
  let high = 0xdeadbeef;
  let low = 0x41c6ce57;
  const mix = (value: number): void => {
    high = Math.imul(high ^ value, 0x9e3779b1);
    high ^= high >>> 15;
    low = Math.imul(low ^ value, 0x5f356495);
    low ^= low >>> 13;
  };
  const hex = (value: number): string => (value >>> 0).toString(16).padStart(8, "0");
  return {
    text(text) {
      mix(text.length);
      for (let i = 0; i < text.length; i++) mix(text.charCodeAt(i));
    },
    number(value) {
      floats[0] = value;
      mix(words[0] as number);
      mix(words[1] as number);
    },
    bytes(bytes) {
      mix(bytes.length);
      for (const byte of bytes) mix(byte);
    },
    digest: () => hex(high) + hex(low),
  };
}

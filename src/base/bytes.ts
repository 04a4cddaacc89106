// Small functions on byte arrays that work in a browser too.

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export const utf8 = (text: string): Uint8Array<ArrayBuffer> => encoder.encode(text);
export const fromUtf8 = (bytes: Uint8Array): string => decoder.decode(bytes);

export function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Cuts small arrays out of blocks of `blockBytes`: an array buffer of its own costs a small array several times what copying
 *  its bytes does. Keeping one array keeps its block. Larger arrays are made apart. */
export function blocks(blockBytes: number): (length: number) => Uint8Array<ArrayBuffer> {
  let block = new Uint8Array(0);
  let at = 0;
  return (length) => {
    if (length * 4 > blockBytes) return new Uint8Array(length);
    if (at + length > block.length) {
      block = new Uint8Array(blockBytes);
      at = 0;
    }
    return block.subarray(at, (at += length));
  };
}

export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

export function fromHex(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length >> 1);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(i * 2, i * 2 + 2), 16);
  return bytes;
}

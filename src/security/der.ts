// Writes DER (ITU-T X.690), the byte format of certificates: as much of it as certificates need. Nothing here reads it;
// what others send is read by OpenSSL alone.

import { concat, type Instant, utf8 } from "../base/index.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const pad = (value: number): string => String(value).padStart(2, "0");

/** One value: tag, length in the shortest form, content. */
export function der(tag: number, ...content: readonly Uint8Array[]): Bytes {
  const body = concat(content);
  const length: number[] = [];
  for (let rest = body.length; rest > 0; rest = Math.floor(rest / 256)) length.unshift(rest % 256);
  const head = body.length < 0x80 ? [tag, body.length] : [tag, 0x80 | length.length, ...length];
  return concat([Uint8Array.from(head), body]);
}

export const sequence = (...items: readonly Uint8Array[]): Bytes => der(0x30, ...items);
export const octets = (content: Uint8Array): Bytes => der(0x04, content);
export const yes: Bytes = der(0x01, Uint8Array.of(0xff));

/** A whole number from its bytes, highest first: never negative, in the shortest form. */
export function integer(bytes: Uint8Array): Bytes {
  let from = 0;
  while (from < bytes.length - 1 && bytes[from] === 0) from++;
  const digits = bytes.subarray(from);
  return (digits[0] ?? 0) >= 0x80 ? der(0x02, Uint8Array.of(0), digits) : der(0x02, digits);
}

/** A string of bits of which the last `unused` do not count. */
export const bits = (content: Uint8Array, unused = 0): Bytes => der(0x03, Uint8Array.of(unused), content);

/** An object identifier, written with dots. */
export function identifier(dotted: string): Bytes {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes = [first * 40 + second, ...rest].flatMap((arc) => {
    const digits = [arc % 128];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) digits.unshift(0x80 | (left % 128));
    return digits;
  });
  return der(0x06, Uint8Array.from(bytes));
}

export const text = (value: string): Bytes => der(0x0c, utf8(value));

/** A point in time to the second: two digits of the year until 2049, four from then on (RFC 5280 §4.1.2.5). */
export function time(at: Instant): Bytes {
  const date = new Date(at);
  const year = date.getUTCFullYear();
  const rest = [date.getUTCMonth() + 1, date.getUTCDate(), date.getUTCHours(), date.getUTCMinutes()];
  const digits = `${rest.map(pad).join("")}${pad(date.getUTCSeconds())}Z`;
  return year < 2050 ? der(0x17, utf8(pad(year % 100) + digits)) : der(0x18, utf8(year + digits));
}

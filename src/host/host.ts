// The outside world as a few small interfaces. A host is passed in, never global: the real one lives in `platform`,
// the simulated one in `sim`. Floors 0 to 9 reach the world only through these.

import type { Instant, Millis, Tick } from "../base/index.ts";

export interface Timer {
  /** Does nothing once the timer has fired. */
  cancel(): void;
}

export interface Clock {
  /** Wall-clock time. May jump in either direction: never used for safety. */
  now(): Instant;
  /** This process's monotonic clock. Deadlines and timeouts are measured on it. */
  tick(): Tick;
  /** Runs `fn` once after at least `ms`. */
  after(ms: Millis, fn: () => void): Timer;
  /** Runs `fn` once, after the I/O callbacks that are ready now: where work of one turn is gathered into one batch. */
  turn(fn: () => void): void;
}

export interface Dice {
  /** Uniform in [0, 1). */
  random(): number;
  bytes(length: number): Uint8Array;
  /** A new UUIDv7 (RFC 9562), lower case with dashes: sortable by creation time. */
  id(): string;
}

/** Synchronous because callers are on hot paths with small inputs. */
export interface Crypto {
  sha256(data: Uint8Array): Uint8Array;
  hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array;
  /** AES-256-GCM: 12-byte random nonce, ciphertext, 16-byte tag, in that order. `key` is 32 bytes. */
  seal(key: Uint8Array, plain: Uint8Array, aad: Uint8Array): Uint8Array;
  /** The plaintext, or undefined when the key, the bytes or the associated data are not what was sealed. */
  open(key: Uint8Array, sealed: Uint8Array, aad: Uint8Array): Uint8Array | undefined;
  /** Compares in time that does not depend on where two equally long arrays differ. */
  equal(a: Uint8Array, b: Uint8Array): boolean;
}

/** zstd. */
export interface Compress {
  compress(data: Uint8Array): Uint8Array;
  /** Throws when the result would be over `maxBytes`, or the input is not zstd. */
  decompress(data: Uint8Array, maxBytes: number): Uint8Array;
}

/** A node's own folder of small files. Names are plain file names, never paths. */
export interface Disk {
  read(name: string): Uint8Array | undefined;
  /** Replaces the file atomically and syncs it. */
  write(name: string, bytes: Uint8Array): void;
  /** Overwrites the file at once without syncing: survives a killed process, not a lost machine. Cheap (microseconds). */
  note(name: string, bytes: Uint8Array): void;
}

export type Fields = { readonly [name: string]: unknown };

export interface Log {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
}

export interface Counter {
  add(amount?: number): void;
}
export interface Gauge {
  set(value: number): void;
}
export interface Histogram {
  record(value: number): void;
}
/** Names follow `sheaf_<area>_<what>_<unit>`, base units (seconds, bytes). Labels are bounded: never an entity key. */
export interface Meter {
  counter(name: string, help: string, labels?: Readonly<Record<string, string>>): Counter;
  gauge(name: string, help: string, labels?: Readonly<Record<string, string>>): Gauge;
  histogram(name: string, help: string, labels?: Readonly<Record<string, string>>): Histogram;
}

/** Planted defects, for tests that prove that the suite would notice. The real host plants none. */
export interface Faults {
  mutant(name: string): boolean;
}

export interface Host {
  readonly clock: Clock;
  readonly dice: Dice;
  readonly crypto: Crypto;
  readonly compress: Compress;
  readonly disk: Disk;
  readonly log: Log;
  readonly meter: Meter;
  readonly faults: Faults;
}

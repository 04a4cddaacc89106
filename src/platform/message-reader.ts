// Cuts a stream of bytes into messages. Each is behind its length, four bytes, highest first; the highest bit marks a
// control message, which is between the two ends of a connection and never reaches a session.
//
// R1. What is held of an unfinished message is at most twice what came of it, whatever length it claims.

const controlBit = 0x8000_0000;
const headBytes = 4;
const firstBytes = 4096;
const nothing = Buffer.alloc(0);
export const maxControlBytes = 16 * 1024;

/** The four bytes before a message of this many bytes. */
export function messageHead(length: number, control: boolean): Buffer {
  const head = Buffer.allocUnsafe(headBytes);
  head.writeUInt32BE((control ? length | controlBit : length) >>> 0);
  return head;
}

/** What came is not messages of this protocol. */
export class MalformedMessage extends Error {}

export type MessageReaderOptions = {
  readonly maxBytes: number;
  readonly on: (bytes: Buffer, control: boolean) => void;
};

/** Hands over each message as soon as it is whole. A message shares its memory with the chunk it came in. */
export class MessageReader {
  readonly #options: MessageReaderOptions;
  #paused = false;
  /** Came while paused. */
  #waiting: Buffer | undefined;
  #head = Buffer.alloc(headBytes);
  #headFilled = 0;
  #isControl = false;
  /** Length of the message that is being read; undefined while its head is. */
  #length: number | undefined;
  #part: Buffer = nothing;
  #filled = 0;

  constructor(options: MessageReaderOptions) {
    this.#options = options;
  }

  /** Bytes held of messages that are not whole yet, or that wait for `resume`. */
  get heldBytes(): number {
    return this.#part.length + (this.#waiting?.length ?? 0);
  }

  pause(): void {
    this.#paused = true;
  }

  /** Goes on with what came meanwhile. Throws MalformedMessage as `feed` does. */
  resume(): void {
    this.#paused = false;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) this.feed(waiting);
  }

  /** Takes what came next. Throws MalformedMessage when a message is over its limit. */
  feed(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#paused) {
        const rest = chunk.subarray(at);
        this.#waiting = this.#waiting === undefined ? rest : Buffer.concat([this.#waiting, rest]);
        return;
      }
      if (this.#length === undefined) at = this.#readHead(chunk, at);
      if (this.#length !== undefined) at = this.#readBody(chunk, at, this.#length);
    }
  }

  #readHead(chunk: Buffer, from: number): number {
    if (this.#headFilled === 0 && chunk.length - from >= headBytes) {
      this.#begin(chunk.readUInt32BE(from));
      return from + headBytes;
    }
    let at = from;
    while (this.#headFilled < headBytes && at < chunk.length) this.#head[this.#headFilled++] = chunk[at++] as number;
    if (this.#headFilled === headBytes) {
      this.#headFilled = 0;
      this.#begin(this.#head.readUInt32BE());
    }
    return at;
  }

  #begin(word: number): void {
    this.#isControl = word >= controlBit;
    const length = this.#isControl ? word - controlBit : word;
    const most = this.#isControl ? maxControlBytes : this.#options.maxBytes;
    if (length > most) throw new MalformedMessage(`a message of ${length} bytes is over the limit of ${most}`);
    this.#length = length;
  }

  #readBody(chunk: Buffer, at: number, length: number): number {
    if (this.#filled === 0 && chunk.length - at >= length)
      return this.#whole(chunk.subarray(at, at + length), at + length);
    const end = Math.min(chunk.length, at + length - this.#filled);
    this.#makeRoom(this.#filled + end - at, length);
    chunk.copy(this.#part, this.#filled, at, end);
    this.#filled += end - at;
    return this.#filled === length ? this.#whole(this.#part.subarray(0, length), end) : end;
  }

  #makeRoom(needed: number, length: number): void {
    if (this.#part.length >= needed) return;
    const larger = Buffer.allocUnsafeSlow(Math.min(length, Math.max(firstBytes, 2 * needed)));
    this.#part.copy(larger, 0, 0, this.#filled);
    this.#part = larger;
  }

  #whole(message: Buffer, next: number): number {
    this.#length = undefined;
    this.#filled = 0;
    this.#part = nothing;
    this.#options.on(message, this.#isControl);
    return next;
  }
}

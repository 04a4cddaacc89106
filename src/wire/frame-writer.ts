// Gathers the frames of one turn into one message. CALL and REPLY, which are nearly all traffic, are written field by
// field around an input or output that was packed when it was handed over: later changes to it are not seen, and a
// repeated call sends the same bytes. Other frames come packed.

import { frameKind } from "./frame.ts";
import { pack } from "./pack.ts";

export type CallFields = {
  /** Place in `targetKinds`. */
  readonly kind: number;
  readonly type: string;
  readonly key: string | undefined;
  readonly name: string;
  /** Packed; undefined for none. */
  readonly input: Uint8Array | undefined;
  readonly op: number | string | undefined;
  readonly issuedAt: number | undefined;
  /** Place in `consistencies`. */
  readonly consistency: number | undefined;
  readonly ifVersion: number | undefined;
  readonly trace: string | undefined;
  readonly session: string | undefined;
  /** Packed; what one node tells another of a call that it passes on. */
  readonly relay?: Uint8Array | undefined;
};

const HEADER = 5;
/** Most connections carry little at a time, and there are thousands. */
const FIRST_BYTES = 1024;
const NIL = 0xc0;

export class MessageWriter {
  /** Frames since the last `take`. */
  frames = 0;
  #bytes = new Uint8Array(FIRST_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #at = HEADER;

  /** Bytes that `take` would give. */
  get length(): number {
    return this.#at;
  }

  /** The message; the writer is empty again. */
  take(): Uint8Array<ArrayBuffer> {
    this.#bytes[0] = 0xdd;
    this.#view.setUint32(1, this.frames);
    const message = this.#bytes.slice(0, this.#at);
    // One large frame must not keep its buffer for the life of the connection.
    if (this.#bytes.length > 1024 * 1024) this.#grow(FIRST_BYTES, 0);
    this.frames = 0;
    this.#at = HEADER;
    return message;
  }

  /** A frame that is packed already. */
  packed(frame: Uint8Array): void {
    this.#reserve(frame.length);
    this.#raw(frame);
    this.frames++;
  }

  call(id: number, deadlineMs: number, call: CallFields): void {
    const tail = lastPresent(call);
    this.#reserve(callBound(call));
    this.#byte(0x90 | (8 + tail));
    this.#byte(frameKind.call);
    this.#number(id);
    this.#byte(call.kind);
    this.#text(call.type);
    this.#text(call.key);
    this.#text(call.name);
    this.#boxed(call.input);
    this.#number(deadlineMs);
    if (tail > 0 && typeof call.op === "string") this.#text(call.op);
    else if (tail > 0) this.#number(call.op as number | undefined);
    if (tail > 1) this.#number(call.issuedAt);
    if (tail > 2) this.#number(call.consistency);
    if (tail > 3) this.#number(call.ifVersion);
    if (tail > 4) this.#text(call.trace);
    if (tail > 5) this.#text(call.session);
    if (call.relay !== undefined) this.#raw(call.relay);
    this.frames++;
  }

  reply(
    id: number,
    output: Uint8Array | undefined,
    version?: number,
    staleMs?: number,
    replayed?: boolean,
    session?: string,
  ): void {
    const tail =
      session !== undefined ? 4 : replayed === true ? 3 : staleMs !== undefined ? 2 : version !== undefined ? 1 : 0;
    this.#reserve(64 + (output?.length ?? 0) + 3 * (session?.length ?? 0));
    this.#byte(0x90 | (3 + tail));
    this.#byte(frameKind.reply);
    this.#number(id);
    this.#boxed(output);
    if (tail > 0) this.#number(version);
    if (tail > 1) this.#number(staleMs);
    if (tail > 2) this.#byte(replayed === true ? 0xc3 : 0xc2);
    if (tail > 3) this.#text(session);
    this.frames++;
  }

  #boxed(packed: Uint8Array | undefined): void {
    if (packed === undefined) return this.#byte(0x90);
    this.#byte(0x91);
    this.#raw(packed);
  }

  #byte(value: number): void {
    this.#bytes[this.#at++] = value;
  }

  #raw(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #number(value: number | undefined): void {
    const bytes = this.#bytes;
    if (value === undefined) {
      bytes[this.#at++] = NIL;
    } else if (value < 0x80 && value >= 0 && (value | 0) === value) {
      bytes[this.#at++] = value;
    } else if (value >>> 0 === value) {
      bytes[this.#at] = 0xce;
      this.#view.setUint32(this.#at + 1, value);
      this.#at += 5;
    } else {
      bytes[this.#at] = 0xcb;
      this.#view.setFloat64(this.#at + 1, value);
      this.#at += 9;
    }
  }

  #text(text: string | undefined): void {
    if (text === undefined) return this.#byte(NIL);
    const bytes = this.#bytes;
    const length = text.length;
    if (length > 255) return this.#raw(pack(text));
    const from = this.#at + (length > 31 ? 2 : 1);
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) return this.#raw(pack(text));
      bytes[from + i] = code;
    }
    if (length > 31) {
      bytes[this.#at] = 0xd9;
      bytes[this.#at + 1] = length;
    } else {
      bytes[this.#at] = 0xa0 | length;
    }
    this.#at = from + length;
  }

  #reserve(more: number): void {
    const need = this.#at + more;
    if (need > this.#bytes.length) this.#grow(Math.max(need, this.#bytes.length * 2), this.#at);
  }

  #grow(capacity: number, keep: number): void {
    const old = this.#bytes;
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
    this.#bytes.set(old.subarray(0, keep));
  }
}

/** How many of the seven optional fields must be written, up to the last one present. */
function lastPresent(call: CallFields): number {
  if (call.relay !== undefined) return 7;
  if (call.session !== undefined) return 6;
  if (call.trace !== undefined) return 5;
  if (call.ifVersion !== undefined) return 4;
  if (call.consistency !== undefined) return 3;
  if (call.issuedAt !== undefined) return 2;
  return call.op === undefined ? 0 : 1;
}

/** Bytes that the frame of this call takes at most: UTF-8 needs up to three per UTF-16 unit. */
export function callBound(call: CallFields): number {
  const texts =
    call.type.length +
    call.name.length +
    (call.key?.length ?? 0) +
    (typeof call.op === "string" ? call.op.length : 0) +
    (call.trace?.length ?? 0) +
    (call.session?.length ?? 0);
  return 96 + texts * 3 + (call.input?.length ?? 0) + (call.relay?.length ?? 0);
}

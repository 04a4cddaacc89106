// A snapshot as a stream of frames, and back. Each frame ends in a SHA-256 of itself and carries the one of the frame
// before it, so a frame that was bent, left out, repeated, swapped or taken from another snapshot is noticed; the last
// frame counts the items, so a cut one is too. Format 1, numbers big-endian:
//
//   0  u8  format version     1  u8  flags, as in codec.ts     2  u8  kind: 1 name, 2 items, 3 end
//   3  u32 frame number       7  u32 key id                   11  u32 bytes of the body
//  15  32  hash of the frame before, zeros before the first    47  body   −32  32  SHA-256 of everything before
//
// Everything before the body is associated data when sealed. The first frame stays readable without a key: it holds the
// name. Body of `items`: a msgpack array; of `end`: the number of items.

import { bytesEqual, SheafError } from "../base/index.ts";
import type { Faults } from "../host/index.ts";
import { pack, unpack } from "../wire/index.ts";
import type { SnapshotName } from "./engine.ts";
import { corrupt, HASH_BYTES, keyId, seal, sha256, squeeze, type Sealing, unseal } from "./sealing.ts";
import { FrameInput } from "./snapshot-input.ts";

export const SNAPSHOT_FORMAT = 1;

export type SnapshotOptions = Sealing & {
  /** Cluster id, 32 hexadecimal digits. */
  readonly cluster: string;
  readonly faults?: Faults | undefined;
};

const NAME = 1;
const ITEMS = 2;
const END = 3;
type Kind = typeof NAME | typeof ITEMS | typeof END;

const HEAD_BYTES = 47;
/** Items gather until a frame holds about this much. */
const FRAME_BYTES = 1024 * 1024;
/** No frame is larger: one item is at most a state and its envelope. */
const MAX_BODY_BYTES = 16 * 1024 * 1024;

/** The snapshot `name` of `items`, as chunks of about 1 MiB to put. Items are plain msgpack values; how they come in
 *  groups does not matter. Rejects TOO_LARGE for an item of 16 MiB or more. */
export async function* encodeSnapshot(
  options: SnapshotOptions,
  name: SnapshotName,
  items: AsyncIterable<readonly unknown[]> | Iterable<readonly unknown[]>,
): AsyncGenerator<Uint8Array> {
  const writer = new FrameWriter(options);
  yield writer.frame(NAME, pack(nameToValue(options.cluster, name)));
  let gathered: Uint8Array[] = [];
  let bytes = 0;
  let total = 0;
  for await (const group of items)
    for (const item of group) {
      const packed = pack(item);
      if (bytes + packed.length > FRAME_BYTES && gathered.length > 0) {
        yield writer.frame(ITEMS, arrayOf(gathered, bytes));
        gathered = [];
        bytes = 0;
      }
      gathered.push(packed);
      bytes += packed.length;
      total++;
    }
  if (gathered.length > 0) yield writer.frame(ITEMS, arrayOf(gathered, bytes));
  yield writer.frame(END, pack(total));
}

/** The items of a snapshot, in the order they were encoded, in groups. Chunks may be cut anywhere. Throws CORRUPT when
 *  anything about it is wrong, WRONG_KEY as records do. What was yielded counts only once the iteration has ended without
 *  an error: that a snapshot is cut short shows at its end. */
export async function* decodeSnapshot(
  options: SnapshotOptions,
  name: SnapshotName,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<readonly unknown[]> {
  const input = new FrameInput(chunks);
  try {
    yield* readFrames(new FrameReader(options), input, pack(nameToValue(options.cluster, name)));
  } finally {
    await input.close();
  }
}

/** Follows the frames of a snapshot as far as that can be done without the key: checksums, order, name and end, but not
 *  what is in it. Throws CORRUPT when anything about it is wrong. The hash of the last frame names all that is before it. */
export async function checkSnapshot(
  options: Pick<SnapshotOptions, "cluster" | "crypto" | "compress">,
  name: SnapshotName,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<{ readonly bytes: number; readonly hash: Uint8Array }> {
  const input = new FrameInput(chunks);
  const reader = new FrameReader({ ...options, key: undefined });
  let bytes = 0;
  let hash: Uint8Array = new Uint8Array(HASH_BYTES);
  try {
    for (let kind = 0, number = 0; kind !== END; number++) {
      const frame = await reader.check(input);
      kind = frame.bytes[2]!;
      bytes += frame.bytes.length;
      hash = frame.bytes.slice(-HASH_BYTES);
      if (number === 0 && (kind !== NAME || !bytesEqual(reader.open(frame), pack(nameToValue(options.cluster, name)))))
        throw corrupt("the snapshot is another one than its name says");
      if (number > 0 && kind !== ITEMS && kind !== END) throw corrupt("the snapshot's frames are out of order");
    }
    if (!(await input.ended())) throw corrupt("the snapshot goes on behind its end");
    return { bytes, hash };
  } finally {
    await input.close();
  }
}

async function* readFrames(
  reader: FrameReader,
  input: FrameInput,
  name: Uint8Array,
): AsyncGenerator<readonly unknown[]> {
  const first = await reader.next(input);
  if (first.kind !== NAME || !bytesEqual(first.body, name))
    throw corrupt("the snapshot is another one than its name says");
  let total = 0;
  for (;;) {
    const { kind, body } = await reader.next(input);
    const value = readPlain(body);
    if (kind === ITEMS && Array.isArray(value)) {
      total += value.length;
      yield value;
    } else if (kind === END) {
      if (value !== total) throw corrupt(`the snapshot holds ${total} items and says ${String(value)}`);
      if (!(await input.ended())) throw corrupt("the snapshot goes on behind its end");
      return;
    } else throw corrupt("the snapshot's frames are out of order");
  }
}

const nameToValue = (cluster: string, n: SnapshotName): unknown => [
  cluster,
  n.shard,
  n.generation,
  n.epoch,
  n.seq,
  n.hash,
];

/** Packed values as one packed array of them. */
function arrayOf(packed: readonly Uint8Array[], bytes: number): Uint8Array {
  const whole = new Uint8Array(5 + bytes);
  whole[0] = 0xdd;
  new DataView(whole.buffer).setUint32(1, packed.length);
  let at = 5;
  for (const one of packed) {
    whole.set(one, at);
    at += one.length;
  }
  return whole;
}

function readPlain(body: Uint8Array): unknown {
  try {
    return unpack(body);
  } catch (cause) {
    throw new SheafError("CORRUPT", "the snapshot holds a frame that cannot be read", { cause });
  }
}

/** Writes frames one after the other, each naming the hash of the one before. */
class FrameWriter {
  readonly #options: SnapshotOptions;
  #number = 0;
  #before: Uint8Array = new Uint8Array(HASH_BYTES);

  constructor(options: SnapshotOptions) {
    this.#options = options;
  }

  frame(kind: Kind, plain: Uint8Array): Uint8Array {
    if (plain.length > MAX_BODY_BYTES)
      throw new SheafError("TOO_LARGE", `one item of a snapshot is over ${MAX_BODY_BYTES} bytes`);
    const sealing: Sealing = kind === NAME ? { ...this.#options, key: undefined } : this.#options;
    const { body, flags } = squeeze(sealing, plain);
    const head = new Uint8Array(HEAD_BYTES);
    const view = new DataView(head.buffer);
    head.set([SNAPSHOT_FORMAT, flags, kind]);
    view.setUint32(3, this.#number++);
    view.setUint32(7, keyId(sealing));
    // AES-GCM adds a nonce and a tag; the length is part of what it authenticates, so it is known before.
    const length = body.length + (sealing.key === undefined ? 0 : SEAL_BYTES);
    view.setUint32(11, length);
    head.set(this.#before, 15);
    const frame = new Uint8Array(HEAD_BYTES + length + HASH_BYTES);
    frame.set(head);
    frame.set(seal(sealing, body, head), HEAD_BYTES);
    this.#before = sha256(this.#options.crypto, frame.subarray(0, HEAD_BYTES + length));
    frame.set(this.#before, HEAD_BYTES + length);
    return frame;
  }
}

/** What `Crypto.seal` adds. */
const SEAL_BYTES = 28;

type Frame = { readonly bytes: Uint8Array; readonly keyId: number; readonly where: string };

/** Reads and checks what FrameWriter wrote. */
class FrameReader {
  readonly #options: SnapshotOptions;
  readonly #skipsChecksums: boolean;
  #number = 0;
  #before: Uint8Array = new Uint8Array(HASH_BYTES);

  constructor(options: SnapshotOptions) {
    this.#options = options;
    this.#skipsChecksums = options.faults?.mutant("M8") === true;
  }

  async next(input: FrameInput): Promise<{ kind: number; body: Uint8Array }> {
    const frame = await this.check(input);
    return { kind: frame.bytes[2]!, body: this.open(frame) };
  }

  /** The next frame, once its checksum and its place among the others are right. */
  async check(input: FrameInput): Promise<Frame> {
    const head = await input.take(HEAD_BYTES);
    const view = new DataView(head.buffer, head.byteOffset, HEAD_BYTES);
    const length = view.getUint32(11);
    const where = `frame ${this.#number} of the snapshot`;
    if (length > MAX_BODY_BYTES + SEAL_BYTES) throw corrupt(`${where} says it is ${length} bytes long`);
    const frame = await input.take(length + HASH_BYTES, head);
    const end = HEAD_BYTES + length;
    const hash = frame.slice(end);
    if (!this.#skipsChecksums) {
      if (!bytesEqual(sha256(this.#options.crypto, frame.subarray(0, end)), hash))
        throw corrupt(`${where} fails its checksum`);
      if (frame[0] !== SNAPSHOT_FORMAT)
        throw corrupt(
          `${where} has format version ${frame[0]}`,
          `A newer Sheaf wrote it: this build reads formats up to ${SNAPSHOT_FORMAT}. Run the newer version.`,
        );
      if (view.getUint32(3) !== this.#number || !bytesEqual(frame.subarray(15, HEAD_BYTES), this.#before))
        throw corrupt(`${where} does not belong behind the one before it`);
    }
    this.#number++;
    this.#before = hash;
    return { bytes: frame, keyId: view.getUint32(7), where };
  }

  /** The body of a frame that was checked. */
  open({ bytes, keyId: id, where }: Frame): Uint8Array {
    return unseal(bytes[2] === NAME ? { ...this.#options, key: undefined } : this.#options, {
      body: bytes.subarray(HEAD_BYTES, bytes.length - HASH_BYTES),
      flags: bytes[1]!,
      keyId: id,
      aad: bytes.subarray(0, HEAD_BYTES),
      maxBytes: MAX_BODY_BYTES,
      what: where,
    });
  }
}

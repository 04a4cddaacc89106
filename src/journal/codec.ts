// A journal record as bytes. Formats 1 and 2, numbers big-endian:
//
//    0  u8   format version
//    1  u8   flags: 1 compressed (zstd), 2 encrypted (AES-256-GCM; everything before the body is associated data)
//    2  16   cluster id           18  u32  shard          22  u32  generation
//   26  u64  epoch                34  u64  sequence       42  32   hash of the previous record
//   74  f64  journal time         82  u32  key id         86       body: the payload, msgpack
//  −32  32   SHA-256 of everything before: the checksum, and the name the next record calls this one by
//
// Format 2 says what writers had seen, format 3 what commands left to be done; a record that does not is written as an earlier
// one. Every later format keeps the first byte and the last 32, so that an older build can tell "newer" from "broken".

import {
  blocks,
  bytesEqual,
  defaultLimits,
  fromHex,
  mostRecordBytes,
  type Shard,
  type Seq,
  SheafError,
  toHex,
} from "../base/index.ts";
import { packedBy, unpack } from "../wire/index.ts";
import { formatOf, payloadFromValue, putPayload } from "./payload.ts";
import type { Decoded, JournalRecord, RecordCodec, Sealed } from "./record.ts";
import { corrupt, HASH_BYTES, keyId, seal, sealedBytes, sha256, squeeze, type Sealing, unseal } from "./sealing.ts";

export const RECORD_FORMAT = 3;

const ENVELOPE_BYTES = 86;
const LEAST_BYTES = ENVELOPE_BYTES + HASH_BYTES;

export type CodecOptions = Sealing & {
  /** Cluster id, 32 hexadecimal digits. */
  readonly cluster: string;
  /** A larger record is refused with TOO_LARGE when encoded, and never decompressed to. */
  readonly maxRecordBytes?: number | undefined;
};

/** Encodes and decodes records of one cluster. Besides what `RecordCodec` says: `decode` throws WRONG_KEY for a record
 *  encrypted with another key or read without one; binary fields of a decoded record may look into `bytes`. */
export function recordCodec(options: CodecOptions): RecordCodec {
  const cluster = fromHex(options.cluster);
  if (cluster.length !== 16 || toHex(cluster) !== options.cluster)
    throw new SheafError("USAGE", "a cluster id has 32 hexadecimal digits");
  const codec: Codec = {
    ...options,
    clusterId: cluster,
    maxBytes: options.maxRecordBytes ?? defaultLimits.maxRecordBytes,
  };
  return {
    encode: (record) => encode(codec, record),
    decode: (bytes, place) => decode(codec, bytes, place),
    envelope: (bytes, place) => openEnvelope(codec, bytes, place),
  };
}

const envelopeBytes = new Uint8Array(ENVELOPE_BYTES);
/** Written in one place and copied: making a view for each record costs more. */
const envelope = { bytes: envelopeBytes, view: new DataView(envelopeBytes.buffer) };

type Codec = CodecOptions & { readonly clusterId: Uint8Array; readonly maxBytes: number };

// A record is kept until the engine has taken it: those of a few flushes share a block.
const room = blocks(64 * 1024);

function encode(codec: Codec, record: JournalRecord): Sealed {
  return packedBy(
    (put) => putPayload(put, record.payload),
    (plain) => sealed(codec, record, plain),
  );
}

function sealed(codec: Codec, record: JournalRecord, plain: Uint8Array): Sealed {
  if (plain.length > codec.maxBytes)
    throw new SheafError("TOO_LARGE", `a record's payload is over ${codec.maxBytes} bytes`);
  const { body, flags } = squeeze(codec, plain);
  const length = LEAST_BYTES + sealedBytes(codec, body);
  if (length > codec.maxBytes) throw new SheafError("TOO_LARGE", `a record is over ${codec.maxBytes} bytes`);
  const bytes = room(length);
  writeEnvelope(bytes, codec, record, flags);
  bytes.set(seal(codec, body, bytes.subarray(0, ENVELOPE_BYTES)), ENVELOPE_BYTES);
  const hash = sha256(codec.crypto, bytes.subarray(0, length - HASH_BYTES));
  bytes.set(hash, length - HASH_BYTES);
  return { bytes, hash };
}

function writeEnvelope(into: Uint8Array, codec: Codec, { header, payload }: JournalRecord, flags: number): void {
  if (header.cluster !== codec.cluster) throw new SheafError("WRONG_CLUSTER", "a record of another cluster");
  const { view } = envelope;
  view.setUint8(0, formatOf(payload));
  view.setUint8(1, flags);
  envelope.bytes.set(codec.clusterId, 2);
  view.setUint32(18, header.shard);
  view.setUint32(22, header.generation);
  setUint64(view, 26, header.epoch);
  setUint64(view, 34, header.seq);
  envelope.bytes.set(header.prev, 42);
  view.setFloat64(74, header.at);
  view.setUint32(82, keyId(codec));
  into.set(envelope.bytes);
}

type Where = { readonly shard: Shard; readonly seq: Seq };

const placeOf = ({ seq, shard }: Where): string => `record ${seq} of shard ${shard}`;

function openEnvelope(codec: Codec, bytes: Uint8Array, place: Where): Pick<Decoded, "header" | "hash"> {
  const where = placeOf(place);
  const end = bytes.length - HASH_BYTES;
  if (bytes.length < LEAST_BYTES) throw corrupt(`${where} is cut short`);
  const hash = sha256(codec.crypto, bytes.subarray(0, end));
  if (!bytesEqual(hash, bytes.subarray(end))) throw corrupt(`${where} fails its checksum`);
  const format = bytes[0]!;
  if (format < 1 || format > RECORD_FORMAT) throw unknownFormat(where, format);
  if (!bytesEqual(bytes.subarray(2, 18), codec.clusterId)) throw corrupt(`${where} is of another cluster`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const shard = view.getUint32(18);
  const seq = getUint64(view, 34);
  if (shard !== place.shard || seq !== place.seq) throw corrupt(`${where} says it is record ${seq} of shard ${shard}`);
  const header = {
    cluster: codec.cluster,
    shard,
    generation: view.getUint32(22),
    epoch: getUint64(view, 26),
    seq,
    prev: bytes.slice(42, 42 + HASH_BYTES),
    at: view.getFloat64(74),
  };
  return { header, hash };
}

function decode(codec: Codec, bytes: Uint8Array, place: Where): Decoded {
  const { header, hash } = openEnvelope(codec, bytes, place);
  const where = placeOf(place);
  const plain = unseal(codec, {
    body: bytes.subarray(ENVELOPE_BYTES, bytes.length - HASH_BYTES),
    flags: bytes[1]!,
    keyId: new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(82),
    aad: bytes.subarray(0, ENVELOPE_BYTES),
    maxBytes: mostRecordBytes, // a limit that was lowered since is no reason to refuse what was acknowledged
    what: where,
  });
  return { header, payload: payloadFromValue(readPlain(plain, where)), hash };
}

const unknownFormat = (where: string, format: number): SheafError =>
  corrupt(
    `${where} has format version ${format}`,
    format > RECORD_FORMAT
      ? `A newer Sheaf wrote it: this build reads formats up to ${RECORD_FORMAT}. Run the newer version.`
      : "No Sheaf ever wrote this format.",
  );

function readPlain(plain: Uint8Array, where: string): unknown {
  try {
    return unpack(plain);
  } catch (cause) {
    throw new SheafError("CORRUPT", `${where} holds a payload that cannot be read`, { cause });
  }
}

function setUint64(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 0x1_0000_0000));
  view.setUint32(at + 4, value);
}

const getUint64 = (view: DataView, at: number): number => view.getUint32(at) * 0x1_0000_0000 + view.getUint32(at + 4);

// msgpack, the one encoding of values that Sheaf stores or sends.

export { maxPackDepth, pack, packed, packedBy, type Put } from "./pack-write.ts";
export { type PackLimits, unpack, unpackUntrusted } from "./pack-read.ts";

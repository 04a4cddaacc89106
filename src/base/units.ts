// Quantities, each with its unit in the name of its type.

/** A span of time, milliseconds. */
export type Millis = number;
/** A point in wall-clock time, milliseconds since the Unix epoch. */
export type Instant = number;
/** A point on a node's own monotonic clock, milliseconds. Meaningless on another node. */
export type Tick = number;
/** Position of a record in one shard's journal: contiguous, the first record is 1, 0 is "before any". */
export type Seq = number;
/** Counts changes of owner of one shard. 0 is "never claimed". */
export type Epoch = number;
/** A journal's lineage, from 1; raised only when an operator accepts loss. */
export type Generation = number;
/** Number of a shard, 0 to shards−1. */
export type Shard = number;
/** Number of commits that changed one entity; 0 is "no commit yet". */
export type Version = number;

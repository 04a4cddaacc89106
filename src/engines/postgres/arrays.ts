// Arrays as PostgreSQL takes them in binary: a 20-byte head, then each element behind its length. As text, a bytea
// would be twice as long and escaped twice.

const int4 = { oid: 23, bytes: 4 };
const int8 = { oid: 20, bytes: 8 };
const bytea = 17;

const headBytes = 20;

function headed(oid: number, count: number, bytes: number): Buffer {
  const array = Buffer.allocUnsafe(headBytes + bytes);
  array.writeInt32BE(1, 0); // Dimensions.
  array.writeInt32BE(0, 4); // No nulls.
  array.writeInt32BE(oid, 8);
  array.writeInt32BE(count, 12);
  array.writeInt32BE(1, 16); // The first index.
  return array;
}

export function int4Array(values: readonly number[]): Buffer {
  const array = headed(int4.oid, values.length, values.length * (4 + int4.bytes));
  let at = headBytes;
  for (const value of values) {
    at = array.writeInt32BE(int4.bytes, at);
    at = array.writeInt32BE(value, at);
  }
  return array;
}

export function int8Array(values: readonly number[]): Buffer {
  const array = headed(int8.oid, values.length, values.length * (4 + int8.bytes));
  let at = headBytes;
  for (const value of values) {
    at = array.writeInt32BE(int8.bytes, at);
    at = array.writeBigInt64BE(BigInt(value), at);
  }
  return array;
}

/** A copy: what the caller does with its bytes later is its own affair. */
export function byteaArray(values: readonly Uint8Array[]): Buffer {
  const bytes = values.reduce((sum, value) => sum + 4 + value.length, 0);
  const array = headed(bytea, values.length, bytes);
  let at = headBytes;
  for (const value of values) {
    at = array.writeInt32BE(value.length, at);
    array.set(value, at);
    at += value.length;
  }
  return array;
}

// Arrays cut out of blocks: as good as arrays of their own.

import assert from "node:assert/strict";
import { test } from "node:test";
import { blocks } from "./bytes.ts";

test("blocks: arrays never overlap, have the length asked for, and the large have a buffer of their own", () => {
  const room = blocks(64);
  const lengths = [16, 16, 16, 16, 0, 1, 15, 16, 16, 16, 17, 64, 65, 3];
  const made = lengths.map((length, i) => room(length).fill(i + 1));
  made.forEach((bytes, i) =>
    assert.deepEqual(
      [...bytes],
      Array.from({ length: lengths[i]! }, () => i + 1),
    ),
  );
  for (const bytes of made) assert.ok(bytes.buffer.byteLength <= (bytes.length > 16 ? bytes.length : 64));
});

// `sheaf bench`: measures, holds it against a limit of the same run, and leaves nothing behind.

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { folder, sheaf } from "./cli.fixture.ts";
import { median, Rounds } from "./bench-rounds.ts";

test("bench: every work gives rates, times and a ratio to its limit; its folder is gone afterwards", async (t) => {
  const cwd = folder(t);
  const ran = await sheaf(["bench", "--seconds", "1", "--runs", "1", "--concurrency", "4", "--keys", "10", "--json"], {
    cwd,
  });
  assert.equal(ran.code, 0, ran.err);
  const { data } = JSON.parse(ran.out) as { data: Record<string, number | string | null>[] };
  assert.deepEqual(
    data.map(({ name, concurrency }) => [name, concurrency]),
    [
      ["write", 4],
      ["hot", 4],
      ["read", 4],
      ["call", 4],
    ],
  );
  for (const result of data) {
    for (const field of ["opsPerSec", "p50Ms", "p99Ms", "limitOpsPerSec", "ratioToLimit", "clientCpuMicrosPerOp"]) {
      assert.ok(Number(result[field]) > 0, `${result["name"]}: ${field} is ${result[field]}`);
    }
  }
  assert.deepEqual(readdirSync(cwd), []);
});

test("rounds: never more operations under way than callers, and a failure ends the run", async () => {
  let now = 0;
  let most = 0;
  const timing = await new Rounds(3, async () => {
    most = Math.max(most, ++now);
    await new Promise((resolve) => void setImmediate(resolve));
    now--;
  }).run(30);
  assert.equal(most, 3);
  assert.ok(timing.opsPerSec > 0 && timing.p50Ms <= timing.p99Ms);
  const failing = new Rounds(2, async (n) => assert.ok(n < 5, "the fifth fails"));
  await assert.rejects(failing.run(1000), /the fifth fails/);
});

test("median: the run in the middle by rate", () => {
  const runs = [3, 1, 2].map((opsPerSec) => ({ opsPerSec, p50Ms: 0, p99Ms: 0 }));
  assert.equal(median(runs).opsPerSec, 2);
});

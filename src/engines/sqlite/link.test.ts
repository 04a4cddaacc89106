import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const file = fileURLToPath(new URL("./link.fixture.ts", import.meta.url));
function run(what: string): { status: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [file, what], { encoding: "utf8" });
  return { status, out: stdout, err: stderr };
}

test("embedded engine: a process whose storage thread fails ends, once those who asked have been told", () => {
  for (const what of ["throw", "exit"]) {
    const { status, out, err } = run(what);
    assert.equal(out, "ENGINE_UNAVAILABLE\n", what);
    assert.notEqual(status, 0);
    assert.match(err, /the storage thread is gone/);
  }
});

test("embedded engine: a process whose storage thread was asked to end goes on", () => {
  const { status, out } = run("answer");
  assert.deepEqual([status, out], [0, "answer\nstill here\n"]);
});

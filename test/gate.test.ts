// The runner of the gates is believed by everybody, so it is tested itself: red must come out red.

import assert from "node:assert/strict";
import test from "node:test";
import { runGate } from "../scripts/gate.mjs";

const minuteMs = 60_000;

const gate = async (script: string) =>
  runGate({
    command: [process.execPath, "-e", script],
    saw: /^saw (\d+)$/m,
    cwd: process.cwd(),
    env: process.env,
    patienceMs: minuteMs,
  });

test("gate: exit code 0, something seen and nothing failed is green", async () => {
  const { isGreen, seen, left } = await gate("console.log('saw 12\\nℹ skipped 2\\nℹ fail 0')");
  assert.deepEqual({ isGreen, seen, left }, { isGreen: true, seen: 12, left: 2 });
});

test("gate: seeing nothing is red, whatever the exit code says", async () => {
  for (const script of ["", "console.log('saw 0')", "console.log('all is well')"]) {
    const { isGreen, output } = await gate(script);
    assert.equal(isGreen, false, script);
    assert.match(output, /saw nothing, which is red/);
  }
});

test("gate: a nonzero exit code, a signal and a counted failure are each red", async () => {
  for (const script of [
    "console.log('saw 1'); process.exit(3)",
    "console.log('saw 1'); process.kill(process.pid, 'SIGKILL')",
    "console.log('saw 1\\nℹ fail 1')",
    "console.log('saw 1\\nℹ cancelled 1')",
    "console.log('saw 1\\n5 passed, 2 failed')",
  ]) {
    assert.equal((await gate(script)).isGreen, false, script);
  }
});

test("gate: one that hangs is ended with what it started, and what it said is kept", async () => {
  const command = ["sh", "-c", "echo saw 1; sleep 600 & sleep 600"];
  const asked = { command, saw: /^saw (\d+)$/m, cwd: process.cwd(), env: process.env, patienceMs: 1000 };
  const { isGreen, output } = await runGate(asked);
  assert.equal(isGreen, false);
  assert.match(output, /saw 1\n/);
  assert.match(output, /ended after 1 seconds/);
});

test("gate: a command that does not exist is red and named", async () => {
  const asked = { command: ["no-such-command"], saw: /x/, cwd: process.cwd(), env: process.env, patienceMs: minuteMs };
  const { isGreen, output } = await runGate(asked);
  assert.equal(isGreen, false);
  assert.match(output, /no-such-command could not be run/);
});

// Runs one gate: a command, and a pattern that reads from its output how many things it saw. Green is exit code 0, something
// seen and nothing failed. A checker that was pointed at nothing exits 0 as well, which is why the code alone is not believed.

import { spawn } from "node:child_process";
import process from "node:process";

const running = new Set();

/** Ends a gate's whole process group, so that nothing it started outlives it. */
function end(child) {
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

/** Ends every gate that is running. */
export function endAll() {
  for (const child of running) end(child);
}

/**
 * Runs `command`, at most `patienceMs` long. `seen` and `failed` are read from what it prints; `left` counts tests that were
 * skipped or marked as to do. Never rejects: what went wrong is in `output`.
 */
export async function runGate({ command, saw, cwd, env, patienceMs }) {
  const started = performance.now();
  const child = spawn(command[0], command.slice(1), { cwd, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  const impatience = setTimeout(() => {
    output += `\nIt was ended after ${patienceMs / 1000} seconds.\n`;
    end(child);
  }, patienceMs);
  const code = await new Promise((resolve) => {
    child.once("close", resolve);
    child.once("error", (error) => {
      output += `${command[0]} could not be run: ${error.message}\n`;
      resolve(1);
    });
  });
  clearTimeout(impatience);
  running.delete(child);
  const count = (pattern) => Number(pattern.exec(output)?.[1] ?? 0);
  const seen = count(saw);
  const failed = count(/^ℹ fail (\d+)$/m) + count(/^ℹ cancelled (\d+)$/m) + count(/^\d+ passed, (\d+) failed$/m);
  const left = count(/^ℹ skipped (\d+)$/m) + count(/^ℹ todo (\d+)$/m);
  if (seen === 0) output += `\nIt saw nothing, which is red.\n`;
  const isGreen = code === 0 && seen > 0 && failed === 0;
  return { isGreen, seen, failed, left, seconds: (performance.now() - started) / 1000, output };
}

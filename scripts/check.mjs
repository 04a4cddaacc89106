// Runs the gates two at a time, one line for each, and shows in full what the red ones said. A gate says how much it saw;
// one that saw nothing is red. Arguments name single gates: `npm run check -- types lint`.

import { spawn } from "node:child_process";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { modernNode, root } from "./bootstrap.mjs";

// Past this, a gate hangs: it is ended, and what it said so far is the evidence.
const patienceMs = 20 * 60_000;
const atATime = 2;

const bin = join(root, "node_modules", ".bin");
const node = modernNode();
const tests = (group) => ({ command: [node, "scripts/tests.mjs", group], saw: /^ℹ tests (\d+)$/m, unit: "tests" });

// `saw` reads from a gate's output how many things it looked at.
const gates = {
  types: { command: ["tsc", "-p", ".", "--diagnostics"], saw: /^Files:\s+(\d+)$/m, unit: "files" },
  lint: { command: ["oxlint", "--type-aware", "--deny-warnings"], saw: /on (\d+) files? with/, unit: "files" },
  format: { command: ["oxfmt", "--check"], saw: /on (\d+) files? using/, unit: "files" },
  tidy: tests("tidy"),
  unit: tests("unit"),
  dead: {
    command: ["knip", "--reporter", "symbols", "--reporter", "./scripts/knip-seen.mjs"],
    saw: /^knip saw (\d+) files$/m,
    unit: "files",
  },
  package: { command: [node, "scripts/package.mjs"], saw: /^package has (\d+) doors$/m, unit: "doors" },
  sim: { command: [node, "src/sim/gate.ts"], saw: /^(\d+) passed, \d+ failed$/m, unit: "seeds" },
  node: tests("node"),
};

const running = new Set();

function end(child, signal) {
  try {
    process.kill(-child.pid, signal);
  } catch {
    // It has ended by itself.
  }
}

/** Runs one gate in a process group of its own, so that nothing it started outlives it. */
function run(name) {
  const { command, saw } = gates[name];
  const started = performance.now();
  const path = [bin, dirname(node), process.env.PATH].join(delimiter);
  const { FORCE_COLOR: _, NODE_OPTIONS: __, ...env } = process.env;
  const child = spawn(command[0], command.slice(1), {
    cwd: root,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...env, PATH: path, NO_COLOR: "1" },
  });
  running.add(child);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  const impatience = setTimeout(() => {
    output += `\n${name} was ended: it ran for ${patienceMs / 60_000} minutes.\n`;
    end(child, "SIGKILL");
  }, patienceMs);
  return new Promise((resolve) => {
    child.once("error", (error) => resolve({ code: 1, spawnError: error.message }));
    child.once("close", (code) => resolve({ code }));
  }).then(({ code, spawnError }) => {
    clearTimeout(impatience);
    running.delete(child);
    end(child, "SIGKILL");
    if (spawnError !== undefined) output += `${command[0]} could not be run: ${spawnError}\n`;
    const count = (pattern) => Number(pattern.exec(output)?.[1] ?? 0);
    const seen = count(saw);
    if (seen === 0) output += `\n${name} saw nothing, which is red.\n`;
    const failed = count(/^ℹ fail (\d+)$/m) + count(/^\d+ passed, (\d+) failed$/m);
    const left = count(/^ℹ skipped (\d+)$/m) + count(/^ℹ todo (\d+)$/m);
    const seconds = (performance.now() - started) / 1000;
    return { name, isGreen: code === 0 && seen > 0 && failed === 0, seen, failed, left, seconds, output };
  });
}

function report({ name, isGreen, seen, left, seconds }) {
  const word = isGreen ? "ok " : "RED";
  const leftOut = left > 0 ? `, ${left} LEFT OUT` : "";
  process.stdout.write(
    `${word}  ${name.padEnd(8)}${seconds.toFixed(1).padStart(6)} s  ${seen} ${gates[name].unit}${leftOut}\n`,
  );
}

async function runAll(names) {
  const waiting = [...names];
  const results = [];
  const worker = async () => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const result = await run(name);
      report(result);
      results.push(result);
    }
  };
  await Promise.all(Array.from({ length: atATime }, worker));
  return results;
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.once(signal, () => {
    for (const child of running) end(child, "SIGKILL");
    process.exit(130);
  });
}

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(gates);
const unknown = names.filter((name) => !(name in gates));
if (unknown.length > 0) {
  process.stderr.write(`No gate is called ${unknown.join(", ")}. The gates: ${Object.keys(gates).join(", ")}\n`);
  process.exit(2);
}
const results = await runAll(names);
const red = results.filter((result) => !result.isGreen);
for (const { name, output } of red) process.stdout.write(`\n──── ${name} ${"─".repeat(60)}\n${output.trimEnd()}\n`);

// A gate that counts tests adds those to the sum; any other gate counts as one.
let passed = 0;
let failed = 0;
for (const { name, isGreen, seen, failed: failures, left } of results) {
  const counts = gates[name].unit === "tests" || gates[name].unit === "seeds";
  const bad = isGreen ? 0 : Math.max(1, failures);
  failed += bad;
  if (counts) passed += Math.max(0, gates[name].unit === "seeds" ? seen : seen - failures - left);
  else if (isGreen) passed += 1;
}
process.stdout.write(
  `\n${red.length === 0 ? "All gates are green." : `Red: ${red.map((gate) => gate.name).join(", ")}`}\n`,
);
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exit(red.length === 0 ? 0 : 1);

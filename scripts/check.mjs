// Runs the gates two at a time, the simulation by itself since it takes all cores; one line for each, and in full what the
// red ones said. Arguments name single gates: `npm run check -- types lint`. Ends with the sum: each test and each simulated
// seed counts, and so does any other gate.

import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { modernNode, root } from "./bootstrap.mjs";
import { endAll, runGate } from "./gate.mjs";

// Past this, a gate hangs: it is ended, and what it said so far is the evidence.
const patienceMs = 40 * 60_000;
const atATime = 2;

const node = modernNode();
const knip = ["knip", "--reporter", "symbols", "--reporter", "./scripts/knip-seen.mjs"];
const tests = (group) => ({ command: [node, "scripts/tests.mjs", group], saw: /^ℹ tests (\d+)$/m, unit: "tests" });

const gates = {
  types: { command: ["tsc", "-p", ".", "--diagnostics"], saw: /^Files:\s+(\d+)$/m, unit: "files" },
  lint: { command: ["oxlint", "--type-aware", "--deny-warnings"], saw: /on (\d+) files? with/, unit: "files" },
  format: { command: ["oxfmt", "--check"], saw: /on (\d+) files? using/, unit: "files" },
  tidy: tests("tidy"),
  unit: tests("unit"),
  dead: { command: knip, saw: /^knip saw (\d+) files$/m, unit: "files" },
  package: { command: [node, "scripts/package.mjs"], saw: /^package has (\d+) doors$/m, unit: "doors" },
  sim: { command: [node, "src/sim/gate.ts"], saw: /^(\d+) passed, \d+ failed$/m, unit: "seeds", alone: true },
  node: tests("node"),
};

function surroundings() {
  const { FORCE_COLOR: _, NODE_OPTIONS: __, ...env } = process.env;
  const path = [join(root, "node_modules", ".bin"), dirname(node), env.PATH].join(delimiter);
  return { ...env, PATH: path, NO_COLOR: "1" };
}

function report({ name, isGreen, seen, left, seconds }) {
  const word = isGreen ? "ok " : "RED";
  const leftOut = left > 0 ? `, ${left} LEFT OUT` : "";
  const time = `${seconds.toFixed(1).padStart(7)} s`;
  const { unit } = gates[name];
  const pace = unit === "seeds" ? `, ${(seen / seconds).toFixed(0)} seeds/s` : "";
  process.stdout.write(`${word}  ${name.padEnd(8)}${time}  ${seen} ${unit}${pace}${leftOut}\n`);
}

/** What may run beside each other, in turn. */
function turnsOf(names) {
  const turns = [[]];
  for (const name of names) {
    if (gates[name].alone) turns.push([name], []);
    else turns.at(-1).push(name);
  }
  return turns;
}

async function runAll(names) {
  const results = [];
  for (const turn of turnsOf(names)) results.push(...(await runTogether(turn)));
  return results;
}

async function runTogether(names) {
  const waiting = [...names];
  const results = [];
  const worker = async () => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const { command, saw } = gates[name];
      const result = { name, ...(await runGate({ command, saw, cwd: root, env: surroundings(), patienceMs })) };
      report(result);
      results.push(result);
    }
  };
  await Promise.all(Array.from({ length: atATime }, worker));
  return results;
}

/** How many things passed and failed in a gate. A red gate has at least one failure. */
function sumOf({ name, isGreen, seen, failed, left }) {
  const failures = isGreen ? 0 : Math.max(1, failed);
  const { unit } = gates[name];
  if (unit === "seeds") return { passed: seen, failed: failures };
  if (unit === "tests") return { passed: Math.max(0, seen - failed - left), failed: failures };
  return { passed: isGreen ? 1 : 0, failed: failures };
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.once(signal, () => {
    endAll();
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

const sums = results.map(sumOf);
const total = (part) => sums.reduce((sum, one) => sum + one[part], 0);
const verdict = red.length === 0 ? "All gates are green." : `Red: ${red.map(({ name }) => name).join(", ")}`;
process.stdout.write(`\n${verdict}\n${total("passed")} passed, ${total("failed")} failed\n`);
process.exitCode = red.length === 0 ? 0 : 1;

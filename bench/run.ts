// Measures what the targets say, row by row: ours, what a user would pick instead, and the physical limit, in one run on one
// machine; what an operation costs; and which targets are met.
//
//   node bench/run.ts [--only ROW,…] [--seconds S] [--runs N] [--json FILE] [--markdown]
//
// Tables go to stdout, all else to stderr. The whole takes about 35 minutes on two idle cores; a machine that does anything
// else meanwhile measures that.

import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { ensureNats } from "../scripts/nats.mjs";
import { ensurePostgres } from "../scripts/postgres.mjs";
import { messageOf } from "../src/base/index.ts";
import { conditionsOf } from "./contender.ts";
import { removeFolders } from "./folders.ts";
import { isMet, type Outcome, render } from "./outcome.ts";
import type { Row } from "./row.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    seconds: { type: "string", default: "1" },
    runs: { type: "string", default: "3" },
    json: { type: "string" },
    markdown: { type: "boolean", default: false },
  },
});

const pace = { ms: Number(values.seconds) * 1000, runs: Number(values.runs) };
if (!(pace.ms > 0) || !(Number.isInteger(pace.runs) && pace.runs > 0)) {
  process.stderr.write("--seconds is a number above 0, --runs a whole one\n");
  process.exit(2);
}

// What the rows import looks for them at once.
ensurePostgres();
ensureNats();
const { rows } = await import("./rows.ts");

type Told = { readonly row: string; readonly title: string; readonly seconds: number } & (
  | Outcome
  | { readonly failed: string }
);

const say = (text: string): void => void process.stderr.write(`${text}\n`);

function chosen(): readonly Row[] {
  if (values.only === undefined) return rows;
  return values.only.split(",").map((id) => {
    const row = rows.find((each) => each.id === id);
    if (row) return row;
    say(`There is no row "${id}". Rows: ${rows.map((each) => each.id).join(", ")}`);
    return process.exit(2);
  });
}

/** A row that takes this long hangs. */
const patienceMs = 15 * 60_000;

const tooLong = (): Promise<never> =>
  new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`it took longer than ${patienceMs / 60_000} minutes`)), patienceMs).unref();
  });

// Ending tidies up: folders are removed, and what was started does not outlive this process.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(130));

// What becomes of a contender that is being stopped is nobody's loss; the rows to come would be.
process.on("uncaughtException", (error) => say(`  stray: ${messageOf(error)}`));

async function measure(row: Row): Promise<Told> {
  const began = performance.now();
  const conditions = conditionsOf(pace, (text) => say(`  ${text}`));
  const told = { row: row.id, title: row.title };
  say(`${row.id}: ${row.title}`);
  try {
    const outcome = await Promise.race([row.run(conditions), tooLong()]);
    const checks = outcome.checks.map((check) => ({ ...check, met: isMet(check) ?? null }));
    return { ...told, seconds: (performance.now() - began) / 1000, ...outcome, checks };
  } catch (error) {
    say(`  failed: ${error instanceof Error ? (error.stack ?? error.message) : messageOf(error)}`);
    return { ...told, seconds: (performance.now() - began) / 1000, failed: messageOf(error) };
  }
}

function machine(): Readonly<Record<string, string | number>> {
  const all = cpus();
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  const [load = 0] = loadavg();
  const [cpu, date] = [all[0]?.model.trim() ?? "unknown", new Date().toISOString().slice(0, 10)];
  return { commit, date, cpu, cores: all.length, load, node: process.version };
}

const about = machine();
const { commit, date, cpu, cores, load, node } = about;
process.stdout.write(
  `Commit \`${commit}\`, ${date}, ${cores} × ${cpu}, Node ${node}, load ${load}: ${pace.runs} runs of ${pace.ms / 1000} s.\n`,
);
const told: Told[] = [];
for (const row of chosen()) {
  const one = await measure(row);
  told.push(one);
  const heading = `${values.markdown ? "## " : ""}${row.id}: ${row.title}`;
  process.stdout.write(`\n${heading}\n\n${"failed" in one ? `failed: ${one.failed}` : render(one)}\n`);
  // After each row: a run that is cut short has told what it has.
  const all = { machine: about, ...pace, rows: told };
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(all, null, 2)}\n`);
}
const minutes = told.reduce((sum, { seconds }) => sum + seconds, 0) / 60;
say(`done in ${minutes.toFixed(1)} minutes`);
removeFolders();
process.exit(told.some((one) => "failed" in one) ? 1 : 0);

// A short torture of each engine and of each example, by the command that people run; and that the command can be ended, and can be red.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { withoutNats } from "../../src/engines/nats/nats-cluster.fixture.ts";
import { clean } from "../../src/cli/cli.fixture.ts";
import { findPostgres, postgresHint } from "../../scripts/postgres.mjs";
import { type Report, textOf } from "./report.ts";

const withoutPostgres = findPostgres() === undefined && `there is no PostgreSQL; run: ${postgresHint}`;
const command = fileURLToPath(new URL("main.ts", import.meta.url));

function begin(t: TestContext, words: string, env: NodeJS.ProcessEnv = clean): ChildProcess {
  const child = spawn(process.execPath, [command, ...words.split(" ")], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  t.after(() => child.kill("SIGKILL"));
  return child;
}

type Ran = { readonly report: Report; readonly code: number | null; readonly said: string };

/** One round of the faults, each once. */
async function round(t: TestContext, words: string): Promise<Ran> {
  const child = begin(t, `${words} --minutes 0 --json`);
  const [out, err, [code]] = await Promise.all([
    text(child.stdout!),
    text(child.stderr!),
    once(child, "close") as Promise<[number | null]>,
  ]);
  assert.notEqual(out, "", err);
  const report = JSON.parse(out) as Report;
  return { report, code, said: `${err}\n${textOf(report)}` };
}

async function survives(t: TestContext, engine: string, faults: string, app = "own"): Promise<void> {
  const { report, code, said } = await round(t, `--app ${app} --engine ${engine} --faults ${faults}`);
  assert.equal(code, 0, said);
  for (const name of faults.split(",")) {
    const { fault, strikes, notRun } = report.rows.find(({ fault }) => fault === name)!;
    if (notRun !== undefined) t.diagnostic(`NOT RUN  ${fault}: ${notRun}`);
    assert.ok(strikes > 0 || notRun !== undefined, `${fault} struck, or says why it cannot`);
  }
  assert.match(report.verdict, /^0 lost · 0 duplicated · 0 stale$/);
}

test("torture: on the embedded engine a paused node, one-way loss, wrong clocks and a power cut lose, double and age nothing", (t) =>
  survives(t, "embedded", "pause,one-way,clock,power"));

test(
  "torture: on PostgreSQL kill -9, a rolling restart, a node without the engine and the server's crash lose, double and age nothing",
  { skip: withoutPostgres },
  (t) => survives(t, "postgres", "kill,rolling,no-engine,engine"),
);

test(
  "torture: on NATS kill -9, two nodes apart and the leader's crash lose, double and age nothing",
  { skip: withoutNats },
  (t) => survives(t, "nats", "kill,apart,engine"),
);

test(
  "torture: on PostgreSQL, with a node that stands still and clocks that are wrong, the box office keeps its word to everybody",
  { skip: withoutPostgres },
  (t) => survives(t, "postgres", "pause,clock", "booking"),
);

test(
  "torture: on NATS, under kill -9 and one-way loss, the ledger conserves its money at every instant",
  { skip: withoutNats },
  (t) => survives(t, "nats", "kill,one-way", "ledger"),
);

for (const [app, faults, says] of [
  ["ledger", "kill", /load-\w+-\d-\d shows .* and the books say/],
  ["booking", "outage", /out of order: .* who came as number|confirmed wrongly/],
] as const)
  test(`torture: a node that counts by its memory and not by its state is found in the ${app}`, async (t) => {
    const { report, code, said } = await round(t, `--app ${app} --defect --engine embedded --faults ${faults}`);
    assert.equal(code, 1, said);
    assert.match(report.verdict, /^\d+ VIOLATIONS$/);
    assert.ok(
      report.rows.some(({ violations }) => violations.some((each) => says.test(each))),
      said,
    );
  });

/** Commands of processes whose words name a folder. */
const runningIn = (folder: string): string[] =>
  readdirSync("/proc").flatMap((pid) => {
    try {
      const words = /^\d+$/.test(pid) ? readFileSync(`/proc/${pid}/cmdline`, "utf8") : "";
      return words.includes(folder) ? [words.replaceAll("\0", " ")] : [];
    } catch {
      return [];
    }
  });

test("torture: Ctrl-C ends it with the table so far, and leaves no process and no file behind", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "sheaf-ended-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const child = begin(t, "--engine embedded --minutes 60 --faults kill", { ...clean, TMPDIR: folder });
  const ended = Promise.all([text(child.stdout!), once(child, "exit") as Promise<[number | null]>]);
  for await (const line of createInterface({ input: child.stderr! }))
    if (/^ *\d+ kill/.test(line)) child.kill("SIGINT");
  const [out, [code]] = await ended;
  assert.equal(code, 130, out);
  assert.match(out, /^kill +1 /m);
  assert.match(out, /0 lost · 0 duplicated · 0 stale\n$/);
  const left = readdirSync(folder).filter((name) => name.startsWith("sheaf-"));
  assert.deepEqual(left, []);
  if (process.platform === "linux") assert.deepEqual(runningIn(folder), []);
});

// A short torture of each engine, by the command that people run; and that the command can be ended, and can be red.

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
import { type Report, reportOf, textOf } from "./report.ts";
import type { Stretch } from "./tally.ts";
import { emptiness, type Outcome } from "./torture.ts";

const command = fileURLToPath(new URL("main.ts", import.meta.url));

function begin(t: TestContext, words: string, env: NodeJS.ProcessEnv = clean): ChildProcess {
  const child = spawn(process.execPath, [command, ...words.split(" ")], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  t.after(() => child.kill("SIGKILL"));
  return child;
}

/** One round of the faults, each once. */
async function survives(t: TestContext, engine: string, faults: string): Promise<void> {
  const child = begin(t, `--engine ${engine} --minutes 0 --faults ${faults} --json`);
  const [out, err, [code]] = await Promise.all([
    text(child.stdout!),
    text(child.stderr!),
    once(child, "close") as Promise<[number | null]>,
  ]);
  assert.notEqual(out, "", err);
  const report = JSON.parse(out) as Report;
  assert.equal(code, 0, `${err}\n${textOf(report)}`);
  for (const { fault, strikes, notRun } of report.rows.filter(({ fault }) => fault !== "none")) {
    if (notRun !== undefined) t.diagnostic(`NOT RUN  ${fault}: ${notRun}`);
    assert.ok(strikes > 0 || notRun !== undefined, `${fault} struck, or says why it cannot`);
  }
  assert.match(report.verdict, /^0 lost · 0 duplicated · 0 stale$/);
}

test("torture: on the embedded engine a paused node, one-way loss and a power cut lose, double and age nothing", (t) =>
  survives(t, "embedded", "pause,one-way,power"));

test(
  "torture: on PostgreSQL kill -9, a rolling restart, a node without the engine and the server's crash lose, double and age nothing",
  { skip: findPostgres() === undefined && `there is no PostgreSQL; run: ${postgresHint}` },
  (t) => survives(t, "postgres", "kill,rolling,no-engine,engine"),
);

test(
  "torture: on NATS kill -9, two nodes apart and the leader's crash lose, double and age nothing",
  { skip: withoutNats },
  (t) => survives(t, "nats", "kill,apart,engine"),
);

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
  for await (const line of createInterface({ input: child.stderr! })) if (/^ *1 kill/.test(line)) child.kill("SIGINT");
  const [out, [code]] = await ended;
  assert.equal(code, 130, out);
  assert.match(out, /^kill +1 /m);
  assert.match(out, /0 lost · 0 duplicated · 0 stale\n$/);
  const left = readdirSync(folder).filter((name) => name.startsWith("sheaf-"));
  assert.deepEqual(left, []);
  if (process.platform === "linux") assert.deepEqual(runningIn(folder), []);
});

const stretch = (fault: string, more: Partial<Stretch> = {}): Stretch => ({
  fault,
  number: 0,
  calls: 900,
  answered: 800,
  failed: 1,
  failedEarly: 0,
  inFlight: 9,
  takeovers: 1,
  silentMs: 120,
  failures: new Map(),
  violations: [],
  ...more,
});
const seen = { registers: 900, sets: 900, bank: 900, messages: 900, events: 900, counters: 900, sessions: 900 };
const outcome = (more: Partial<Outcome> = {}): Outcome => ({
  stretches: [stretch("none"), stretch("kill")],
  notRun: new Map(),
  seen,
  late: [],
  journal: { records: 9, voided: 0, problems: [] },
  tooLittle: [],
  ...more,
});

test("torture: one violation, in what callers were told or in a journal, is red and told", () => {
  assert.ok(reportOf(outcome()).isGreen);
  const told = reportOf(outcome({ stretches: [stretch("none"), stretch("kill", { violations: ["sets: lost"] })] }));
  assert.deepEqual([told.isGreen, told.verdict], [false, "1 VIOLATIONS"]);
  assert.match(textOf(told), /VIOLATION {2}kill, strike 0: sets: lost/);
  const journal = { records: 9, voided: 0, problems: ["shard 0: broken"] };
  assert.equal(reportOf(outcome({ journal })).isGreen, false);
});

test("torture: a run that saw too little is red, and says what it did not see", () => {
  const good = [stretch("none"), stretch("kill")];
  assert.deepEqual(emptiness(good, ["kill"], seen, false), []);
  const poor: [readonly Stretch[], readonly string[], RegExp][] = [
    [[stretch("none", { answered: 3 }), stretch("kill")], ["kill"], /only 3 calls were answered while nothing/],
    [[stretch("none"), stretch("kill", { answered: 2 })], ["kill"], /only 2 calls were answered in strike/],
    [[stretch("none"), stretch("kill", { inFlight: 0 })], ["kill"], /nothing was under way/],
    [[stretch("none"), stretch("kill", { takeovers: 0 })], ["kill"], /nobody took anything over/],
    [good, ["kill", "pause"], /pause never struck/],
    [[stretch("none")], [], /no fault struck/],
  ];
  for (const [stretches, asked, says] of poor) assert.match(emptiness(stretches, asked, seen, false).join(), says);
  assert.match(emptiness(good, ["kill"], { ...seen, bank: 2 }, false).join(), /only 2 operations on bank/);
  const report = reportOf(outcome({ tooLittle: ["nothing was seen"] }));
  assert.equal(report.isGreen, false);
  assert.match(textOf(report), /TOO LITTLE {2}nothing was seen\n.*SAW TOO LITTLE$/);
});

test("torture: a fault that this machine does not allow has a row that says why", () => {
  const report = reportOf(outcome({ notRun: new Map([["power", "this machine mounts no disk"]]) }));
  assert.match(textOf(report), /^power +not run: this machine mounts no disk$/m);
});

test("torture report: how late timers went off is told", () => {
  const { timers } = reportOf(outcome({ late: [3, 1, 2, 900.4, ...Array.from({ length: 96 }, () => 5)] }));
  assert.deepEqual(timers, { count: 100, p50: 5, p99: 900, worst: 900 });
  assert.match(textOf(reportOf(outcome({ late: [7] }))), /^timers: 1 went off, late by p50 7, p99 7, worst 7 ms$/m);
});

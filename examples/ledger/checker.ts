// The checker: holds the ledger to what it said, all the time, by reading it from outside. No two accounts are read at the same
// moment, so it rests on four things that must be true however the readings fall:
//
// C1. An account's money is what was put in, less what transfers took out, plus what they brought. So the sum over all
//     accounts of what they have, plus what they sent, less what they got is the same at every instant: all money there is.
// C2. What an account has sent and got is at least what the books say has ended, and at most that plus all that is under way.
//     Nothing acknowledged is missing at any instant, and nothing is there that nobody asked for.
// C3. Money leaves before it arrives: what a branch has sent by now is no less than what it had got a moment ago. The difference is in
//     flight, and it is never negative.
// C4. A branch with no transfer under way has none in flight, and C2 is exact: to the transfer, and to the cent.
//
// `sheaf dev` starts it beside the app. By hand: node checker.ts [--once]; it finds the nodes by SHEAF_URL (several with
// commas between them), SHEAF_TOKEN and SHEAF_DATA. Prints one line of JSON a second: { line, ok }. Ends with exit code 6 when anything was ever wrong.

import { type Client, SheafError } from "sheaf";
import { connect } from "sheaf/client";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { accountName, booksPath, branchOf, type Plan, Reader, stepOf } from "./books.ts";
import { Account, type ledger as Ledger, ledger } from "./contracts.ts";

type Sum = { transfers: number; cents: number };
/** What transfers have done to an account. */
export type Turnover = { sent: Sum; got: Sum };
type Shown = Turnover & { readonly cents: number };

export type Finding = {
  readonly lost: number;
  readonly duplicated: number;
  readonly says: string;
};

export type Verdict = {
  /** Money in the branch's accounts, and in flight between them. */
  readonly cents: number;
  readonly inFlight: number;
  /** No transfer was under way: all is exact. */
  readonly quiet: boolean;
  readonly findings: readonly Finding[];
};

const fresh = (): Turnover => ({ sent: { transfers: 0, cents: 0 }, got: { transfers: 0, cents: 0 } });
const sum = (numbers: readonly number[]): number => numbers.reduce((all, n) => all + n, 0);

/** Counts transfer `n` at both of its accounts. */
function count(plan: Plan, accounts: readonly Turnover[], n: number): void {
  const { from, to, cents } = stepOf(plan, n);
  for (const side of [accounts[from]!.sent, accounts[to]!.got]) {
    side.transfers += 1;
    side.cents += cents;
  }
}

/** What is wrong with an account that must show between `least` and `most` (C1, C2); undefined when nothing is. */
export function compare(
  account: string,
  put: number,
  least: Turnover,
  most: Turnover,
  shown: Shown,
): Finding | undefined {
  const sides = ["sent", "got"] as const;
  const lost = sum(sides.map((side) => Math.max(least[side].transfers - shown[side].transfers, 0)));
  const duplicated = sum(sides.map((side) => Math.max(shown[side].transfers - most[side].transfers, 0)));
  const fits = sides.every((side) => shown[side].cents >= least[side].cents && shown[side].cents <= most[side].cents);
  const adds = shown.cents === put - shown.sent.cents + shown.got.cents;
  if (lost + duplicated === 0 && fits && adds) return undefined;
  const range = (of: (turnover: Turnover) => string): string =>
    of(least) === of(most) ? of(least) : `${of(least)} to ${of(most)}`;
  const says =
    `${account} shows ${money(shown.cents)}, ${told(shown.sent)} sent, ${told(shown.got)} received; it was opened with ${money(put)}, ` +
    `and the books say ${range(({ sent }) => told(sent))} sent, ${range(({ got }) => told(got))} received`;
  return { lost, duplicated, says };
}

const told = ({ transfers, cents }: Sum): string => `${money(cents)} in ${transfers}`;

export class Checker {
  readonly #client: Client<typeof Ledger>;
  readonly #books: Reader;
  /** What has ended, by branch, then account. */
  readonly #ended: Turnover[][] = [];
  readonly #verdicts = new Map<number, Verdict>();

  constructor(client: Client<typeof Ledger>, path: string) {
    this.#client = client;
    this.#books = new Reader(path, (n, applied) => {
      const plan = this.#books.plan!;
      if (applied) count(plan, this.#accounts(stepOf(plan, n).branch), n);
    });
  }

  #accounts(branch: number): Turnover[] {
    return (this.#ended[branch] ??= Array.from({ length: this.#books.plan!.accounts }, fresh));
  }

  /** How many branches there are; 0 while the load has not opened its accounts. */
  get branches(): number {
    this.#books.read();
    return this.#books.opened ? this.#books.plan!.branches : 0;
  }

  /** Transfers of a branch that may be under way. */
  #underWay(branch: number): number[] {
    const { open, plan } = this.#books;
    return [...open].flatMap(([visit, numbers]) => (branchOf(plan!, visit) === branch ? [...numbers] : []));
  }

  async check(branch: number): Promise<Verdict> {
    this.#books.read();
    const plan = this.#books.plan!;
    const { visits } = this.#books;
    const before = this.#underWay(branch);
    const least = structuredClone(this.#accounts(branch));
    const names = least.map((_, n) => accountName(plan, branch, n));
    const first = await this.#read(names);
    const shown = await this.#read(names);
    // A visit is in the books before it begins. One that was, and has ended, was under way in between.
    this.#books.read();
    const most = structuredClone(least);
    const since = Array.from({ length: this.#books.visits - visits }, (_, i) => visits + i)
      .filter((visit) => branchOf(plan, visit) === branch)
      .flatMap((visit) => Array.from({ length: plan.perVisit }, (_, i) => visit * plan.perVisit + i));
    for (const n of [...before, ...since]) count(plan, most, n);
    const findings = shown.flatMap((each, n) => compare(names[n]!, plan.cents, least[n]!, most[n]!, each) ?? []);
    const inFlight = sum(shown.map(({ sent }) => sent.cents)) - sum(first.map(({ got }) => got.cents));
    if (inFlight < 0 && findings.length === 0)
      findings.push({ lost: 0, duplicated: 2, says: `branch ${branch} has got ${money(-inFlight)} that nobody sent` });
    const cents = sum(shown.map(({ cents: has, sent, got }) => has + sent.cents - got.cents));
    const verdict = { cents, inFlight, quiet: before.length + since.length === 0, findings };
    this.#verdicts.set(branch, verdict);
    return verdict;
  }

  #read(names: readonly string[]): Promise<Shown[]> {
    return Promise.all(names.map((name) => this.#client.entity(Account, name).statement({ consistency: "strong" })));
  }

  /** What the last check of each branch found. */
  summary(): { readonly line: string; readonly ok: boolean } {
    const branches = this.branches;
    const verdicts = [...this.#verdicts.values()];
    if (branches === 0 || verdicts.length < branches)
      return { line: `checker: ${verdicts.length} of ${branches} branches read`, ok: this.#ok() };
    const findings = verdicts.flatMap((verdict) => verdict.findings);
    const total = sum(verdicts.map(({ cents }) => cents));
    const flying = sum(verdicts.map(({ inFlight }) => inFlight));
    // A transfer has two ends: one that is missing at both is one lost transfer.
    const lost = Math.ceil(sum(findings.map((finding) => finding.lost)) / 2);
    const duplicated = Math.ceil(sum(findings.map((finding) => finding.duplicated)) / 2);
    const wrong = findings.length;
    const inFlight = flying === 0 ? "" : ` (${money(flying)} in flight)`;
    const accounts = wrong === 0 ? "" : `  ${wrong} accounts do not match`;
    return {
      line: `total money = ${money(total)}${inFlight}  ${lost} lost · ${duplicated} duplicated${accounts}`,
      ok: this.#ok(),
    };
  }

  #ok(): boolean {
    return [...this.#verdicts.values()].every(({ findings }) => findings.length === 0);
  }

  close(): void {
    this.#books.close();
  }
}

/** 123456 as 1,234.56 */
export const money = (cents: number): string =>
  (cents / 100).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

/** Checks these branches once, and says what is wrong. Resolves with those that could not be read, as when a node is away for
 *  a moment, or were not quiet. */
async function checkEach(
  checker: Checker,
  branches: readonly number[],
  signal: AbortSignal,
  say: (text: string) => void,
): Promise<number[]> {
  const left: number[] = [];
  for (const branch of branches) {
    try {
      const { quiet, findings } = signal.aborted ? { quiet: false, findings: [] } : await checker.check(branch);
      for (const finding of findings) say(finding.says);
      if (!quiet) left.push(branch);
    } catch (error) {
      if (!(error instanceof SheafError) || error.retry === "never") throw error;
      left.push(branch);
    }
  }
  return left;
}

const branchesOf = (checker: Checker): number[] => Array.from({ length: checker.branches }, (_, branch) => branch);

/** Checks every branch until it was quiet, or the signal aborts. Resolves with the number of those that were not. */
export async function checkAll(checker: Checker, signal: AbortSignal, say: (text: string) => void): Promise<number> {
  for (let left = branchesOf(checker); ;) {
    left = await checkEach(checker, left, signal, say);
    if (left.length === 0 || signal.aborted) return left.length;
    await sleep(50, undefined, { signal }).catch(() => {});
  }
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { once: { type: "boolean", default: false } } });
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stop.abort());
  // The channel to `sheaf dev`, when it started us: it closes when that is gone, however it went.
  process.on("disconnect", () => stop.abort());
  process.channel?.unref();
  const { SHEAF_URL: urls = "http://127.0.0.1:4000", SHEAF_TOKEN: token, SHEAF_DATA: data = ".sheaf" } = process.env;
  const url = urls.split(",");
  const client = connect(ledger, token === undefined ? { url } : { url, token });
  const checker = new Checker(client, booksPath(data));
  let good = true;
  const report = (): void => {
    const { line, ok } = checker.summary();
    good &&= ok;
    process.stdout.write(`${JSON.stringify({ line, ok: good })}\n`);
  };
  const timer = values.once ? undefined : setInterval(report, 1000);
  const say = (text: string): void => void process.stderr.write(`✗ ${text}\n`);
  if (values.once) {
    const left = await checkAll(checker, AbortSignal.any([stop.signal, AbortSignal.timeout(60_000)]), say);
    if (left > 0) {
      good = false;
      say(`${left} branches still had transfers under way after a minute; the load finishes them`);
    }
  }
  while (!values.once && !stop.signal.aborted) {
    await checkEach(checker, branchesOf(checker), stop.signal, say);
    await sleep(1000, undefined, { signal: stop.signal }).catch(() => {});
  }
  clearInterval(timer);
  report();
  checker.close();
  client.close();
  return good ? 0 : 6;
}

if (import.meta.main) process.exitCode = await main();

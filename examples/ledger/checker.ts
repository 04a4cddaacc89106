// The checker: holds the ledger to what it acknowledged, all the time. A branch in which no transfer is under way is quiet: the
// books then say to the cent, and to the transfer, what each of its accounts must show. The checker reads a branch's accounts,
// makes sure that it stayed quiet meanwhile, and compares.
//
// `sheaf dev` starts it beside the app. By hand: node checker.ts [--once]; it finds the nodes by SHEAF_URL (several with
// commas between them), SHEAF_TOKEN and SHEAF_DATA. Prints one line of JSON a second: { line, ok }. Ends with exit code 6 when anything was ever wrong.

import { type Client, SheafError } from "sheaf";
import { connect } from "sheaf/client";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { accountName, booksPath, branchOf, Reader, stepOf } from "./books.ts";
import { Account, type ledger as Ledger, ledger } from "./contracts.ts";

/** What an account must show. */
export type Expected = { cents: number; sent: number; got: number };

export type Finding = {
  readonly account: string;
  readonly lost: number;
  readonly duplicated: number;
  readonly says: string;
};

export type Verdict =
  /** A transfer was under way; nothing can be said. */
  | { readonly kind: "busy" }
  | { readonly kind: "checked"; readonly cents: number; readonly findings: readonly Finding[] };

type Shown = Expected & { readonly holds: readonly unknown[]; readonly arrived: readonly unknown[] };

/** What is wrong with an account in a quiet branch; undefined when all is as it must be. */
export function compare(account: string, expected: Expected, shown: Shown): Finding | undefined {
  const missing = Math.max(expected.sent - shown.sent, 0) + Math.max(expected.got - shown.got, 0);
  const surplus = Math.max(shown.sent - expected.sent, 0) + Math.max(shown.got - expected.got, 0);
  const stuck = shown.holds.length + shown.arrived.length;
  if (missing + surplus + stuck === 0 && shown.cents === expected.cents) return undefined;
  const says =
    `${account} shows ${money(shown.cents)} after ${shown.sent} sent, ${shown.got} received, ${stuck} in flight; ` +
    `acknowledged were ${money(expected.cents)} after ${expected.sent} sent, ${expected.got} received, none in flight`;
  return { account, lost: missing, duplicated: surplus, says };
}

export class Checker {
  readonly #client: Client<typeof Ledger>;
  readonly #books: Reader;
  /** By branch, then account. */
  readonly #expected: Expected[][] = [];
  readonly #verdicts = new Map<number, Verdict & { kind: "checked" }>();

  constructor(client: Client<typeof Ledger>, path: string) {
    this.#client = client;
    this.#books = new Reader(path, (n, applied) => applied && this.#apply(n));
  }

  #apply(n: number): void {
    const step = stepOf(this.#books.plan!, n);
    const accounts = this.#accounts(step.branch);
    const [from, to] = [accounts[step.from]!, accounts[step.to]!];
    from.cents -= step.cents;
    from.sent += 1;
    to.cents += step.cents;
    to.got += 1;
  }

  #accounts(branch: number): Expected[] {
    const { accounts, cents } = this.#books.plan!;
    return (this.#expected[branch] ??= Array.from({ length: accounts }, () => ({ cents, sent: 0, got: 0 })));
  }

  /** How many branches there are; 0 while the load has not opened its accounts. */
  get branches(): number {
    this.#books.read();
    return this.#books.opened ? this.#books.plan!.branches : 0;
  }

  #quiet(branch: number): boolean {
    this.#books.read();
    for (const visit of this.#books.open.keys()) if (branchOf(this.#books.plan!, visit) === branch) return false;
    return true;
  }

  async check(branch: number): Promise<Verdict> {
    if (!this.#quiet(branch)) return { kind: "busy" };
    const visits = this.#books.visits;
    const expected = this.#accounts(branch);
    const names = expected.map((_, n) => accountName(this.#books.plan!, branch, n));
    const shown = await Promise.all(
      names.map((name) => this.#client.entity(Account, name).statement({ consistency: "strong" })),
    );
    // A visit is in the books before it begins, so if none has come to this branch since, none was under way while we read.
    this.#books.read();
    for (let visit = visits; visit < this.#books.visits; visit++) {
      if (branchOf(this.#books.plan!, visit) === branch) return { kind: "busy" };
    }
    const findings = shown.flatMap((statement, n) => compare(names[n]!, expected[n]!, statement) ?? []);
    const verdict = { kind: "checked", cents: shown.reduce((sum, { cents }) => sum + cents, 0), findings } as const;
    this.#verdicts.set(branch, verdict);
    return verdict;
  }

  /** What the last check of each branch found. */
  summary(): { readonly line: string; readonly ok: boolean } {
    const branches = this.branches;
    const verdicts = [...this.#verdicts.values()];
    if (branches === 0 || verdicts.length < branches)
      return { line: `checker: ${verdicts.length} of ${branches} branches read`, ok: this.#ok() };
    const sum = (of: (finding: Finding) => number): number =>
      verdicts.reduce((all, { findings }) => findings.reduce((n, f) => n + of(f), all), 0);
    const total = verdicts.reduce((all, { cents }) => all + cents, 0);
    // A transfer has two ends: one that is missing at both is one lost transfer.
    const lost = Math.ceil(sum((finding) => finding.lost) / 2);
    const duplicated = Math.ceil(sum((finding) => finding.duplicated) / 2);
    const wrong = verdicts.flatMap(({ findings }) => findings).length;
    const accounts = wrong === 0 ? "" : `  ${wrong} accounts do not match`;
    return {
      line: `total money = ${money(total)}  ${lost} lost · ${duplicated} duplicated${accounts}`,
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

/** Checks every branch once, waiting for each to be quiet until the signal aborts. Says what is wrong as it is found.
 *  Resolves with the number of branches that were not checked. */
export async function checkAll(checker: Checker, signal: AbortSignal, say: (text: string) => void): Promise<number> {
  let left = Array.from({ length: checker.branches }, (_, branch) => branch);
  while (left.length > 0 && !signal.aborted) {
    const busy: number[] = [];
    for (const branch of left) {
      if (signal.aborted) break;
      const verdict = await patiently(() => checker.check(branch));
      if (verdict.kind === "busy") busy.push(branch);
      else for (const finding of verdict.findings) say(finding.says);
    }
    if (signal.aborted) break;
    left = busy;
    if (left.length > 0) await sleep(50, undefined, { signal }).catch(() => {});
  }
  return left.length;
}

/** A node that is away for a moment is no violation: a branch that cannot be read is a branch not checked. */
async function patiently(check: () => Promise<Verdict>): Promise<Verdict> {
  try {
    return await check();
  } catch (error) {
    if (error instanceof SheafError && error.retry !== "never") return { kind: "busy" };
    throw error;
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
    await checkAll(checker, stop.signal, say);
    await sleep(500, undefined, { signal: stop.signal }).catch(() => {});
  }
  clearInterval(timer);
  report();
  checker.close();
  client.close();
  return good ? 0 : 6;
}

if (import.meta.main) process.exitCode = await main();

// The load generator: workers that make transfers one after another, follow each to its end, and note that in the books.
// `sheaf dev` starts it beside the app. By hand: node load.ts [--workers N] [--rate N] [--most N]; it finds the nodes by
// SHEAF_URL (several with commas between them), SHEAF_TOKEN and SHEAF_DATA. Prints one line of JSON a second: { line, ok }.

import { type Client, SheafError } from "sheaf";
import { connect } from "sheaf/client";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { accountName, booksPath, orderOf, type Plan, Reader, Writer } from "./books.ts";
import { Account, Bank, ledger, Transfer } from "./contracts.ts";

export type LoadOptions = {
  readonly path: string;
  /** How many transfers are under way at a time. */
  readonly workers: number;
  /** Transfers a second over all workers; 0 for as many as go. */
  readonly rate: number;
  readonly signal: AbortSignal;
  /** Transfers to make at most. */
  readonly most?: number;
  readonly plan?: Partial<Plan>;
};

export type Tally = {
  /** Times of transfers since `take`, milliseconds. */
  readonly times: number[];
  retries: number;
  /** Transfers under way that are late. */
  readonly late: Set<string>;
};
export const freshTally = (): Tally => ({ times: [], retries: 0, late: new Set() });

/** What is under way when the load is to stop has this long to end. */
const graceMs = 2_000;

const freshPlan = (): Plan => ({
  run: Math.random().toString(36).slice(2, 8),
  branches: 100,
  accounts: 10,
  cents: 100_000,
  perVisit: 20,
});

type Bank = Client<typeof ledger>;

/** Makes transfers until the signal aborts or `most` are made. First finishes what an earlier, interrupted run had begun. */
export async function load(client: Bank, tally: Tally, options: LoadOptions): Promise<void> {
  const { path, signal } = options;
  const over = new AbortController();
  const stop = (): void => void setTimeout(() => over.abort(), graceMs).unref();
  if (signal.aborted) stop();
  else signal.addEventListener("abort", stop);
  const books = new Reader(path);
  const writer = new Writer(path, { ...freshPlan(), ...options.plan });
  try {
    books.read();
    const plan = books.plan!;
    if (!books.opened) await openAccounts(client, plan, signal);
    writer.add("opened");
    const left = [...books.open.values()].flatMap((numbers) => [...numbers]);
    const pace = pacer(options.rate, signal);
    await spread(options.workers, left, (n) => transfer(client, plan, n, writer, tally, over.signal));
    let visit = books.visits;
    let made = 0;
    const work = async (): Promise<void> => {
      while (!signal.aborted && made < (options.most ?? Infinity)) {
        const first = visit++ * plan.perVisit;
        made += plan.perVisit;
        writer.add(`R ${first / plan.perVisit}`);
        await writer.synced();
        for (let n = first; n < first + plan.perVisit; n++) {
          await pace();
          if (signal.aborted) writer.add(`S ${n}`);
          else await transfer(client, plan, n, writer, tally, over.signal);
        }
      }
    };
    await Promise.all(Array.from({ length: options.workers }, work));
  } finally {
    books.close();
    writer.close();
  }
}

async function openAccounts(client: Bank, plan: Plan, signal: AbortSignal): Promise<void> {
  const numbers = Array.from({ length: plan.branches * plan.accounts }, (_, n) => n);
  await spread(64, numbers, async (n) => {
    const name = accountName(plan, Math.floor(n / plan.accounts), n % plan.accounts);
    await insist(
      () => client.entity(Account, name).open({ cents: plan.cents }),
      signal,
      () => {},
    );
  });
  signal.throwIfAborted();
}

/** One transfer, asked for until that is certain, and followed to its end; then noted. */
async function transfer(
  client: Bank,
  plan: Plan,
  n: number,
  writer: Writer,
  tally: Tally,
  signal: AbortSignal,
): Promise<void> {
  const order = orderOf(plan, n);
  const began = performance.now();
  const insisted = <T>(attempt: () => Promise<T>): Promise<T | undefined> =>
    insist(attempt, signal, () => tally.retries++);
  await insisted(() => client.service(Bank).transfer(order, { deadlineMs: 3_000 }));
  for (let pause = 5; !signal.aborted; pause = Math.min(pause * 2, 100)) {
    const status = await insisted(() => client.entity(Transfer, order.id).status());
    if (status?.late) tally.late.add(order.id);
    if (status?.phase === "done" || status?.phase === "refused" || status?.phase === "returned") {
      tally.late.delete(order.id);
      writer.add(`${status.phase === "done" ? "A" : "X"} ${n}`);
      tally.times.push(performance.now() - began);
      return;
    }
    await sleep(pause, undefined, { signal }).catch(() => {});
  }
}

/** Tries until it works: the same transfer asked for twice is made once. Undefined when stopped before that. */
async function insist<T>(attempt: () => Promise<T>, signal: AbortSignal, again: () => void): Promise<T | undefined> {
  for (let pause = 20; !signal.aborted; pause = Math.min(pause * 2, 500)) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof SheafError) || error.retry === "never") throw error;
      again();
      await sleep(pause, undefined, { signal }).catch(() => {});
    }
  }
  return undefined;
}

/** Does all items, `width` at a time. */
async function spread<T>(width: number, items: readonly T[], each: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  const worker = async (): Promise<void> => {
    for (const item of rest) await each(item);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

/** Waits for the next of `rate` evenly spaced moments a second. Moments that nobody waited for are not made up for. */
function pacer(rate: number, signal: AbortSignal): () => Promise<void> {
  let next = performance.now();
  return async () => {
    if (rate <= 0) return;
    const now = performance.now();
    next = Math.max(now, next + 1000 / rate);
    if (next > now) await sleep(next - now, undefined, { signal }).catch(() => {});
  };
}

const at = (sorted: readonly number[], share: number): string =>
  (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(1);

const slowestSeconds = 15;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      workers: { type: "string", default: "8" },
      rate: { type: "string", default: "100" },
      most: { type: "string", default: "Infinity" },
    },
  });
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stop.abort());
  // The channel to `sheaf dev`, when it started us: it closes when that is gone, however it went.
  process.on("disconnect", () => stop.abort());
  process.channel?.unref();
  const { SHEAF_URL: urls = "http://127.0.0.1:4000", SHEAF_TOKEN: token, SHEAF_DATA: data = ".sheaf" } = process.env;
  const url = urls.split(",");
  const client = connect(ledger, token === undefined ? { url } : { url, token });
  const tally = freshTally();
  let began = performance.now();
  /** Of each of the last seconds: what a caller notices when a node dies. */
  const slowest: number[] = [];
  const report = setInterval(() => {
    const seconds = (performance.now() - began) / 1000;
    began = performance.now();
    const times = tally.times.splice(0).sort((a, b) => a - b);
    const rate = `${Math.round(times.length / seconds)} transfers/s`;
    slowest.push(times.at(-1) ?? 0);
    if (slowest.length > slowestSeconds) slowest.shift();
    const worst = `slowest ${at([Math.max(...slowest)], 0)} ms in ${slowestSeconds} s`;
    const retries = tally.retries === 0 ? "" : `  ${tally.retries} repeated`;
    const late = tally.late.size === 0 ? "" : `  ${tally.late.size} late`;
    const line =
      times.length === 0
        ? `no transfers${retries}${late}`
        : `${rate}  p50 ${at(times, 0.5)} ms  p99 ${at(times, 0.99)} ms  ${worst}${retries}${late}`;
    tally.retries = 0;
    process.stdout.write(`${JSON.stringify({ line, ok: true })}\n`);
  }, 1000);
  const { workers, rate, most } = values;
  const options = {
    path: booksPath(data),
    workers: Number(workers),
    rate: Number(rate),
    most: Number(most),
    signal: stop.signal,
  };
  try {
    await load(client, tally, options);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    clearInterval(report);
    client.close();
  }
}

if (import.meta.main) await main();

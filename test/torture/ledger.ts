// The ledger of examples/ledger, its own load and its own checker. What the checker finds while a strike lasts is put down to it. In the
// end every transfer that was begun is over, every account is exact, and nothing was given up.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { SheafError } from "../../src/base/index.ts";
import { connect } from "../../src/client/index.ts";
import { booksPath, orderOf, Reader } from "../../examples/ledger/books.ts";
import { checkAll, Checker } from "../../examples/ledger/checker.ts";
import { ledger, Transfer } from "../../examples/ledger/contracts.ts";
import { freshTally, load } from "../../examples/ledger/load.ts";
import { bookedClient } from "./booked-client.ts";
import { arrivalMs, deadlineMs, type Load, type Setting, type Workload } from "./workload.ts";

export const ledgerWorkload: Workload = {
  app: new URL("../../examples/ledger/app.ts", import.meta.url),
  defective: new URL("defects/ledger/app.ts", import.meta.url),
  begin,
};

const workers = 32;
const plan = { branches: 12, accounts: 5, cents: 100_000, perVisit: 10 };

function begin({ tally, gateways, token, deadLetters }: Setting): Load {
  const folder = mkdtempSync(join(tmpdir(), "sheaf-books-"));
  const path = booksPath(folder);
  const connection = connect(ledger, { url: gateways, token, deadlineMs });
  const client = bookedClient(connection, tally);
  const found = (says: string): void => void tally.now.violations.push(says);
  const stop = new AbortController();
  let ended = 0;
  let checks = 0;
  const books = new Reader(path, () => void ended++);
  const underWay = (): number => {
    books.read();
    return [...books.open.values()].reduce((sum, numbers) => sum + numbers.size, 0);
  };
  const loading = load(client, freshTally(), { path, workers, rate: 0, signal: stop.signal, plan });
  const checker = new Checker(client, path);
  const checking = (async () => {
    const said = new Set<string>();
    const look = async (branch: number): Promise<void> => {
      const verdict = await checker.check(branch).catch(unread);
      if (verdict !== undefined) checks++;
      for (const { says } of verdict?.findings ?? []) if (!said.has(says) && said.add(says)) found(says);
    };
    for (; !stop.signal.aborted; await sleep(100))
      await Promise.all(Array.from({ length: checker.branches }, (_, branch) => look(branch)));
  })();
  return {
    rings: [],
    get underWay() {
      return Math.min(workers, underWay());
    },
    turnOver() {},
    async verify() {
      stop.abort();
      await Promise.all([loading, checking]);
      // What was begun goes on to its end.
      const given = AbortSignal.timeout(arrivalMs);
      await load(client, freshTally(), { path, workers, rate: 0, signal: given, most: 0, plan });
      if (underWay() > 0) {
        const left = [...books.open.values()].flatMap((numbers) => [...numbers]);
        for (const id of left.map((n) => orderOf(books.plan!, n).id))
          found(`${id} is still ${(await client.entity(Transfer, id).status()).phase}`);
      }
      await checkAll(checker, given, found);
      for (const { entity, key, cause } of await deadLetters()) found(`${entity}/${key} was given up: ${cause}`);
      underWay();
      for (const each of [books, checker, connection]) each.close();
      rmSync(folder, { recursive: true, force: true });
      return { transfers: ended, checks };
    },
  };
}

/** What cannot be read just now is read the next time. */
function unread(error: unknown): undefined {
  if (!(error instanceof SheafError) || error.retry === "never") throw error;
}

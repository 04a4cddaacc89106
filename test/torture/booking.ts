// The box office of examples/booking, its own crowd and its own checker. What the checker finds while a strike lasts is put down to it. In
// the end everybody who came was told the truth, what is sold is counted, and nothing was given up.

import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "../../src/client/index.ts";
import type { Entry } from "../../examples/booking/books.ts";
import { Checker } from "../../examples/booking/checker.ts";
import { booking } from "../../examples/booking/contracts.ts";
import { type Crowd, load, type Outside } from "../../examples/booking/load.ts";
import { bookedClient } from "./booked-client.ts";
import type { Stretch } from "./tally.ts";
import { mostLateMs, ticks, unansweredMs } from "./timers.ts";
import { arrivalMs, deadlineMs, type Load, type Setting, type Workload } from "./workload.ts";

export const bookingWorkload: Workload = {
  app: new URL("../../examples/booking/app.ts", import.meta.url),
  defective: new URL("defects/booking/app.ts", import.meta.url),
  begin,
};

/** Shows that are sold out within some seconds, and seats that several wait for. */
const crowd: Crowd = { people: 80, sections: 4, seats: 5, holdMs: 4_000, room: 120, run: "torture", shows: 1 };
/** A hold that outlived its deadline by more than a second. */
type Late = { readonly says: string; readonly lateMs: number; readonly seenAt: number };
/** The checker sees it at most so long after it has ended. */
const seenWithinMs = 5_000;

/** Callers went unanswered for as long meanwhile, but for a second: what takeovers took in this very run (R2). */
export const isExplained = ({ lateMs, seenAt }: Late, stretches: readonly Stretch[]): boolean =>
  lateMs <= mostLateMs + unansweredMs(stretches, seenAt - lateMs - seenWithinMs, seenAt);

/** The last show may take so long to be sold out. */
const lastShowMs = 30_000;

function begin({ tally, gateways, token, deadLetters }: Setting): Load {
  const connection = connect(booking, { url: gateways, token, deadlineMs });
  const office = bookedClient(connection, tally);
  const found = (says: string): void => void tally.now.violations.push(says);
  const late: (Late & { readonly stretch: Stretch })[] = [];
  const checker = new Checker(office, (says, lateMs) =>
    lateMs > 0 ? void late.push({ says, lateMs, seenAt: ticks(), stretch: tally.now }) : found(says),
  );
  const books: Entry[] = [];
  const there = new Set<string>();
  let [ended, checks] = [0, 0];
  const outside = (stopped: () => boolean): Outside => ({
    note(entry) {
      books.push(entry);
      checker.take(entry);
      if ("begun" in entry) there.add(entry.begun);
      if ("ended" in entry && there.delete(entry.ended)) ended++;
    },
    sleep: async (ms) => void (await sleep(ms)),
    stopped,
  });
  let phase = "open" as "open" | "last show" | "closed" | "told";
  const selling = (async () => {
    while (phase === "open")
      await load(
        office,
        crowd,
        outside(() => phase === "closed"),
        [...books],
      );
  })();
  const checking = (async () => {
    for (let until = Infinity; ; await sleep(50)) {
      const all = await checker.round();
      checks++;
      if (phase !== "told") continue;
      until = Math.min(until, performance.now() + arrivalMs);
      if (all) return;
      if (performance.now() > until) return found("not everything that was told could be checked");
    }
  })();
  return {
    rings: [],
    get underWay() {
      return there.size;
    },
    turnOver() {},
    async verify() {
      phase = "last show";
      await Promise.race([selling, sleep(lastShowMs)]);
      phase = "closed";
      await selling;
      // Those who are there are told how it ends for them.
      const given = AbortSignal.timeout(arrivalMs);
      await load(
        office,
        { ...crowd, shows: 0 },
        outside(() => given.aborted),
        [...books],
      );
      if (there.size > 0) found(`${there.size} people were never told`);
      phase = "told";
      await checking;
      for (const { entity, key, cause } of await deadLetters()) found(`${entity}/${key} was given up: ${cause}`);
      for (const each of late) if (!isExplained(each, tally.stretches)) each.stretch.violations.push(each.says);
      connection.close();
      return { bookings: ended, checks };
    },
  };
}

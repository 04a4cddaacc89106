// The load generator: a crowd before the box office. Each visitor stands in line for a seat and pays for it, or walks away from it;
// when a show is sold out the next one opens. `sheaf dev` starts it beside the app.
// By hand: node load.ts [--people N] [--sections N] [--seats N] [--hold MS] [--shows N]; it finds the nodes by SHEAF_URL (several with
// commas between them), SHEAF_TOKEN and SHEAF_DATA. Prints one line of JSON a second: { line, ok }.

import { type Client, SheafError } from "sheaf";
import { connect } from "sheaf/client";
import process from "node:process";
import { setTimeout as timer } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Books, booksPath, type Entry, sectionOf } from "./books.ts";
import { Booking, booking as contract, Section } from "./contracts.ts";
import { draw } from "./payment.ts";

export type Office = Client<typeof contract>;
export type Crowd = {
  /** Who is there at a time. */
  readonly people: number;
  readonly sections: number;
  /** Of each section. */
  readonly seats: number;
  readonly holdMs: number;
  /** How many may stand in line, per section. */
  readonly room: number;
  /** Begins the names of shows. */
  readonly run: string;
  /** Shows to sell out at most. */
  readonly shows: number;
};
/** What the load does with the world: a test has its own. */
export type Outside = {
  readonly note: (entry: Entry) => void;
  readonly sleep: (ms: number) => Promise<void>;
  readonly stopped: () => boolean;
};

type Show = { readonly name: string; readonly sections: readonly string[]; visitors: number };

/** One in five walks away from a seat that is held, without a word. */
const walksAway = (booking: string): boolean => draw(`walks away: ${booking}`) < 20;

/** Sells out one show after the other. `past` is what the books say of an earlier run: what that had begun is finished first. */
export async function load(office: Office, crowd: Crowd, outside: Outside, past: readonly Entry[] = []): Promise<void> {
  const { show: left, begun, shows } = unfinished(past);
  const visiting = begun.map((booking) => visit(office, booking, crowd, outside));
  for (let n = shows; n < shows + crowd.shows && !outside.stopped(); n++) {
    const show = n === shows && left ? left : planned(crowd, n);
    if (show !== left) outside.note({ show: show.name, sections: show.sections, seats: crowd.seats });
    for (const section of show.sections)
      await insist(() => office.entity(Section, section).open(openingOf(crowd)), outside);
    await sellOut(office, crowd, outside, show);
    await Promise.all(visiting.splice(0));
    if (!outside.stopped()) outside.note({ over: show.name });
  }
  await Promise.all(visiting);
}

const openingOf = ({ seats, holdMs, room }: Crowd) => ({ seats, holdMs, room });

const planned = ({ run, sections }: Crowd, n: number): Show => {
  const name = `load-${run}-${n}`;
  return { name, sections: Array.from({ length: sections }, (_, i) => `${name}.part-${i + 1}`), visitors: 0 };
};

/** The show that is not over, the bookings in it that have not ended, and how many shows are over. */
function unfinished(past: readonly Entry[]): { show: Show | undefined; begun: string[]; shows: number } {
  let show: Show | undefined;
  let shows = 0;
  const begun = new Set<string>();
  for (const entry of past) {
    if ("show" in entry) show = { name: entry.show, sections: entry.sections, visitors: 0 };
    else if ("begun" in entry) {
      begun.add(entry.begun);
      show!.visitors++;
    } else if ("ended" in entry) begun.delete(entry.ended);
    else [show, shows] = [undefined, shows + 1];
  }
  return { show, begun: [...begun], shows };
}

/** People come until every section has said that it is sold out. */
async function sellOut(office: Office, crowd: Crowd, outside: Outside, show: Show): Promise<void> {
  const open = [...show.sections];
  const person = async (): Promise<void> => {
    while (open.length > 0 && !outside.stopped()) {
      const n = show.visitors++;
      const section = open[n % open.length]!;
      const booking = `${section}.${n}`;
      outside.note({ begun: booking });
      const why = await visit(office, booking, crowd, outside);
      if (why === "sold out" && open.includes(section)) open.splice(open.indexOf(section), 1);
      if (why === "line full") await outside.sleep(500);
    }
  };
  await Promise.all(Array.from({ length: crowd.people }, person));
}

/** One visitor, from the line to the end, which is noted. Resolves with why the visitor was refused, if so. */
async function visit(office: Office, booking: string, crowd: Crowd, outside: Outside): Promise<string | undefined> {
  // A large crowd looks less often.
  const longest = Math.max(500, 2 * crowd.people);
  const own = office.entity(Booking, booking);
  await insist(() => own.begin({ section: sectionOf(booking) }), outside);
  for (let pause = 20; ; pause = Math.min(pause * 2, longest)) {
    const status = await insist(() => own.status(), outside);
    if (status === undefined) return undefined;
    if (status.phase === "confirmed" || status.phase === "expired" || status.phase === "refused") {
      const seat = status.phase === "confirmed" ? status.hold!.seat : undefined;
      outside.note({ ended: booking, phase: status.phase, seat });
      return status.why;
    }
    if (status.phase === "held" && !walksAway(booking)) await insist(() => own.pay(), outside);
    await outside.sleep(pause);
  }
}

/** Tries until it works: to begin, to pay and to open twice is as once. Undefined when stopped before that. */
async function insist<T>(attempt: () => Promise<T>, { sleep, stopped }: Outside): Promise<T | undefined> {
  for (let pause = 20; !stopped(); pause = Math.min(pause * 2, 500)) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof SheafError) || error.retry === "never") throw error;
      await sleep(pause);
    }
  }
  return undefined;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      people: { type: "string", default: "100" },
      sections: { type: "string", default: "4" },
      seats: { type: "string", default: "25" },
      hold: { type: "string", default: "2000" },
      shows: { type: "string", default: "Infinity" },
    },
  });
  let stopped = false;
  const stop = (): void => void (stopped = true);
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, stop);
  // The channel to `sheaf dev`, when it started us: it closes when that is gone, however it went.
  process.on("disconnect", stop);
  process.channel?.unref();
  const { SHEAF_URL: urls = "http://127.0.0.1:4000", SHEAF_TOKEN: token, SHEAF_DATA: data = ".sheaf" } = process.env;
  const url = urls.split(",");
  const office = connect(contract, token === undefined ? { url } : { url, token });
  const books = new Books(booksPath(data), "write");
  const ends: Record<string, number> = { confirmed: 0, expired: 0, refused: 0 };
  let show = "";
  const outside: Outside = {
    note(entry) {
      books.add(entry);
      if ("ended" in entry) ends[entry.phase]!++;
      if ("show" in entry) show = entry.show;
    },
    sleep: async (ms) => void (await timer(ms)),
    stopped: () => stopped,
  };
  const report = setInterval(() => {
    const said = Object.entries(ends).map(([phase, count]) => `${count} ${phase}`);
    for (const phase of Object.keys(ends)) ends[phase] = 0;
    process.stdout.write(`${JSON.stringify({ line: `${show}: ${said.join(" · ")} in a second`, ok: true })}\n`);
  }, 1000);
  const { people, sections, seats, hold, shows } = values;
  const crowd = {
    people: Number(people),
    sections: Number(sections),
    seats: Number(seats),
    holdMs: Number(hold),
    room: 20 * Number(seats),
    run: Math.random().toString(36).slice(2, 8),
    shows: Number(shows),
  };
  try {
    await load(office, crowd, outside, books.read());
  } finally {
    clearInterval(report);
    books.close();
    office.close();
  }
}

if (import.meta.main) await main();

// The checker: holds the box office to what it said, all the time, by reading it from outside.
//
// B1. No seat is sold twice: a seat that was seen sold, or that a visitor was told is theirs, is that booking's for ever.
// B2. Each section has the seats that it was opened with, each of them sold, held or free, and no booking has two of them.
// B3. No hold outlives its deadline by more than a second, by the cluster's clock. While a section did not answer nobody can be
//     late: then the second begins with its first answer.
// B4. The line is served in order: of two bookings of a section, the one that came first was given a seat first.
// B5. A booking that is confirmed has one confirmation, any other has none.
// B6. A show's sales are, soon after its end, those that were confirmed.
//
// `sheaf dev` starts it beside the app. By hand: node checker.ts [--once]; it finds the nodes by SHEAF_URL (several with commas
// between them), SHEAF_TOKEN and SHEAF_DATA. Prints one line of JSON a second: { line, ok }. Ends with exit code 6 when anything was ever wrong.

import { SheafError } from "sheaf";
import { connect } from "sheaf/client";
import process from "node:process";
import { setTimeout as timer } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Books, booksPath, type Entry, sectionOf } from "./books.ts";
import { Booking, booking as contract, Mail, Sales, Section } from "./contracts.ts";
import type { Office } from "./load.ts";
import { showOf } from "./sales.ts";

const mayBeLateMs = 1000;
/** A section that was not heard of for so long was not there for that while. */
const silenceMs = 500;
/** A show's sales are looked at so often until they are right. */
const patience = 100;

/** What is known of a section. */
type Known = {
  readonly seats: number;
  /** By seat: whose it is. */
  readonly sold: Map<number, string>;
  /** Of bookings that have ended and were given a seat, by turn. */
  readonly turns: { readonly turn: number; readonly ticket: number }[];
  /** When it last answered, by its own clock, and the times for which it did not, or was not asked. */
  heard: number | undefined;
  readonly silences: { readonly from: number; readonly to: number }[];
};
type Show = {
  readonly sections: Map<string, Known>;
  readonly ended: Extract<Entry, { ended: string }>[];
  confirmed: number;
  over: boolean;
  looks: number;
};

const kinds = ["sold twice", "miscounted", "late", "out of order", "confirmed wrongly"] as const;
type Kind = (typeof kinds)[number];

export class Checker {
  readonly #office: Office;
  readonly #say: (text: string, lateMs: number) => void;
  readonly #shows = new Map<string, Show>();
  readonly #wrong = new Set<string>();
  readonly counts = Object.fromEntries(kinds.map((kind) => [kind, 0])) as Record<Kind, number>;
  confirmed = 0;
  worstLateMs = 0;

  /** `say` is told what is wrong, and of a hold that was late by how much. */
  constructor(office: Office, say: (text: string, lateMs: number) => void) {
    this.#office = office;
    this.#say = say;
  }

  /** What the load wrote into its books. */
  take(entry: Entry): void {
    if ("show" in entry) {
      const known = (): Known => ({ seats: entry.seats, sold: new Map(), turns: [], heard: undefined, silences: [] });
      const sections = new Map(entry.sections.map((section) => [section, known()]));
      this.#shows.set(entry.show, { sections, ended: [], confirmed: 0, over: false, looks: 0 });
    } else if ("ended" in entry) this.#shows.get(showOf(entry.ended))!.ended.push(entry);
    else if ("over" in entry) this.#shows.get(entry.over)!.over = true;
  }

  /** Looks at every section, at every booking that has ended since, and at shows that are over. What cannot be read now, as when a node is
   *  away for a moment, is read the next time. Resolves with whether everything was read that there is. */
  async round(): Promise<boolean> {
    const done = await Promise.all([...this.#shows].map(([name, show]) => this.#show(name, show)));
    return done.every(Boolean);
  }

  async #show(name: string, show: Show): Promise<boolean> {
    const looked = await Promise.all(
      [...show.sections].map(([section, known]) => attempt(() => this.#look(section, known))),
    );
    const ended = show.ended.splice(0);
    const judged = await Promise.all(ended.map((each) => attempt(() => this.#judge(show, each))));
    show.ended.unshift(...ended.filter((_, i) => !judged[i]));
    const read = looked.every(Boolean) && show.ended.length === 0;
    if (!read || !show.over) return read;
    return attempt(() => this.#close(name, show));
  }

  async #look(section: string, known: Known): Promise<void> {
    const before = [...known.sold.keys()];
    const { now, seats } = await this.#office.entity(Section, section).look();
    if (seats.length === 0 && known.heard === undefined) return; // It is not open yet.
    const { heard } = known;
    if (heard === undefined || now - heard > silenceMs) known.silences.push({ from: heard ?? 0, to: now });
    known.heard = Math.max(now, heard ?? 0);
    const holders = new Set<string>();
    for (const [seat, { is, ...rest }] of seats.entries()) {
      if (!("booking" in rest)) continue;
      if (holders.has(rest.booking)) this.#found("miscounted", `${rest.booking} has two seats`);
      holders.add(rest.booking);
      if (is === "sold") this.#claim(section, known, seat, rest.booking);
      if ("until" in rest) this.#late(known, rest.until, now, `${rest.booking} still has seat ${seat}`);
    }
    for (const seat of before)
      if (seats[seat]?.is !== "sold")
        this.#found("sold twice", `${section}, seat ${seat} was sold and can be had again`);
    const count = (is: string): number => seats.filter((seat) => seat.is === is).length;
    const [sold, held, free] = [count("sold"), count("held"), count("free")];
    if (sold + held + free !== known.seats)
      this.#found("miscounted", `${section}: ${sold} sold, ${held} held, ${free} free, of ${known.seats} seats`);
  }

  #claim(section: string, { sold }: Known, seat: number, booking: string): void {
    const first = sold.get(seat) ?? booking;
    sold.set(seat, first);
    if (first !== booking) this.#found("sold twice", `${section}, seat ${seat} is sold to ${first} and to ${booking}`);
  }

  /** The time from when a hold was to end, or could end after a silence, to when it was still there or ended. */
  #late({ silences }: Known, until: number, at: number, says: string): void {
    const over = silences.filter(({ from, to }) => from < at && to > until).map(({ to }) => to);
    const lateMs = at - Math.max(until, ...over);
    this.worstLateMs = Math.max(this.worstLateMs, lateMs);
    if (lateMs > mayBeLateMs) this.#found("late", says, lateMs);
  }

  /** Holds what a visitor was told against what is there. */
  async #judge(show: Show, { ended, phase, seat }: Extract<Entry, { ended: string }>): Promise<void> {
    const [status, posted] = await Promise.all([
      this.#office.entity(Booking, ended).status({ consistency: "strong" }),
      this.#office.entity(Mail, ended).posted(),
    ]);
    const section = sectionOf(ended);
    const known = show.sections.get(section)!;
    if (phase === "confirmed") {
      show.confirmed++;
      this.confirmed++;
      this.#claim(section, known, seat!, ended);
    }
    if (status.phase !== phase || (phase === "confirmed" && status.hold?.seat !== seat))
      this.#found("confirmed wrongly", `${ended} was told ${phase} ${seat ?? ""}, and is ${status.phase}`);
    if (posted !== (phase === "confirmed" ? 1 : 0))
      this.#found("confirmed wrongly", `${ended} is ${phase} and has ${posted} confirmations`);
    if (status.hold === undefined) return;
    if (status.expiredAt !== undefined)
      this.#late(known, status.hold.until, status.expiredAt, `${ended} had seat ${status.hold.seat}`);
    this.#turn(section, known.turns, status.hold);
  }

  #turn(section: string, turns: Known["turns"], { turn, ticket }: Known["turns"][number]): void {
    const after = turns.findIndex((other) => other.turn > turn);
    const at = after < 0 ? turns.length : after;
    turns.splice(at, 0, { turn, ticket });
    if ((turns[at - 1]?.ticket ?? 0) >= ticket || (turns[at + 1]?.ticket ?? Infinity) <= ticket)
      this.#found("out of order", `${section}: who came as number ${ticket} was served as number ${turn}, past others`);
  }

  /** Resolves with whether the show is done with. */
  async #close(name: string, show: Show): Promise<boolean> {
    const sold = await this.#office.entity(Sales, name).sold({ consistency: "strong" });
    if (sold < show.confirmed && ++show.looks < patience) return false;
    if (sold !== show.confirmed)
      this.#found("miscounted", `${name}: ${show.confirmed} seats are confirmed, and ${sold} counted as sold`);
    return this.#shows.delete(name);
  }

  /** Says it once, however late it is. */
  #found(kind: Kind, says: string, lateMs = 0): void {
    if (this.#wrong.has(says)) return;
    this.#wrong.add(says);
    this.counts[kind]++;
    this.#say(`${kind}: ${says}${lateMs > 0 ? `, ${lateMs} ms too long` : ""}`, lateMs);
  }

  summary(): { readonly line: string; readonly ok: boolean } {
    const { counts } = this;
    const said = kinds.filter((kind) => kind !== "late").map((kind) => `${counts[kind]} ${kind}`);
    const late = `holds at most ${this.worstLateMs} ms late`;
    return {
      line: `${this.confirmed} confirmed  ${said.join(" · ")} · ${late}`,
      ok: kinds.every((kind) => counts[kind] === 0),
    };
  }
}

/** False for what cannot be read now. */
async function attempt(read: () => Promise<boolean | void>): Promise<boolean> {
  try {
    return (await read()) ?? true;
  } catch (error) {
    if (!(error instanceof SheafError) || error.retry === "never") throw error;
    return false;
  }
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { once: { type: "boolean", default: false } } });
  let stopped = false;
  const stop = (): void => void (stopped = true);
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, stop);
  // The channel to `sheaf dev`, when it started us: it closes when that is gone, however it went.
  process.on("disconnect", stop);
  process.channel?.unref();
  const { SHEAF_URL: urls = "http://127.0.0.1:4000", SHEAF_TOKEN: token, SHEAF_DATA: data = ".sheaf" } = process.env;
  const url = urls.split(",");
  const office = connect(contract, token === undefined ? { url } : { url, token });
  const books = new Books(booksPath(data), "read");
  const checker = new Checker(office, (text) => void process.stderr.write(`✗ ${text}\n`));
  const report = (): void => void process.stdout.write(`${JSON.stringify(checker.summary())}\n`);
  const reports = values.once ? undefined : setInterval(report, 1000);
  const began = performance.now();
  while (!stopped) {
    for (const entry of books.read()) checker.take(entry);
    const all = await checker.round();
    if (values.once && (all || performance.now() - began > 60_000)) break;
    await timer(100);
  }
  clearInterval(reports);
  report();
  books.close();
  office.close();
  return checker.summary().ok ? 0 : 6;
}

if (import.meta.main) process.exitCode = await main();

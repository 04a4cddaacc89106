// The load generator's books: which shows it opened, who came, and what each was told in the end. They stand in a file outside the
// box office, one JSON document a line, so that a checker can hold the box office to its word after any crash.

import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, readSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";

export type Entry =
  /** The sections are about to be opened, each with so many seats. */
  | { readonly show: string; readonly sections: readonly string[]; readonly seats: number }
  /** The booking is about to be begun. */
  | { readonly begun: string }
  /** What the visitor was told; `seat` is there when it was confirmed. */
  | { readonly ended: string; readonly phase: string; readonly seat?: number | undefined }
  /** Every seat is sold, and everybody who came was told so. */
  | { readonly over: string };

/** A booking of the load is named by its section, a dot, and a number. */
export const sectionOf = (booking: string): string => booking.slice(0, booking.lastIndexOf("."));

export const booksPath = (dataDir: string): string => join(dataDir, "load", "bookings.jsonl");

/** A file of entries. What is added survives a killed process. A last line that a crash left half written is cut off by the writer. */
export class Books {
  readonly #path: string;
  readonly #writes: boolean;
  #fd: number | undefined;
  #at = 0;
  #rest = "";

  constructor(path: string, mode: "write" | "read") {
    this.#path = path;
    this.#writes = mode === "write";
    if (!this.#writes) return;
    mkdirSync(dirname(path), { recursive: true });
    this.#fd = openSync(path, "a+");
    const { size } = fstatSync(this.#fd);
    const tail = Buffer.alloc(Math.min(size, 4096));
    readSync(this.#fd, tail, 0, tail.length, size - tail.length);
    ftruncateSync(this.#fd, size - tail.length + tail.lastIndexOf(10) + 1);
  }

  add(entry: Entry): void {
    writeSync(this.#fd!, `${JSON.stringify(entry)}\n`);
  }

  /** What was added since the last time. A last line without its end is left for the next time. */
  read(): Entry[] {
    if (this.#fd === undefined) {
      try {
        this.#fd = openSync(this.#path, "r");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
        throw error;
      }
    }
    const chunk = Buffer.allocUnsafe(256 * 1024);
    const entries: Entry[] = [];
    for (;;) {
      const length = readSync(this.#fd, chunk, 0, chunk.length, this.#at);
      if (length === 0) return entries;
      this.#at += length;
      const lines = (this.#rest + chunk.toString("latin1", 0, length)).split("\n");
      this.#rest = lines.pop() ?? "";
      entries.push(...lines.map((line) => JSON.parse(line) as Entry));
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}

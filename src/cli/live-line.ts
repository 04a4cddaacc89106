// One line at the bottom of the terminal that is always up to date, below text that scrolls. On a pipe there is no such line:
// what it says is printed every few seconds instead.

import type { Sink } from "./terminal.ts";

export interface LiveLine {
  /** Prints text above the line. */
  print(text: string): void;
  /** What the line says from now on; empty for none. */
  say(text: string): void;
  close(): void;
}

const everyMs = 5_000;

export function liveLine(sink: Sink, width: () => number): LiveLine {
  let line = "";
  let shown = "";
  const timer = sink.tty ? undefined : setInterval(() => line !== "" && sink.write(`${line}\n`), everyMs).unref();
  const clear = (): void => {
    if (shown !== "") sink.write("\r\u001b[K");
    shown = "";
  };
  const draw = (): void => {
    if (!sink.tty || line === shown) return;
    clear();
    // Cut to the width: a line that wraps cannot be taken back.
    sink.write([...line].slice(0, Math.max(0, width() - 1)).join(""));
    shown = line;
  };
  return {
    print(text) {
      clear();
      sink.write(text.endsWith("\n") ? text : `${text}\n`);
      draw();
    },
    say(text) {
      line = text;
      draw();
    },
    close() {
      clearInterval(timer);
      clear();
    },
  };
}

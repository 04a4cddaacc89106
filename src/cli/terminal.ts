// Where the CLI writes, and whether colour is wanted there. stdout is for data, stderr for everything else.

import process from "node:process";

export type ColorMode = "auto" | "always" | "never";
export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";
export type Paint = (style: Style, text: string) => string;

/** One of the two streams. `tty` says whether a person reads it; `paint` colours text for it, or leaves it alone. */
export type Sink = { readonly write: (text: string) => void; readonly tty: boolean; readonly paint: Paint };

export type Terminal = {
  readonly out: Sink;
  readonly err: Sink;
  /** A person can answer questions: stdin and stderr are terminals. */
  readonly interactive: boolean;
};

const codes: Readonly<Record<Style, readonly [number, number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
};

const colored: Paint = (style, text) => `\u001b[${codes[style][0]}m${text}\u001b[${codes[style][1]}m`;
const plain: Paint = (_style, text) => text;

type Env = Readonly<Record<string, string | undefined>>;

/** --color wins, then NO_COLOR (https://no-color.org), then FORCE_COLOR, then whether the stream is a terminal. */
export function wantsColor(mode: ColorMode, tty: boolean, env: Env): boolean {
  if (mode !== "auto") return mode === "always";
  if (env["NO_COLOR"] !== undefined && env["NO_COLOR"] !== "") return false;
  if (env["FORCE_COLOR"] !== undefined) return env["FORCE_COLOR"] !== "0" && env["FORCE_COLOR"] !== "false";
  return tty && env["TERM"] !== "dumb";
}

/** The process's own streams. */
export function processTerminal(mode: ColorMode, env: Env = process.env): Terminal {
  const sink = (stream: NodeJS.WriteStream): Sink => {
    const tty = stream.isTTY && env["TERM"] !== "dumb";
    return {
      write: (text) => void stream.write(text),
      tty,
      paint: wantsColor(mode, stream.isTTY, env) ? colored : plain,
    };
  };
  return {
    out: sink(process.stdout),
    err: sink(process.stderr),
    interactive: process.stdin.isTTY && process.stderr.isTTY,
  };
}

/** The text without colour codes and with control characters shown, so that what a server sends cannot drive the terminal. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g,
    (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

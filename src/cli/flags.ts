// The flags every command takes, read before the command line is parsed, so that even a parse error is reported in the
// form that was asked for. They may stand anywhere before a bare `--`.

import { SheafError } from "../base/index.ts";
import type { ColorMode } from "./terminal.ts";

export type Flags = {
  /** Print JSON documents instead of text. */
  readonly json: boolean;
  /** Only these fields of the data. */
  readonly fields: readonly string[] | undefined;
  /** Print identifiers only, and no remarks. */
  readonly quiet: boolean;
  /** Print stacks. */
  readonly debug: boolean;
  readonly color: ColorMode;
};

export type Split = {
  readonly flags: Flags;
  readonly rest: readonly string[];
  readonly problem: SheafError | undefined;
};

/** Takes the common flags out of the arguments. A bad one is reported in `problem`, so that `flags` can still be used. */
export function splitFlags(argv: readonly string[]): Split {
  const rest: string[] = [];
  let json = false;
  let fields: string[] | undefined;
  let quiet = false;
  let debug = false;
  let color: ColorMode = "auto";
  let problem: SheafError | undefined;
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    if (word === "--") {
      rest.push(...argv.slice(i));
      break;
    }
    if (word === "--json") json = true;
    else if (word.startsWith("--json=")) {
      json = true;
      fields = word
        .slice(7)
        .split(",")
        .filter((name) => name !== "");
    } else if (word === "-q" || word === "--quiet") quiet = true;
    else if (word === "--debug") debug = true;
    else if (word === "--no-color") color = "never";
    else if (word === "--color" || word.startsWith("--color=")) {
      const mode = word === "--color" ? "always" : word.slice(8);
      if (mode === "auto" || mode === "always" || mode === "never") color = mode;
      else problem = new SheafError("USAGE", `--color is auto, always or never, not "${mode}"`);
    } else rest.push(word);
  }
  return { flags: { json, fields, quiet, debug, color }, rest, problem };
}

/** How help describes them. */
export const flagsHelp = `
Common options:
  --json[=FIELDS]       one JSON document on stdout (NDJSON for streams); errors as JSON on stderr
  -q, --quiet           identifiers only, no remarks
  --color=WHEN          auto, always or never (also NO_COLOR, FORCE_COLOR)
  --debug               show stacks of errors`;

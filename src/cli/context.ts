// What every command is given, and how the small things of a command line are read.

import type { Command } from "commander";
import { SheafError } from "../base/index.ts";
import type { Output } from "./output.ts";

/** What every command gets besides its own arguments and options. */
export type Context = {
  readonly output: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** The command tree, anew: what help and completion read. */
  readonly tree: () => Command;
};

/** The command's exit code. */
export type Run<Options> = (context: Context, args: readonly string[], options: Options) => Promise<number>;

/** A span such as `500ms`, `10s`, `5m`, `12h`, `90d`, in milliseconds. */
export function parseSpan(text: string, option: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
  if (match === null) throw new SheafError("USAGE", `${option} is a span such as 500ms, 10s or 12h, not "${text}"`);
  const unit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[match[2] as "ms" | "s" | "m" | "h" | "d"];
  return Math.round(Number(match[1]) * unit);
}

/** A whole number within bounds. */
export function parseCount(text: string, option: string, least: number, most: number): number {
  const count = Number(text);
  if (/^\d+$/.test(text) && count >= least && count <= most) return count;
  throw new SheafError("USAGE", `${option} is a whole number from ${least} to ${most}, not "${text}"`);
}

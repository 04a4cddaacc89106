// The `sheaf` command: reads the command line, runs one command, turns whatever goes wrong into one message and an exit code.

import process from "node:process";
import { type Command, CommanderError } from "commander";
import { SheafError } from "../base/index.ts";
import type { Context } from "./context.ts";
import { report } from "./failure.ts";
import { splitFlags } from "./flags.ts";
import { nearest } from "./nearest.ts";
import { createOutput } from "./output.ts";
import { buildProgram } from "./program.ts";
import { processTerminal, type Terminal } from "./terminal.ts";

/** Where a command runs: this process, unless a test says otherwise. */
type Place = Pick<Context, "env" | "cwd"> & { readonly terminal: Terminal };

/** Runs one command line (without the interpreter and the script) and resolves with the exit code. Never rejects. */
export async function main(argv: readonly string[], place?: Place): Promise<number> {
  const { flags, rest, problem } = splitFlags(argv);
  const terminal = place?.terminal ?? processTerminal(flags.color);
  if (place === undefined) endQuietlyOnBrokenPipe();
  const context: Context = {
    output: createOutput(flags, terminal),
    env: place?.env ?? process.env,
    cwd: place?.cwd ?? process.cwd(),
    tree: () => buildProgram(context, () => {}),
  };
  let code = 0;
  const program = buildProgram(context, (result) => (code = result));
  try {
    if (problem !== undefined) throw problem;
    if (rest.length === 0) {
      terminal.err.write(program.helpInformation());
      return 2;
    }
    const words = rest[0] === "--version" || rest[0] === "-V" ? ["version", ...rest.slice(1)] : rest;
    await program.parseAsync([...words], { from: "user" });
    return code;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    return report(error instanceof CommanderError ? asUsage(error, program, rest) : error, flags, terminal);
  }
}

/** `sheaf … | head` closes our stdout: that is an end, not a failure. */
function endQuietlyOnBrokenPipe(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
}

/** The parser's complaint as USAGE, with the nearest names where a name was unknown. */
function asUsage(error: CommanderError, program: Command, words: readonly string[]): SheafError {
  const { at, left } = descend(program, words);
  const path = at === program ? "sheaf" : `sheaf ${pathOf(at)}`;
  const message = error.message.replace(/^error: /, "").replaceAll("'", '"');
  if (error.code === "commander.help") {
    return new SheafError("USAGE", `${path} needs a command: ${namesOf(at).join(", ")}`, {
      hint: `See: ${path} --help`,
    });
  }
  const unknown =
    error.code === "commander.unknownCommand" ? left[0] : /unknown option "(--?[^"=]+)/.exec(message)?.[1];
  const known =
    error.code === "commander.unknownCommand" ? namesOf(at) : at.options.flatMap((o) => (o.long ? [o.long] : []));
  const near = unknown === undefined ? [] : nearest(unknown, known);
  const all = error.code === "commander.unknownCommand" && at !== program ? `There is ${known.join(", ")}.` : undefined;
  const hint = near.length > 0 ? `Nearest: ${near.join(", ")}` : (all ?? `See: ${path} --help`);
  return new SheafError("USAGE", message, { hint });
}

/** The deepest command that the words name, and the words after it. */
function descend(program: Command, words: readonly string[]): { at: Command; left: readonly string[] } {
  let at = program;
  let left = words;
  for (;;) {
    const next = at.commands.find((command) => command.name() === left[0]);
    if (next === undefined) return { at, left };
    at = next;
    left = left.slice(1);
  }
}

const namesOf = (command: Command): string[] =>
  command.commands.map((child) => child.name()).filter((name) => !name.startsWith("__"));

function pathOf(command: Command): string {
  const names: string[] = [];
  for (let at: Command | null = command; at?.parent; at = at.parent) names.unshift(at.name());
  return names.join(" ");
}

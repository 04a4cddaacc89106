// `sheaf help`: explains a command, or an error code from the pages shipped with the package. Works offline.

import type { Command } from "commander";
import { existsSync, readFileSync } from "node:fs";
import { catalogue, SheafError, type ErrorCode } from "../base/index.ts";
import { nearest } from "./nearest.ts";
import type { Run } from "./context.ts";
import { packageFolder } from "./release.ts";
import { printable } from "./terminal.ts";

export const help: Run<object> = async (context, words) => {
  const first = words[0];
  const code = first?.toUpperCase();
  if (code !== undefined && Object.hasOwn(catalogue, code)) return explain(context.output, code as ErrorCode);
  let command = context.tree();
  for (const word of words) {
    const next = command.commands.find((child) => child.name() === word);
    if (next === undefined)
      throw unknownTopic(word, [...command.commands.map((child) => child.name()), ...Object.keys(catalogue)]);
    command = next;
  }
  const text = fullHelp(command);
  context.output.one("sheaf.help/v1", { topic: words.join(" "), text }, () => text);
  return 0;
};

/** What `--help` prints, the text after it included. */
function fullHelp(command: Command): string {
  let text = "";
  command.configureOutput({ writeOut: (part) => (text += part), getOutHasColors: () => false });
  command.outputHelp();
  return text;
}

function explain(output: Parameters<Run<object>>[0]["output"], code: ErrorCode): number {
  const kind = catalogue[code];
  const path = `${packageFolder}docs/reference/errors/${code}.md`;
  const facts = `retry ${kind.retry} · outcome ${kind.outcome} · HTTP ${kind.http} · exit ${kind.exit}`;
  const text = !existsSync(path) ? `# ${code}\n\n${kind.says}\n\n${facts}\n` : readFileSync(path, "utf8");
  output.one("sheaf.help/v1", { topic: code, ...kind, text }, () => text);
  return 0;
}

function unknownTopic(word: string, names: readonly string[]): SheafError {
  const shown = names.filter((name) => !name.startsWith("__"));
  const near = [...new Set([...nearest(word, shown), ...nearest(word.toUpperCase(), shown)])].slice(0, 3);
  const hint = near.length > 0 ? `Nearest: ${near.join(", ")}` : "See: sheaf --help";
  return new SheafError("NOT_FOUND", `there is no help on "${printable(word)}"`, { hint });
}

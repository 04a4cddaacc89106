// Console blocks: commands after `$ ` and what they answer. `…` in an answer stands for anything. Spaces and line breaks
// count as one space, and the heading of a table is left out, since lists are tables on a terminal only.

import type { Command } from "commander";

export type Step = { readonly command: string; readonly answer: string };

export function stepsOf(code: string): Step[] {
  const [before = "", ...rest] = `\n${code}`.split("\n$ ");
  if (before.trim() !== "") throw new Error(`a console block begins with a command, not with "${before.trim()}"`);
  return rest.map((step) => {
    const [command = "", ...answer] = step.split("\n");
    return { command, answer: answer.join("\n").trim() };
  });
}

const heading = /^[A-Z]+(?: +[A-Z]+)+$/;
const flat = (text: string): string => text.replaceAll(/\s+/g, " ").trim();

/** Whether a command answered as the page says. */
export function answers(expected: string, got: string): boolean {
  const wanted = flat(
    expected
      .split("\n")
      .filter((line) => !heading.test(line.trim()))
      .join("\n"),
  );
  const pattern = wanted.split(/ ?… ?/).map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${pattern.join("[\\s\\S]*?")}$`).test(flat(got));
}

const common = /^(?:--json(?:=.*)?|--quiet|--debug|--no-color|--color(?:=.*)?|-q|--help)$/;

/** What is wrong with the `sheaf` commands of a text: commands and flags that the command line does not have. */
export function strangeCommands(text: string, program: Command): string[] {
  const joined = text.replaceAll(/\s*\\\n\s*/g, " ");
  return [...joined.matchAll(/(?:^|[\s(`/])sheaf ((?:-{0,2}[a-z][^\n`#|;&]*))/gm)].flatMap(([, line = ""]) => {
    let at = program;
    const words = line.split(/\s+/);
    while (words.length > 0) {
      const next = at.commands.find((child) => child.name() === words[0]);
      if (next === undefined) break;
      at = next;
      words.shift();
    }
    if (at.commands.length > 0 && at.registeredArguments.length === 0) return [`sheaf ${line.trim()}: no such command`];
    const flags = words
      .map((word) => word.replace(/[,.)]+$/, ""))
      .filter((word) => /^--?[a-z]/.test(word) && !common.test(word));
    return flags
      .filter((flag) => !at.options.some((option) => option.short === flag || option.long === flag))
      .map((flag) => `sheaf ${line.trim()}: no flag ${flag}`);
  });
}

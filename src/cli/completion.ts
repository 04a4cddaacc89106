// Shell completion: three small scripts that ask the hidden `sheaf __complete` what could come next. Names of commands and
// options come from the command tree; entity types and what can be called come from the running node, if it answers fast.

import type { Command } from "commander";
import type { GroupView, QueueView, Status, TopicView } from "../admin/index.ts";
import { SheafError } from "../base/index.ts";
import type { ScheduleView } from "../control/index.ts";
import { targets } from "./call.ts";
import type { Context, Run } from "./context.ts";
import { adminOf, gatewayOf } from "./remote.ts";

/** A shell waits for us at every Tab: what the node has not said by then is left out. SHEAF_COMPLETION_MS allows more. */
const budgetMs = 150;

const scripts: Readonly<Record<string, string>> = {
  bash: `_sheaf() {
  local IFS=$'\\n' line
  COMPREPLY=()
  while IFS= read -r line; do COMPREPLY+=("$line"); done < <(sheaf __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  [[ \${COMPREPLY[0]} == */ ]] && compopt -o nospace
}
complete -o default -F _sheaf sheaf`,
  zsh: `#compdef sheaf
_sheaf() {
  local -a found
  found=("\${(@f)$(sheaf __complete -- "\${words[@]:1:$((CURRENT-1))}" 2>/dev/null)}")
  if [[ -n "$found[1]" ]]; then compadd -Q -S '' -- "\${found[@]}"; else _files; fi
}
compdef _sheaf sheaf`,
  fish: `complete -c sheaf -f -a '(sheaf __complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'`,
};

const install: Readonly<Record<string, string>> = {
  bash: `eval "$(sheaf completion bash)"   # in ~/.bashrc`,
  zsh: `source <(sheaf completion zsh)     # in ~/.zshrc, after compinit`,
  fish: `sheaf completion fish > ~/.config/fish/completions/sheaf.fish`,
};

export const completion: Run<object> = async ({ output }, [shell = ""]) => {
  const script = Object.hasOwn(scripts, shell) ? scripts[shell] : undefined;
  if (script === undefined)
    throw new SheafError("USAGE", `completion is for ${Object.keys(scripts).join(", ")}, not "${shell}"`);
  output.one("sheaf.completion/v1", { shell, script }, () => script);
  if (output.terminal.out.tty) output.note(`\n# ${install[shell]}`);
  return 0;
};

/** Prints what the last of the words could become, one a line. */
export const complete: Run<object> = async (context, words) => {
  for (const name of await candidates(context, words)) context.output.terminal.out.write(`${name}\n`);
  return 0;
};

async function candidates(context: Context, words: readonly string[]): Promise<string[]> {
  const typed = words.at(-1) ?? "";
  let command: Command = context.tree();
  let used = 0;
  for (const word of words.slice(0, -1)) {
    const next = command.commands.find((child) => child.name() === word);
    if (next !== undefined) command = next;
    else if (!word.startsWith("-")) used++;
  }
  const starts = (name: string): boolean => name.startsWith(typed);
  if (typed.startsWith("-")) {
    const long = command.options.flatMap((option) =>
      option.long === undefined || option.long === null ? [] : [option.long],
    );
    return [...long, "--help", "--json", "--quiet"].filter(starts).sort();
  }
  const names = command.commands.map((child) => child.name()).filter((name) => !name.startsWith("__"));
  if (names.length > 0) return names.filter(starts).sort();
  const argument = command.registeredArguments[used]?.name();
  if (argument === "SHELL") return Object.keys(scripts).filter(starts);
  if (argument === "ID") return (await inTime(context, idsOf(context, command.parent?.name() ?? ""))).filter(starts);
  if (argument === "SCHEDULE") return (await inTime(context, schedulesOf(context))).filter(starts);
  if (argument === "QUEUE") return (await inTime(context, queuesOf(context))).filter(starts);
  if (argument === "TOPIC")
    return (await inTime(context, namesOf<TopicView>(context, "topics", "topic"))).filter(starts);
  if (argument === "GROUP")
    return (await inTime(context, namesOf<GroupView>(context, "groups", "group"))).filter(starts);
  if (argument === "NODE") return (await inTime(context, nodesOf(context))).filter(starts);
  if (argument !== "TARGET" && argument !== "TYPE") return [];
  const known = await inTime(context, targets(gatewayOf(context, { data: ".sheaf" })));
  const offered =
    argument === "TYPE"
      ? known.filter((name) => name.includes("/KEY/")).map((name) => name.split("/")[0]!)
      : stepwise(known, typed);
  return [...new Set(offered)].filter(starts).sort();
}

/** The next step of a target only: `account/` first, then with a key typed `account/acc-7/withdraw`. */
function stepwise(known: readonly string[], typed: string): string[] {
  const parts = typed.split("/");
  return known.map((name) => {
    const [first, second, third] = name.split("/");
    if (second !== "KEY" || third === undefined) return name;
    return parts.length < 3 || parts[0] !== first ? `${first}/` : `${first}/${parts.slice(1, -1).join("/")}/${third}`;
  });
}

async function nodesOf(context: Context): Promise<string[]> {
  const { body } = await adminOf(context, { data: ".sheaf" }).ask("/admin/v1/status");
  return (body as Status).nodes.map(({ name }) => name);
}

async function schedulesOf(context: Context): Promise<string[]> {
  const { body } = await adminOf(context, { data: ".sheaf" }).ask("/admin/v1/schedules?limit=1000");
  return (body as readonly ScheduleView[]).map(({ name }) => name);
}

async function queuesOf(context: Context): Promise<string[]> {
  const { body } = await adminOf(context, { data: ".sheaf" }).ask("/admin/v1/queues");
  return (body as readonly QueueView[]).map(({ queue }) => queue);
}

async function namesOf<T>(context: Context, of: string, name: keyof T): Promise<string[]> {
  const { body } = await adminOf(context, { data: ".sheaf" }).ask(`/admin/v1/${of}`);
  return [...new Set((body as readonly T[]).map((one) => String(one[name])))];
}

/** What `key revoke`, `parked release`, `dlq show` and `task cancel` take. */
async function idsOf(context: Context, kind: string): Promise<string[]> {
  const path = {
    key: "keys?limit=1000",
    parked: "parked",
    dlq: "dead-letters?limit=1000",
    task: "tasks?limit=1000",
  }[kind];
  if (path === undefined) return [];
  const { body } = await adminOf(context, { data: ".sheaf" }).ask(`/admin/v1/${path}`);
  return (body as readonly { readonly id: string }[]).map(({ id }) => id).sort();
}

/** What the node says within the shell's patience; nothing when there is no node. */
function inTime(context: Context, asked: Promise<string[]>): Promise<string[]> {
  const patienceMs = Number(context.env["SHEAF_COMPLETION_MS"]) || budgetMs;
  const late = new Promise<string[]>((resolve) => void setTimeout(resolve, patienceMs, []).unref());
  return Promise.race([asked.catch(() => []), late]);
}

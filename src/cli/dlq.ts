// `sheaf dlq ls|show|redrive|drop`: messages and timers that failed for good.

import type { TaskDetail, TaskView } from "../admin/index.ts";
import { SheafError } from "../base/index.ts";
import { type Context, parseCount, type Run } from "./context.ts";
import { adminOf, type Remote, type RemoteOptions, warningsOf } from "./remote.ts";
import {
  columnsOf,
  described,
  listed,
  type ListOptions,
  mostListed,
  notFound,
  queryOf,
  sentence,
  told,
} from "./task.ts";
import { printable } from "./terminal.ts";

type RedriveOptions = RemoteOptions & {
  readonly all?: boolean;
  readonly entity?: string;
  readonly dryRun?: boolean;
};

/** Asked to be tried again at once. */
const atOnce = 16;
const columns = columnsOf({ title: "since", value: ({ at }) => new Date(at).toISOString() });

const cursorOf = ({ at, id }: TaskView): string => `${at}/${id}`;
const pathOf = (id: string): string => `/admin/v1/dead-letters/${encodeURIComponent(id)}`;

async function unknown(error: unknown, id: string, admin: Remote): Promise<unknown> {
  return notFound(error, "dead letter", id, () => listed(admin, "dead-letters"), "sheaf dlq ls");
}

async function one(admin: Remote, id: string, method: "GET" | "DELETE" = "GET"): Promise<TaskDetail> {
  try {
    return (await admin.ask(pathOf(id), { method })).body as TaskDetail;
  } catch (error) {
    throw await unknown(error, id, admin);
  }
}

export const list: Run<ListOptions & { readonly after?: string }> = async (context, _args, options) => {
  const { output } = context;
  const limit = parseCount(options.limit, "--limit", 1, mostListed);
  const query = queryOf(options, limit);
  if (options.after !== undefined) query.set("after", options.after);
  const letters = told<TaskView>(await adminOf(context, options).ask(`/admin/v1/dead-letters?${query}`), output.warn);
  const last = letters.length === limit ? letters.at(-1) : undefined;
  output.list("sheaf.dlq.list/v1", letters, {
    columns,
    id: ({ id }) => id,
    next: last ? cursorOf(last) : null,
    empty: "there are no dead letters",
  });
  if (last) output.note(`more: --after ${cursorOf(last)}`);
  if (letters.length > 0) output.note("see why, mend the handler, start the new code, then: sheaf dlq redrive ID");
  return 0;
};

export const show: Run<RemoteOptions> = async (context, [id = ""], options) => {
  const letter = await one(adminOf(context, options), id);
  context.output.one("sheaf.dlq/v1", letter, (paint) => described(letter, (text) => paint("dim", text)), id);
  return 0;
};

export const drop: Run<RemoteOptions> = async (context, [id = ""], options) => {
  const letter = await one(adminOf(context, options), id, "DELETE");
  const text = `dropped, and not carried out: ${sentence(letter)}`;
  context.output.one("sheaf.dlq.drop/v1", letter, (paint) => `${paint("green", "✓")} ${text}`, id);
  return 0;
};

export const redrive: Run<RedriveOptions> = async (context, [id], options) => {
  const { all = false, entity, dryRun = false } = options;
  if ((id === undefined) !== all)
    throw new SheafError("USAGE", "say which dead letter is to be tried again, or --all", {
      hint: "See: sheaf dlq ls",
    });
  if (!all && entity !== undefined) throw new SheafError("USAGE", "--entity goes with --all, not with an id");
  const admin = adminOf(context, options);
  const letters =
    id === undefined ? await redriveAll(context, admin, { entity, dryRun }) : [await redriveOne(admin, id, dryRun)];
  const { output } = context;
  const said = dryRun ? "would be tried again" : "is tried again";
  output.list(
    "sheaf.dlq.redrive/v1",
    letters.map((each) => ({ id: each.id, entity: each.entity, key: each.key, command: each.command, dryRun })),
    {
      columns: [
        { title: "id", value: (each) => each.id },
        { title: "entity", value: ({ entity: type, key }) => `${type}/${key}` },
        { title: "command", value: ({ command }) => command },
        { title: "", value: () => said },
      ],
      id: (each) => each.id,
      empty: "there are no dead letters",
    },
  );
  if (letters.length > 0 && !dryRun) output.note("what fails again is back soon: sheaf dlq ls");
  return 0;
};

async function redriveOne(admin: Remote, id: string, dryRun: boolean): Promise<TaskView> {
  const letter = await one(admin, id);
  if (dryRun) return letter;
  await admin.ask(`${pathOf(id)}/redrive`, { method: "POST" }).catch(async (error: unknown) => {
    throw await unknown(error, id, admin);
  });
  return letter;
}

/** Each once, also those that fail again meanwhile. */
async function redriveAll(
  { output }: Context,
  admin: Remote,
  { entity, dryRun }: { readonly entity: string | undefined; readonly dryRun: boolean },
): Promise<readonly TaskView[]> {
  const done: TaskView[] = [];
  const query = queryOf(entity === undefined ? {} : { entity }, mostListed);
  const missing = new Set<string>();
  for (;;) {
    const answer = await admin.ask(`/admin/v1/dead-letters?${query}`);
    for (const warning of warningsOf(answer)) missing.add(warning);
    const page = answer.body as readonly TaskView[];
    for (let from = 0; from < page.length; from += atOnce) {
      const some = page.slice(from, from + atOnce);
      const tried = await Promise.all(some.map(async (letter) => dryRun || (await again(output.warn, admin, letter))));
      done.push(...some.filter((_, at) => tried[at]));
    }
    if (page.length < mostListed) break;
    query.set("after", cursorOf(page.at(-1)!));
  }
  for (const warning of missing) output.warn(warning);
  return done;
}

/** Whether it is tried again. One that is over by now is not. */
async function again(warn: (text: string) => void, admin: Remote, { id }: TaskView): Promise<boolean> {
  try {
    await admin.ask(`${pathOf(id)}/redrive`, { method: "POST" });
    return true;
  } catch (error) {
    if (!(error instanceof SheafError)) throw error;
    if (error.code !== "NOT_FOUND") warn(`${printable(id)} is not tried again: ${error.message}`);
    return false;
  }
}

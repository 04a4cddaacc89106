// `sheaf dlq ls|show|redrive|drop`: messages, timers and jobs that failed for good.

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
  readonly cause?: string;
  readonly rate?: string;
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

export const list: Run<ListOptions & { readonly after?: string; readonly byCause?: boolean }> = async (
  context,
  args,
  options,
) => {
  if (options.byCause) return byCause(context, args, options);
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

/** How many failed of what, and why: those of one cause are usually mended, and tried again, together. */
const byCause: Run<ListOptions> = async (context, _args, options) => {
  const { output } = context;
  const groups = new Map<string, { entity: string; cause: string; count: number; since: number }>();
  for await (const page of pagesOf(output.warn, adminOf(context, options), options.entity))
    for (const { entity, cause, at } of page) {
      const name = `${entity}\n${cause}`;
      const group = groups.get(name) ?? { entity, cause, count: 0, since: at };
      groups.set(name, { ...group, count: group.count + 1 });
    }
  output.list(
    "sheaf.dlq.causes/v1",
    [...groups.values()].toSorted((a, b) => b.count - a.count),
    {
      columns: [
        { title: "count", value: ({ count }) => count, align: "right" },
        { title: "entity", value: ({ entity }) => entity },
        { title: "since", value: ({ since }) => new Date(since).toISOString() },
        { title: "cause", value: ({ cause }) => cause },
      ],
      id: ({ cause }) => cause,
      empty: "there are no dead letters",
    },
  );
  if (groups.size > 0) output.note("try those of one again with: sheaf dlq redrive --all --cause TEXT");
  return 0;
};

/** Each dead letter once, also those that fail again meanwhile. */
async function* pagesOf(
  warn: (text: string) => void,
  admin: Remote,
  entity: string | undefined,
): AsyncIterable<readonly TaskView[]> {
  const query = queryOf(entity === undefined ? {} : { entity }, mostListed);
  const missing = new Set<string>();
  for (;;) {
    const answer = await admin.ask(`/admin/v1/dead-letters?${query}`);
    for (const warning of warningsOf(answer)) missing.add(warning);
    const page = answer.body as readonly TaskView[];
    yield page;
    if (page.length < mostListed) break;
    query.set("after", cursorOf(page.at(-1)!));
  }
  for (const warning of missing) warn(warning);
}

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
  const { all = false, entity, cause, dryRun = false } = options;
  const rate = options.rate === undefined ? Infinity : parseCount(options.rate, "--rate", 1, 1_000_000);
  if ((id === undefined) !== all)
    throw new SheafError("USAGE", "say which dead letter is to be tried again, or --all", {
      hint: "See: sheaf dlq ls",
    });
  for (const [name, given] of Object.entries({ entity, cause, rate: options.rate }))
    if (!all && given !== undefined) throw new SheafError("USAGE", `--${name} goes with --all, not with an id`);
  const admin = adminOf(context, options);
  const letters =
    id === undefined
      ? await redriveAll(context, admin, { entity, cause, rate, dryRun })
      : [await redriveOne(admin, id, dryRun)];
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

type Wanted = {
  readonly entity: string | undefined;
  readonly cause: string | undefined;
  /** In a second, at most. */
  readonly rate: number;
  readonly dryRun: boolean;
};

async function redriveAll(
  { output }: Context,
  admin: Remote,
  { entity, cause, rate, dryRun }: Wanted,
): Promise<readonly TaskView[]> {
  const done: TaskView[] = [];
  const size = Math.min(atOnce, rate);
  for await (const page of pagesOf(output.warn, admin, entity)) {
    const wanted = page.filter((letter) => cause === undefined || letter.cause.includes(cause));
    for (let from = 0; from < wanted.length; from += size) {
      const some = wanted.slice(from, from + size);
      if (done.length > 0 && !dryRun && rate < Infinity)
        await new Promise((resolve) => setTimeout(resolve, (some.length / rate) * 1000));
      const tried = await Promise.all(some.map(async (letter) => dryRun || (await again(output.warn, admin, letter))));
      done.push(...some.filter((_, at) => tried[at]));
    }
  }
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

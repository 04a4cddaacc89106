// `sheaf dlq ls|show|redrive|status|cancel|drop`: messages, timers and jobs that failed for good.

import type { Redrive, TaskDetail, TaskView } from "../admin/index.ts";
import { SheafError } from "../base/index.ts";
import { type Context, parseCount, type Run } from "./context.ts";
import { adminOf, type Ask, type Remote, type RemoteOptions, warningsOf } from "./remote.ts";
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

type RedriveOptions = RemoteOptions & {
  readonly all?: boolean;
  readonly entity?: string;
  readonly cause?: string;
  readonly rate?: string;
  readonly dryRun?: boolean;
  readonly follow?: boolean;
};

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
  const { all = false, entity, cause, dryRun = false, follow = false } = options;
  const rate = options.rate === undefined ? undefined : parseCount(options.rate, "--rate", 1, 1_000_000);
  if ((id === undefined) !== all)
    throw new SheafError("USAGE", "say which dead letter is to be tried again, or --all", {
      hint: "See: sheaf dlq ls",
    });
  for (const [name, given] of Object.entries({ entity, cause, rate: options.rate, follow: follow || undefined }))
    if (!all && given !== undefined) throw new SheafError("USAGE", `--${name} goes with --all, not with an id`);
  const admin = adminOf(context, options);
  const { output } = context;
  if (id !== undefined) {
    const letter = await redriveOne(admin, id, dryRun);
    const said = dryRun ? "would be tried again" : "is tried again";
    const { entity: type, key, command } = letter;
    output.list("sheaf.dlq.redrive/v1", [{ id, entity: type, key, command, dryRun }], {
      columns: [
        { title: "id", value: () => id },
        { title: "entity", value: () => `${type}/${key}` },
        { title: "command", value: () => command },
        { title: "", value: () => said },
      ],
      id: () => id,
      empty: "",
    });
  } else {
    const body = { ...filterOf(options), ...(rate !== undefined && { perSecond: rate }), dryRun };
    const groups = await groupsOf(output.warn, admin, { method: "POST", body });
    listRedrives(output, "sheaf.dlq.redrives/v1", groups, dryRun);
    if (groups.length === 0) return 0;
    if (follow && !dryRun) await followed(output, admin, options);
  }
  if (!dryRun) output.note("what fails again is back soon: sheaf dlq ls");
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

type Filter = { readonly entity?: string; readonly cause?: string };
const filterOf = ({ entity, cause }: Filter): Filter => ({
  ...(entity !== undefined && { entity }),
  ...(cause !== undefined && { cause }),
});

async function groupsOf(
  warn: (text: string) => void,
  admin: Remote,
  ask: Ask,
  query = "",
): Promise<readonly Redrive[]> {
  return told<Redrive>(await admin.ask(`/admin/v1/redrives${query}`, ask), warn);
}

const queryText = (filter: Filter): string => `?${new URLSearchParams({ ...filterOf(filter) })}`;
const timeOf = (at: number | null): string => (at === null ? "now" : new Date(at).toISOString());

function listRedrives(output: Context["output"], schema: string, groups: readonly Redrive[], dryRun?: boolean): void {
  output.list(schema, dryRun === undefined ? groups : groups.map((group) => ({ ...group, dryRun })), {
    columns: [
      { title: "count", value: ({ count }) => count, align: "right" },
      { title: "entity", value: ({ entity }) => entity },
      { title: "first", value: ({ first }) => timeOf(first) },
      { title: "last", value: ({ last }) => timeOf(last) },
      { title: "cause", value: ({ cause }) => cause },
    ],
    id: ({ cause }) => cause,
    empty: dryRun === undefined ? "none is to be tried again" : "there are no dead letters",
  });
}

/** Until none of them is left to be tried again. It goes on without anybody who looks. */
async function followed(output: Context["output"], admin: Remote, filter: Filter): Promise<void> {
  for (;;) {
    const left = await groupsOf(output.warn, admin, {}, queryText(filter));
    const count = left.reduce((sum, group) => sum + group.count, 0);
    if (count === 0) return;
    output.note(`${count} left, the last ${timeOf(Math.max(...left.map(({ last }) => last ?? 0)))}`);
    await new Promise((resolve) => setTimeout(resolve, followMs));
  }
}
const followMs = 1_000;

export const status: Run<RemoteOptions & Filter> = async (context, _args, options) => {
  const { output } = context;
  listRedrives(
    output,
    "sheaf.dlq.status/v1",
    await groupsOf(output.warn, adminOf(context, options), {}, queryText(options)),
  );
  return 0;
};

export const cancel: Run<RemoteOptions & Filter> = async (context, _args, options) => {
  const { output } = context;
  const ask = { method: "DELETE" } as const;
  const groups = await groupsOf(output.warn, adminOf(context, options), ask, queryText(options));
  listRedrives(output, "sheaf.dlq.cancel/v1", groups);
  if (groups.length > 0) output.note("they stay dead letters; those that were tried already stay so");
  return 0;
};

// `sheaf group ls|pause|resume|seek|rm`: subscriptions, and other groups that go through topics.

import type { GroupChange, GroupView } from "../admin/index.ts";
import { SheafError } from "../base/index.ts";
import type { Context, Run } from "./context.ts";
import { nearest } from "./nearest.ts";
import type { Column } from "./output.ts";
import { adminOf, changed, type Remote, type RemoteOptions } from "./remote.ts";
import { told } from "./task.ts";
import { printable } from "./terminal.ts";
import { countOf, whereOf } from "./topic.ts";

type GroupOptions = RemoteOptions & { readonly topic?: string };
type SureOptions = GroupOptions & { readonly yes?: boolean };

function stillOf({ stuck }: GroupView): string {
  const [first] = stuck;
  if (!first) return "";
  const where = stuck.length === 1 ? `shard ${first.shard}` : `${stuck.length} shards`;
  return `${where} since ${new Date(first.since).toISOString()}: ${first.event} ${first.cause}`.replace(/: {2}/, ": ");
}

/** How many shards each has, and how far behind it is there. */
const consumersOf = ({ consumers }: GroupView): string =>
  consumers.map(({ consumer, shards, lag }) => `${printable(consumer)}: ${shards} (${lag})`).join(", ");

const columns: readonly Column<GroupView>[] = [
  { title: "group", value: ({ group }) => group },
  { title: "topic", value: ({ topic }) => topic },
  { title: "kind", value: ({ kind }) => kind },
  { title: "state", value: ({ state }) => state },
  { title: "lag", value: ({ lag, atLeast }) => countOf(lag, atLeast), align: "right" },
  { title: "lag s", value: ({ lagMs }) => (lagMs / 1000).toFixed(1), align: "right" },
  { title: "consumers", value: consumersOf },
  { title: "stands still", value: stillOf, style: ({ stuck }) => (stuck.length > 0 ? "red" : undefined) },
];

export const list: Run<RemoteOptions> = async (context, _args, options) => {
  const { output } = context;
  const groups = told<GroupView>(await adminOf(context, options).ask("/admin/v1/groups"), output.warn);
  const empty = "the application has no subscriptions, and nobody else has gone through a topic";
  output.list("sheaf.group.list/v1", groups, { columns, id: ({ group }) => group, empty });
  if (groups.some(({ stuck }) => stuck.length > 0))
    output.note("what stands still is tried again by itself: mend the code, and start it");
  return 0;
};

/** The group of that name, of that topic where several have one. */
async function groupNamed(admin: Remote, name: string, { topic }: GroupOptions): Promise<GroupView> {
  const all = (await admin.ask("/admin/v1/groups")).body as readonly GroupView[];
  const found = all.filter((one) => one.group === name && (topic === undefined || one.topic === topic));
  if (found.length > 1)
    throw new SheafError("USAGE", `${name} goes through several topics: ${found.map((one) => one.topic).join(", ")}`, {
      hint: "Say which with --topic.",
    });
  const [one] = found;
  if (one) return one;
  const near = nearest(
    name,
    all.map(({ group }) => group),
  );
  throw new SheafError("NOT_FOUND", `no group is called "${printable(name)}"`, {
    hint: near.length > 0 ? `Nearest: ${near.join(", ")}` : "See: sheaf group ls",
  });
}

const pathOf = ({ topic, group }: GroupView): string =>
  `/admin/v1/topics/${encodeURIComponent(topic)}/groups/${encodeURIComponent(group)}`;

async function rest(
  context: Context,
  name: string,
  options: GroupOptions,
  act: "pause" | "resume",
  says: string,
): Promise<number> {
  const admin = adminOf(context, options);
  const group = await groupNamed(admin, name, options);
  await changed(admin, `${pathOf(group)}/${act}`, { method: "POST" });
  context.output.one(
    `sheaf.group.${act}/v1`,
    { group: name, topic: group.topic },
    (paint) => `${paint("green", "✓")} ${printable(name)} ${says}`,
    name,
  );
  return 0;
}

export const pause: Run<GroupOptions> = (context, [name = ""], options) =>
  rest(context, name, options, "pause", "is paused, and keeps its place");

export const resume: Run<GroupOptions> = (context, [name = ""], options) =>
  rest(context, name, options, "resume", "goes on");

export const seek: Run<SureOptions & { readonly to: string }> = async (context, [name = ""], options) => {
  const { output } = context;
  const where = whereOf(options.to, "--to");
  const admin = adminOf(context, options);
  const group = await groupNamed(admin, name, options);
  const done = options.yes === true;
  const to = typeof where === "string" ? where : where.getTime();
  const change = await changed<GroupChange>(admin, `${pathOf(group)}/seek`, {
    method: "POST",
    body: { to, dryRun: !done },
  });
  const { again, over, atLeast } = change;
  const said = `${countOf(again, atLeast)} to be met again, ${countOf(over, atLeast)} passed over`;
  output.one(
    "sheaf.group.seek/v1",
    { group: name, topic: group.topic, to: options.to, ...change, done },
    (paint) =>
      done
        ? `${paint("green", "✓")} ${printable(name)} goes on at ${options.to}: ${said}`
        : `${printable(name)}: ${said}`,
    name,
  );
  if (!done) output.note("nothing is changed yet: do it with --yes");
  return 0;
};

export const remove: Run<SureOptions> = async (context, [name = ""], options) => {
  const { output } = context;
  const admin = adminOf(context, options);
  const group = await groupNamed(admin, name, options);
  const done = options.yes === true;
  await changed(admin, `${pathOf(group)}${done ? "" : "?dryRun=true"}`, { method: "DELETE" });
  const { topic, lag, atLeast } = group;
  const said = `${countOf(lag, atLeast)} of ${printable(topic)} behind`;
  output.one(
    "sheaf.group.rm/v1",
    { group: name, topic, lag, atLeast, done },
    (paint) =>
      done
        ? `${paint("green", "✓")} where ${printable(name)} was is forgotten: it was ${said}`
        : `${printable(name)} is ${said}`,
    name,
  );
  if (!done) output.note("nothing is changed yet: do it with --yes");
  return 0;
};

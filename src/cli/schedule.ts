// `sheaf schedule ls|show|run|pause|resume`: what runs time after time.

import type { ScheduleView } from "../control/index.ts";
import type { ScheduledRun } from "../model/index.ts";
import type { Context, Run } from "./context.ts";
import type { Column } from "./output.ts";
import { adminOf, type RemoteOptions } from "./remote.ts";
import { printable } from "./terminal.ts";

const pageSize = 1000;
const time = (at: number | null): string => (at === null ? "" : new Date(at).toISOString());

/** "0 3 * * * Europe/Vienna", or "every 5m". */
function whenOf({ cron, zone, everyMs }: ScheduleView): string {
  if (everyMs === null) return `${cron} ${zone}`;
  const units = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000 };
  const [unit, ms] = Object.entries(units).find((each) => everyMs % each[1] === 0) ?? ["ms", 1];
  return `every ${everyMs / ms}${unit}`;
}

const columns: readonly Column<ScheduleView>[] = [
  { title: "schedule", value: ({ name }) => name },
  { title: "when", value: whenOf },
  { title: "state", value: ({ state }) => state },
  { title: "next", value: ({ next, state }) => (state === "gone" ? "" : time(next)) },
  { title: "last", value: ({ last }) => time(last) },
  { title: "runs", value: ({ runs }) => runs, align: "right" },
  { title: "passed over", value: ({ passedOver }) => passedOver, align: "right" },
];

export const list: Run<RemoteOptions> = async (context, _args, options) => {
  const admin = adminOf(context, options);
  const all: ScheduleView[] = [];
  for (let after = ""; ;) {
    const page = (await admin.ask(`/admin/v1/schedules?limit=${pageSize}${after}`)).body as readonly ScheduleView[];
    all.push(...page);
    if (page.length < pageSize) break;
    after = `&after=${encodeURIComponent(page.at(-1)!.name)}`;
  }
  context.output.list("sheaf.schedule.list/v1", all, {
    columns,
    id: ({ name }) => name,
    empty: "the application has no schedules",
  });
  return 0;
};

const pathOf = (name: string): string => `/admin/v1/schedules/${encodeURIComponent(name)}`;

function described(schedule: ScheduleView, dim: (text: string) => string): string {
  const { missed, state, next, last, runs, passedOver, changedBy } = schedule;
  const rows: readonly (readonly [string, string])[] = [
    ["schedule", schedule.name],
    ["when", whenOf(schedule)],
    ["missed", missed],
    ["state", changedBy === "" ? state : `${state} (changed by ${changedBy})`],
    ["next", time(next)],
    ["last", time(last)],
    ["runs", `${runs}, and ${passedOver} that were missed and passed over`],
  ];
  return rows.map(([title, text]) => `${dim(title.padEnd(8))}  ${printable(text)}`).join("\n");
}

export const show: Run<RemoteOptions> = async (context, [name = ""], options) => {
  const { body } = await adminOf(context, options).ask(pathOf(name));
  const found = body as ScheduleView;
  context.output.one("sheaf.schedule/v1", found, (paint) => described(found, (text) => paint("dim", text)), name);
  return 0;
};

export const run: Run<RemoteOptions> = async (context, [name = ""], options) => {
  const { body } = await adminOf(context, options).ask(`${pathOf(name)}/run`, { method: "POST" });
  const begun = body as ScheduledRun;
  context.output.one(
    "sheaf.schedule.run/v1",
    { name, ...begun },
    (paint) => `${paint("green", "✓")} run ${begun.number} of ${printable(name)} has begun`,
    name,
  );
  return 0;
};

async function change(
  context: Context,
  name: string,
  options: RemoteOptions,
  what: "pause" | "resume",
  says: (schedule: ScheduleView) => string,
): Promise<number> {
  const { body } = await adminOf(context, options).ask(`${pathOf(name)}/${what}`, { method: "POST" });
  const changed = body as ScheduleView;
  const line = (paint: (color: "green", text: string) => string): string =>
    `${paint("green", "✓")} ${printable(name)} ${says(changed)}`;
  context.output.one(`sheaf.schedule.${what}/v1`, changed, line, name);
  return 0;
}

export const pause: Run<RemoteOptions> = (context, [name = ""], options) =>
  change(context, name, options, "pause", () => "is paused: no run begins");

export const resume: Run<RemoteOptions> = (context, [name = ""], options) =>
  change(context, name, options, "resume", ({ next }) =>
    next === null ? "is resumed, and never due again" : `is resumed: next ${time(next)}`,
  );

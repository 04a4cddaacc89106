// `sheaf parked ls|show|release`: commands that crashed the process too often and are not run any more.

import type { Parked } from "../admin/index.ts";
import { SheafError } from "../base/index.ts";
import { type Column } from "./output.ts";
import type { Run } from "./context.ts";
import { nearest } from "./nearest.ts";
import { adminOf, type Remote, type RemoteOptions, warningsOf } from "./remote.ts";
import { printable } from "./terminal.ts";

const columns: readonly Column<Parked>[] = [
  { title: "id", value: ({ id }) => id },
  { title: "shard", value: ({ shard }) => shard, align: "right" },
  { title: "since", value: ({ at }) => new Date(at).toISOString() },
  { title: "reason", value: ({ reason }) => reason },
];

/** What is missing of the list goes to `warn`. */
export async function parkedOf(
  admin: Remote,
  warn: (text: string) => void,
  patienceMs?: number,
): Promise<readonly Parked[]> {
  const answer = await admin.ask("/admin/v1/parked", patienceMs === undefined ? {} : { patienceMs });
  for (const warning of warningsOf(answer)) warn(warning);
  return answer.body as readonly Parked[];
}

export const list: Run<RemoteOptions> = async (context, _args, options) => {
  const parked = await parkedOf(adminOf(context, options), context.output.warn);
  context.output.list("sheaf.parked.list/v1", parked, { columns, id: ({ id }) => id, empty: "nothing is parked" });
  if (parked.length > 0) context.output.note("mend the handler, start the new code, then: sheaf parked release ID");
  return 0;
};

export const show: Run<RemoteOptions> = async (context, [id = ""], options) => {
  const parked = await parkedOf(adminOf(context, options), context.output.warn);
  const found = parked.find((each) => each.id === id);
  if (found === undefined) throw notParked(id, parked);
  const text = (dim: (text: string) => string): string =>
    columns.map(({ title, value }) => `${dim(title.padEnd(6))}  ${printable(String(value(found)))}`).join("\n");
  context.output.one("sheaf.parked/v1", found, (paint) => text((part) => paint("dim", part)), id);
  return 0;
};

export const release: Run<RemoteOptions> = async (context, [id = ""], options) => {
  const admin = adminOf(context, options);
  await admin.ask(`/admin/v1/parked/${encodeURIComponent(id)}/release`, { method: "POST" }).catch(async (error) => {
    const missing = error instanceof SheafError && (error.code === "NOT_FOUND" || error.code === "UNKNOWN_TARGET");
    throw missing ? notParked(id, await parkedOf(admin, context.output.warn)) : error;
  });
  context.output.one(
    "sheaf.parked.release/v1",
    { id },
    (paint) => `${paint("green", "✓")} ${printable(id)} may run again: its caller has to ask again`,
    id,
  );
  return 0;
};

function notParked(id: string, parked: readonly Parked[]): SheafError {
  const near = nearest(
    id,
    parked.map((each) => each.id),
  );
  return new SheafError("NOT_FOUND", `no parked command is called "${printable(id)}"`, {
    hint: near.length > 0 ? `Nearest: ${near.join(", ")}` : "See: sheaf parked ls",
  });
}

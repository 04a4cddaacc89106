// `sheaf shard ls`: who serves which shard, who follows it, and how far they are.

import type { ShardStatus, Status } from "../admin/index.ts";
import type { Run } from "./context.ts";
import { pick } from "./node.ts";
import type { Column } from "./output.ts";
import { adminOf, type RemoteOptions } from "./remote.ts";
import { shardColumns } from "./status.ts";

export const list: Run<RemoteOptions & { readonly node?: string }> = async (context, _args, options) => {
  const { nodes, shards } = (await adminOf(context, options).ask("/admin/v1/status")).body as Status;
  const names = new Map(nodes.map(({ id, name }) => [id, name]));
  const wanted = options.node === undefined ? undefined : pick(nodes, options.node).id;
  const shown = shards.filter(({ owner }) => wanted === undefined || owner === wanted);
  const columns = shardColumns.map((column): Column<ShardStatus> => {
    if (column.title === "owner") return { ...column, value: ({ owner }) => owner && (names.get(owner) ?? owner) };
    if (column.title !== "followers") return column;
    return { ...column, value: ({ followers }) => followers.map((id) => names.get(id) ?? id).join(" ") };
  });
  const empty = "it serves no shard";
  context.output.list("sheaf.shard.list/v1", shown, { columns, id: ({ shard }) => String(shard), empty });
  return 0;
};

// `sheaf status`: the cluster, its nodes and its shards, as the admin API tells them.

import type { NodeStatus, ShardStatus, Status } from "../admin/index.ts";
import { type Column, table } from "./output.ts";
import type { Run } from "./context.ts";
import { adminOf, type RemoteOptions } from "./remote.ts";
import type { Style } from "./terminal.ts";

type StatusOptions = RemoteOptions & { readonly shards?: boolean };

const styleOf = (state: string): Style =>
  state === "ready" || state === "serving" ? "green" : state === "quarantined" ? "red" : "yellow";

const nodeColumns: readonly Column<NodeStatus>[] = [
  { title: "node", value: ({ id }) => id },
  { title: "state", value: ({ state }) => state, style: ({ state }) => styleOf(state) },
  { title: "pid", value: ({ pid }) => pid, align: "right" },
  { title: "memory", value: ({ rssBytes }) => `${Math.round(rssBytes / 1024 ** 2)} MiB`, align: "right" },
  { title: "gateway", value: ({ addresses }) => addresses.gateway },
  { title: "admin", value: ({ addresses }) => addresses.admin },
  { title: "up", value: ({ startedAt }) => span(Date.now() - startedAt), align: "right" },
];

const shardColumns: readonly Column<ShardStatus>[] = [
  { title: "shard", value: ({ shard }) => shard, align: "right" },
  { title: "state", value: ({ state }) => state, style: ({ state }) => styleOf(state) },
  { title: "owner", value: ({ owner }) => owner },
  { title: "epoch", value: ({ epoch }) => epoch, align: "right" },
  { title: "head", value: ({ head }) => head, align: "right" },
  { title: "applied", value: ({ applied }) => applied, align: "right" },
  { title: "in memory", value: ({ hot }) => hot, align: "right" },
  { title: "reason", value: ({ reason }) => reason ?? "" },
];

export const status: Run<StatusOptions> = async (context, _args, options) => {
  const { output } = context;
  const found = (await adminOf(context, options).ask("/admin/v1/status")).body as Status;
  output.one(
    "sheaf.status/v1",
    found,
    (paint) => {
      const { cluster, engine } = found;
      const facts = [
        `${cluster.shards} shards`,
        `${String(engine["name"] ?? engine["engine"] ?? "embedded")} engine`,
        cluster.encrypted ? "encrypted" : "not encrypted",
      ];
      const odd = found.shards.filter(({ state }) => state !== "serving");
      const shown = options.shards === true ? found.shards : odd;
      const serving = `${found.shards.length - odd.length} of ${cluster.shards} shards serve`;
      return [
        `${paint("bold", cluster.name)}  ${found.app}  ${facts.join(", ")}`,
        "",
        table(found.nodes, nodeColumns, output.terminal),
        "",
        paint(odd.length === 0 ? "green" : "yellow", serving),
        ...(shown.length === 0 ? [] : ["", table(shown, shardColumns, output.terminal)]),
      ].join("\n");
    },
    found.cluster.name,
  );
  return 0;
};

/** A span as a person says it: 42 s, 3 min, 5 h, 2 d. */
export function span(ms: number): string {
  const seconds = Math.max(0, ms / 1000);
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}

// `sheaf status`: the cluster, its nodes and its shards, as the admin API tells them.

import type { NodeStatus, ShardStatus, Status } from "../admin/index.ts";
import { type Column, table } from "./output.ts";
import type { Run } from "./context.ts";
import { adminOf, type RemoteOptions } from "./remote.ts";
import type { Style, Terminal } from "./terminal.ts";

type StatusOptions = RemoteOptions & { readonly shards?: boolean };

/** What an operator wishes counts beside what the node does. */
const standing = ({ state, cordoned }: NodeStatus): string => (cordoned ? `${state}, cordoned` : state);

const styleOf = (state: string): Style =>
  state === "ready" || state === "serving" ? "green" : state === "quarantined" ? "red" : "yellow";

const mostNamed = 3;

/** What of the application a node hosts. */
function hosts({ entities, hosts: some, services }: NodeStatus): string {
  const named = services.length > mostNamed ? [`${services.length} services`] : services;
  return [...(some ?? (entities ? ["entities"] : [])), ...named].join(" ") || "gateway";
}

export const nodeColumns: readonly Column<NodeStatus>[] = [
  { title: "node", value: ({ name }) => name },
  { title: "state", value: standing, style: (node) => styleOf(standing(node)) },
  { title: "owns", value: ({ owns }) => owns, align: "right" },
  { title: "hosts", value: hosts },
  { title: "zone", value: ({ zone }) => zone || "-" },
  { title: "pid", value: ({ pid }) => pid, align: "right" },
  {
    title: "memory",
    value: ({ rssBytes }) => (rssBytes === 0 ? "-" : `${Math.round(rssBytes / 1024 ** 2)} MiB`),
    align: "right",
  },
  { title: "gateway", value: ({ addresses }) => addresses.gateway },
  { title: "admin", value: ({ addresses }) => addresses.admin },
  { title: "up", value: ({ startedAt }) => span(Date.now() - startedAt), align: "right" },
  { title: "id", value: ({ id }) => id },
];

export const shardColumns: readonly Column<ShardStatus>[] = [
  { title: "shard", value: ({ shard }) => shard, align: "right" },
  { title: "state", value: ({ state }) => state, style: ({ state }) => styleOf(state) },
  { title: "owner", value: ({ owner }) => owner },
  { title: "followers", value: ({ followers }) => followers.join(" ") },
  { title: "epoch", value: ({ epoch }) => epoch, align: "right" },
  { title: "head", value: ({ head }) => head, align: "right" },
  { title: "applied", value: ({ applied }) => applied, align: "right" },
  { title: "in memory", value: ({ hot }) => hot, align: "right" },
  { title: "pinned to", value: ({ pinned }) => pinned ?? "" },
  { title: "reason", value: ({ reason }) => reason ?? "" },
];

export const status: Run<StatusOptions> = async (context, _args, options) => {
  const { output } = context;
  const found = (await adminOf(context, options).ask("/admin/v1/status")).body as Status;
  output.one(
    "sheaf.status/v1",
    found,
    () => statusText(found, output.terminal, options.shards === true),
    found.cluster.name,
  );
  return 0;
};

/** As a person reads it: the nodes, and the shards that need attention or all of them. */
export function statusText(found: Status, terminal: Terminal, allShards: boolean): string {
  const { paint } = terminal.out;
  const { cluster, engine } = found;
  const facts = [
    `${cluster.shards} shards`,
    `${String(engine["name"])} engine`,
    cluster.encrypted ? "encrypted" : "not encrypted",
  ];
  const odd = found.shards.filter(({ state }) => state !== "serving");
  const shown = allShards ? found.shards : odd;
  const serving = `${found.shards.length - odd.length} of ${cluster.shards} shards serve`;
  const copies = found.shards.map(({ followers }) => followers.length);
  const followed = found.nodes.length > 1 ? `, each followed by ${spread(copies)}` : "";
  return [
    `${paint("bold", cluster.name)}  ${found.app}  ${facts.join(", ")}`,
    "",
    table(found.nodes, nodeColumns, terminal),
    "",
    paint(odd.length === 0 ? "green" : "yellow", serving) + followed,
    ...(shown.length === 0 ? [] : ["", table(shown, shardColumns, terminal)]),
  ].join("\n");
}

function spread(counts: readonly number[]): string {
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  return `${least === most ? least : `${least} to ${most}`} ${most === 1 ? "node" : "nodes"}`;
}

/** A span as a person says it: 42 s, 3 min, 5 h, 2 d. */
export function span(ms: number): string {
  const seconds = Math.max(0, ms / 1000);
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}

// `sheaf node ls|drain|undrain|cordon|uncordon|remove`: who is in the cluster, and what an operator wishes of a node.

import { setTimeout as sleep } from "node:timers/promises";
import type { NodeStatus, Status } from "../admin/index.ts";
import { SheafError } from "../base/index.ts";
import { type Context, parseSpan, type Run } from "./context.ts";
import { nearest } from "./nearest.ts";
import { adminOf, type Remote, type RemoteOptions } from "./remote.ts";
import { nodeColumns } from "./status.ts";
import { printable } from "./terminal.ts";

const nodesOf = async (admin: Remote): Promise<readonly NodeStatus[]> =>
  ((await admin.ask("/admin/v1/status")).body as Status).nodes;

export const list: Run<RemoteOptions> = async (context, _args, options) => {
  const nodes = await nodesOf(adminOf(context, options));
  context.output.list("sheaf.node.list/v1", nodes, { columns: nodeColumns, id: ({ name }) => name });
  return 0;
};

/** The node of that name or id. Of several runs of one name the one that answers is meant. Rejects NOT_FOUND. */
export function pick(nodes: readonly NodeStatus[], given: string): NodeStatus {
  const found = nodes.filter(({ id, name }) => id === given || name === given);
  const one = found.find(({ state }) => state !== "unreachable") ?? found[0];
  if (one !== undefined) return one;
  const names = nodes.map(({ name }) => name);
  const near = nearest(given, names);
  throw new SheafError("NOT_FOUND", `there is no node "${printable(given)}"`, {
    hint: `${near.length > 0 ? "Nearest" : "Nodes"}: ${(near.length > 0 ? near : names).join(", ")}`,
  });
}

/** Asks for something of one node. */
async function ask(context: Context, options: RemoteOptions, given: string, action: string): Promise<NodeStatus> {
  const admin = adminOf(context, options);
  const node = pick(await nodesOf(admin), given);
  const [method, path] = action === "remove" ? (["DELETE", ""] as const) : (["POST", `/${action}`] as const);
  await admin.ask(`/admin/v1/nodes/${encodeURIComponent(node.id)}${path}`, { method });
  return node;
}

function tell({ output }: Context, action: string, { id, name }: NodeStatus, says: string): number {
  output.one(
    `sheaf.node.${action}/v1`,
    { id, name },
    (paint) => `${paint("green", "✓")} ${printable(name)} ${says}`,
    name,
  );
  return 0;
}

const command =
  (action: string, says: string): Run<RemoteOptions> =>
  async (context, [given = ""], options) =>
    tell(context, action, await ask(context, options, given, action), says);

export const undrain = command("undrain", "takes its share of the shards again");
export const cordon = command("cordon", "keeps what it has and is given nothing more");
export const uncordon = command("uncordon", "is given its share of the shards again");
export const remove = command("remove", "is forgotten");

const lookEveryMs = 200;

/** Resolves when it serves nothing any more. Rejects DEADLINE when it still does then: nobody else can take it. */
export const drain: Run<RemoteOptions & { readonly deadline: string }> = async (context, [given = ""], options) => {
  const until = performance.now() + parseSpan(options.deadline, "--deadline");
  const { id } = await ask(context, options, given, "drain");
  for (;;) {
    const node = pick(await nodesOf(adminOf(context, options)), id);
    if (node.owns === 0) return tell(context, "drain", node, "serves nothing any more; it may be stopped");
    if (performance.now() > until) {
      throw new SheafError("DEADLINE", `${node.name} still serves ${node.owns} shards: no other node can take them`, {
        outcome: "applied",
        hint: "It goes on handing over. sheaf node undrain takes it back.",
      });
    }
    await sleep(lookEveryMs);
  }
};

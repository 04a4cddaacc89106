// `sheaf shard move|unpin|rebalance`: sends shards where an operator wants them, or back to where they belong. Each move is
// watched until it is done. Whoever stops watching leaves what is under way to go on.

import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import type { NodeStatus, ShardMove, ShardStatus, Status } from "../admin/index.ts";
import { SheafError } from "../base/index.ts";
import { type Context, parseCount, parseSpan, type Run } from "./context.ts";
import { pick } from "./node.ts";
import type { Column } from "./output.ts";
import { adminOf, type Remote, type RemoteOptions } from "./remote.ts";
import { printable } from "./terminal.ts";

type Watched = RemoteOptions & { readonly deadline: string; readonly dryRun?: boolean };

/** `from` and `to` are ids, as everywhere; people know nodes by their names. */
type NamedMove = ShardMove & { readonly fromName: string | null; readonly toName: string | null };

const lookEveryMs = 200;
/** Pins taken away at once by `rebalance`: what a node moves at once, so that little is left to end when it is interrupted. */
const atOnce = 4;

const statusOf = async (admin: Remote): Promise<Status> => (await admin.ask("/admin/v1/status")).body as Status;
const movesOf = async (admin: Remote): Promise<readonly ShardMove[]> =>
  (await admin.ask("/admin/v1/shards/moves")).body as readonly ShardMove[];
const unpinned = (admin: Remote, shard: number): Promise<unknown> =>
  admin.ask(`/admin/v1/shards/${shard}/pin`, { method: "DELETE" });

function shardNamed({ shards }: Status, given: string): ShardStatus {
  const found = shards[parseCount(given, "SHARD", 0, 65_535)];
  if (found !== undefined) return found;
  throw new SheafError("NOT_FOUND", `there is no shard ${printable(given)}`, {
    hint: `They are 0 to ${shards.length - 1}.`,
  });
}

const nameOf = (nodes: readonly NodeStatus[], id: string | null): string =>
  id === null ? "nobody" : (nodes.find((node) => node.id === id)?.name ?? id);

/** Resolves when the node serves the shard. Rejects DEADLINE when it still does not then. */
async function arrived(admin: Remote, shard: number, to: NodeStatus, until: number): Promise<void> {
  for (;;) {
    const now = (await statusOf(admin)).shards[shard];
    if (now?.owner === to.id) return;
    if (performance.now() > until)
      throw new SheafError(
        "DEADLINE",
        `shard ${shard} is not at ${to.name} yet${now?.reason ? `: ${now.reason}` : ""}`,
        {
          outcome: "applied",
          hint: `It goes there when it can. sheaf shard unpin ${shard} takes that back.`,
        },
      );
    await sleep(lookEveryMs);
  }
}

export const move: Run<Watched & { readonly to: string }> = async (context, [given = ""], options) => {
  const until = performance.now() + parseSpan(options.deadline, "--deadline");
  const admin = adminOf(context, options);
  const status = await statusOf(admin);
  const { shard, owner } = shardNamed(status, given);
  const to = pick(status.nodes, options.to);
  const planned = { shard, from: owner, to: to.id, pinned: to.name };
  const way = `shard ${shard}: ${printable(nameOf(status.nodes, owner))} → ${printable(to.name)}`;
  if (options.dryRun !== true) {
    await admin.ask(`/admin/v1/shards/${shard}/move`, { method: "POST", body: { to: to.id } });
    await watching(context, `It goes on; sheaf shard unpin ${shard} takes it back.`, () =>
      arrived(admin, shard, to, until),
    );
  }
  const done =
    options.dryRun === true ? " would move, and stay until it is unpinned" : ", where it stays until it is unpinned";
  context.output.one(
    "sheaf.shard.move/v1",
    { ...planned, dryRun: options.dryRun === true },
    (paint) => `${paint("green", options.dryRun === true ? "·" : "✓")} ${way}${done}`,
    String(shard),
  );
  return 0;
};

export const unpin: Run<RemoteOptions> = async (context, [given = ""], options) => {
  const admin = adminOf(context, options);
  const { shard, pinned } = shardNamed(await statusOf(admin), given);
  await unpinned(admin, shard);
  context.output.one(
    "sheaf.shard.unpin/v1",
    { shard, pinned },
    (paint) => `${paint("green", "✓")} shard ${shard} goes where weights and zones have it`,
    String(shard),
  );
  return 0;
};

export const rebalance: Run<Watched> = async (context, _args, options) => {
  const { output } = context;
  const until = performance.now() + parseSpan(options.deadline, "--deadline");
  const admin = adminOf(context, options);
  const [{ nodes }, moves] = [await statusOf(admin), await movesOf(admin)];
  const columns: readonly Column<NamedMove>[] = [
    { title: "shard", value: ({ shard }) => shard, align: "right" },
    { title: "from", value: ({ fromName }) => fromName ?? "nobody" },
    { title: "to", value: ({ toName }) => toName ?? "nobody" },
    { title: "state", value: ({ state }) => state },
    { title: "why", value: ({ why }) => why },
  ];
  const id = ({ shard }: ShardMove): string => String(shard);
  const empty = "every shard is where it belongs";
  if (options.dryRun !== true) await carryOut(context, admin, nodes, moves, until);
  const named = moves.map((each): NamedMove => {
    const name = (id: string | null): string | null => (id === null ? null : nameOf(nodes, id));
    return { ...each, fromName: name(each.from), toName: name(each.to) };
  });
  output.list("sheaf.shard.rebalance/v1", named, { columns, id, empty });
  if (options.dryRun === true && moves.length > 0) output.note("nothing was changed: without --dry-run it is done");
  return 0;
};

/** Takes the pins away a few at a time, and waits until those shards are where they belong. */
async function carryOut(
  context: Context,
  admin: Remote,
  nodes: readonly NodeStatus[],
  moves: readonly ShardMove[],
  until: number,
): Promise<void> {
  const wanted = moves.filter(({ state }) => state !== "kept");
  const say = "What is under way goes on, the pins not reached yet stay. sheaf shard rebalance goes on with the rest.";
  await watching(context, say, async () => {
    let done = 0;
    for (let at = 0; at < wanted.length; at += atOnce) {
      const some = wanted.slice(at, at + atOnce);
      for (const { shard, state } of some) if (state === "pinned") await unpinned(admin, shard);
      for (const { shard, from, to } of some) {
        const node = nodes.find((one) => one.id === to);
        if (node !== undefined) await arrived(admin, shard, node, until);
        const way = from === to ? `stays at ${nameOf(nodes, from)}` : `${nameOf(nodes, from)} → ${nameOf(nodes, to)}`;
        context.output.note(`${++done} of ${wanted.length}  shard ${shard}  ${printable(way)}`);
      }
    }
  });
}

/** Does it; the first Ctrl-C says what goes on without us, and ends the process with 130. */
async function watching(context: Context, says: string, work: () => Promise<void>): Promise<void> {
  const stop = (): void => {
    context.output.note(`not watched any more. ${says}`);
    process.exit(130);
  };
  process.once("SIGINT", stop);
  try {
    await work();
  } finally {
    process.off("SIGINT", stop);
  }
}

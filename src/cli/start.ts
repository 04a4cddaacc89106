// `sheaf start`: one node in this process, or several in processes of their own, until SIGTERM or SIGINT asks to stop; a second
// one ends it at once.

import process from "node:process";
import { findApp, openAppFile } from "./app-file.ts";
import type { Context, Run } from "./context.ts";
import { runLocalNodes } from "./local-nodes.ts";
import { type Server, serve } from "./serve.ts";
import { type ServerFlags, type ServerOptions, serverOptions } from "./server-options.ts";
import type { News, Ready } from "./supervisor.ts";

type StartFlags = ServerFlags & { readonly restart?: boolean };

export const start: Run<StartFlags> = async (context, [given], flags) => {
  const path = findApp(context.cwd, given);
  const options = serverOptions(context, "start", path, flags);
  return options.length === 1 ? startOne(context, options[0]) : startSeveral(context, options, flags.restart === true);
};

async function startOne(context: Context, options: ServerOptions): Promise<number> {
  const app = await openAppFile(options.app).load();
  // From here on a signal stops in good order, even while the node is still starting.
  const asked = untilAsked();
  const server = await serve(options, app);
  announce(context, server, app.name);
  const why = await Promise.race([asked, server.replaced]);
  context.output.note("stopping …");
  await server.stop();
  if (why) throw why;
  return 0;
}

function announce({ output }: Context, server: Server, app: string): void {
  for (const note of server.notes) output.note(note);
  const { gateway, admin, node, name = null, peer = null } = server;
  const facts = { app, gateway, admin, pid: process.pid, cluster: node.cluster.name, node: node.id, name, peer };
  output.item("sheaf.start/v1", { event: "ready", ...facts }, (paint) => {
    const as = name === null ? "" : `  node ${name}  for other nodes ${peer}`;
    return `${paint("bold", app)} ready  gateway ${gateway}  admin ${admin}${as}  process ${process.pid}`;
  });
}

/** Nodes that end by themselves stay down unless `revive`; when the last has ended, so does the command. */
async function startSeveral(context: Context, options: readonly ServerOptions[], revive: boolean): Promise<number> {
  const { output } = context;
  const asked = untilAsked();
  const allGone = Promise.withResolvers<"all gone">();
  const down = new Set<string>();
  const nodes = runLocalNodes(options, revive, (label, news) => {
    if (news.kind === "ready") down.delete(label);
    if (news.kind === "ended") down.add(label);
    tell(context, label, news);
    if (down.size === options.length && !revive) allGone.resolve("all gone");
  });
  const stop = asked.then(() => "asked" as const);
  const first = await Promise.race([nodes.ready, stop]);
  if (first !== "asked") {
    const cluster = { event: "cluster-ready", cluster: first[0]?.cluster, nodes: first.map(({ name }) => name) };
    output.item("sheaf.start/v1", cluster, (paint) =>
      paint("green", `cluster ${cluster.cluster} ready  ${cluster.nodes.length} nodes  ${first[0]?.shards} shards`),
    );
    if ((await Promise.race([stop, allGone.promise])) === "all gone") {
      output.note("no node is left");
      return 1;
    }
  }
  output.note("stopping one node after another …");
  await nodes.stop((label) =>
    output.item("sheaf.start/v1", { event: "stopped", name: label }, () => `${label} stopped`),
  );
  return 0;
}

function tell({ output }: Context, label: string, news: News): void {
  switch (news.kind) {
    case "printed":
      return output.terminal.err.write(`${news.text}\n`);
    case "ready":
      return tellReady(output, news.ready);
    case "ended": {
      const { how, message = null, again } = news;
      const restartsInMs = typeof again === "number" ? again : null;
      const next = restartsInMs === null ? "it stays down; --restart would start it again" : "it is started again";
      return output.item("sheaf.start/v1", { event: "ended", name: label, how, message, restartsInMs }, (paint) =>
        paint("yellow", `${label} ended with ${how}${message === null ? "" : `: ${message}`}; ${next}`),
      );
    }
    case "reloaded":
    case "reload-failed":
      return;
  }
}

function tellReady(output: Context["output"], ready: Ready): void {
  const { app, gateway, admin, pid, cluster, node, name, peer, notes } = ready;
  for (const note of notes) output.note(`${name}: ${note}`);
  const facts = { app: app.name, gateway, admin, pid, cluster, node, name, peer };
  output.item(
    "sheaf.start/v1",
    { event: "ready", ...facts },
    (paint) => `${paint("bold", String(name))} ready  gateway ${gateway}  admin ${admin}  process ${pid}`,
  );
}

/** Resolves at the first SIGTERM or SIGINT; the second ends the process. */
function untilAsked(): Promise<void> {
  return new Promise((resolve) => {
    let stopping = false;
    const stop = (signal: NodeJS.Signals): void => {
      if (stopping) process.exit(signal === "SIGINT" ? 130 : 143);
      stopping = true;
      resolve();
    };
    process.on("SIGTERM", stop);
    process.on("SIGINT", stop);
  });
}

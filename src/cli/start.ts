// `sheaf start`: one node in this process, until SIGTERM or SIGINT asks it to stop; a second one ends it at once.

import process from "node:process";
import { findApp, openAppFile } from "./app-file.ts";
import type { Context, Run } from "./context.ts";
import { type Server, serve } from "./serve.ts";
import { type ServerFlags, serverOptions } from "./server-options.ts";

export const start: Run<ServerFlags> = async (context, [given], flags) => {
  const path = findApp(context.cwd, given);
  const options = serverOptions(context, "start", path, flags);
  const app = await openAppFile(path).load();
  // From here on a signal stops in good order, even while the node is still starting.
  const asked = untilAsked();
  const server = await serve(options, app);
  announce(context, server, app.name);
  await asked;
  context.output.note("stopping …");
  await server.stop();
  return 0;
};

function announce({ output }: Context, server: Server, app: string): void {
  for (const note of server.notes) output.note(note);
  const { gateway, admin, node } = server;
  const ready = { event: "ready", app, gateway, admin, pid: process.pid, cluster: node.cluster.name };
  output.item(
    "sheaf.start/v1",
    ready,
    (paint) => `${paint("bold", app)} ready  gateway ${gateway}  admin ${admin}  process ${process.pid}`,
  );
}

/** Resolves at the first SIGTERM or SIGINT; the second ends the process. */
export function untilAsked(): Promise<void> {
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

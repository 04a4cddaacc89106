// The server process of `sheaf dev`, and of `sheaf start` with several nodes: one node, told by its parent what to run, when to
// load new code and when to stop. It does not outlive its parent: killing that in any way is killing this.

import process from "node:process";
import { relative } from "node:path";
import { asSheafError } from "../base/index.ts";
import { openAppFile } from "./app-file.ts";
import type { AppShape } from "../model/index.ts";
import type { Run } from "./context.ts";
import { type Server, serve } from "./serve.ts";
import type { ServerOptions } from "./server-options.ts";
import type { FromServer, Ready, ToServer } from "./supervisor.ts";

const tell = (message: FromServer): Promise<void> =>
  new Promise((resolve) => void (process.send === undefined ? resolve() : process.send(message, () => resolve())));

export const serveChild: Run<object> = async (context) => {
  // A terminal sends Ctrl-C to us too; the parent decides when we stop.
  for (const signal of ["SIGINT", "SIGHUP"] as const) process.on(signal, () => {});
  const orphaned = (): void => process.exit(1);
  process.on("disconnect", orphaned);
  const orders = listenForOrders();
  const options = await orders.options;
  const file = openAppFile(options.app);
  try {
    const app = await file.load();
    const server = await serve(options, app);
    await tell({ kind: "ready", ready: readyOf(server, options, app, context.cwd, file.folders()) });
    const obeyed = orders.obey(async () => {
      const began = performance.now();
      try {
        server.reload(await file.load());
        await tell({ kind: "reloaded", ms: performance.now() - began, folders: file.folders() });
      } catch (error) {
        const failure = asSheafError(error);
        await tell({
          kind: "reload-failed",
          message: [failure.message, failure.hint].filter(Boolean).join("\n  "),
          folders: file.folders(),
        });
      }
    });
    const why = await Promise.race([obeyed, server.replaced]);
    await server.stop();
    if (why) throw why;
    return 0;
  } catch (error) {
    const { code, message, hint } = asSheafError(error);
    await tell({ kind: "failed", code, message, hint, folders: file.folders() });
    return 1;
  } finally {
    process.off("disconnect", orphaned);
    process.disconnect?.();
  }
};

function readyOf(
  server: Server,
  options: ServerOptions,
  app: AppShape,
  cwd: string,
  folders: readonly string[],
): Ready {
  return {
    gateway: server.gateway,
    admin: server.admin,
    pid: process.pid,
    node: server.node.id,
    name: server.name ?? null,
    peer: server.peer ?? null,
    cluster: server.node.cluster.name,
    shards: server.node.cluster.shards,
    app: {
      name: app.name,
      entities: app.entities.map(({ contract }) => contract.name),
      services: app.services.map(({ contract }) => contract.name),
      queues: (app.contract.queues ?? []).map(({ name }) => name),
      topics: (app.contract.topics ?? []).map(({ name }) => name),
      schedules: (app.schedules ?? []).map(({ name }) => name),
    },
    data: shortest(cwd, options.data),
    dataFolder: options.data,
    home: options.home,
    notes: server.notes,
    folders,
  };
}

/** The path as a person in `cwd` would write it. */
function shortest(cwd: string, path: string): string {
  const short = relative(cwd, path);
  return short.startsWith("..") ? path : short || ".";
}

/** Hears the parent from the start, so that what it says while the node still starts is not lost. */
function listenForOrders(): {
  /** What to run: never an argument, as others on this machine can read those. */
  readonly options: Promise<ServerOptions>;
  obey(reload: () => Promise<void>): Promise<void>;
} {
  const options = Promise.withResolvers<ServerOptions>();
  let stop = false;
  let reloads = 0;
  let wake = (): void => {};
  process.on("message", (message: ToServer) => {
    if (message.kind === "run") options.resolve(message.options);
    else if (message.kind === "stop") stop = true;
    else reloads++;
    wake();
  });
  let isSignalled = false;
  process.on("SIGTERM", () => {
    if (isSignalled) process.exit(143);
    isSignalled = stop = true;
    wake();
  });
  return {
    options: options.promise,
    /** Reloads one at a time, once for all that were asked for meanwhile. Resolves when told to stop. */
    async obey(reload) {
      while (!stop) {
        if (reloads > 0) {
          reloads = 0;
          await reload();
        } else await new Promise<void>((resolve) => void (wake = resolve));
      }
    },
  };
}

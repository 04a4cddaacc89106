// `sheaf dev`: runs the app on this machine in a process of its own, which may crash, be killed or be given new code without
// this one losing its place. Beside it run the app's load generator and checker, if it has them.

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { findApp } from "./app-file.ts";
import { type Companion, startCompanion } from "./companion.ts";
import { listenForKeys, openInBrowser } from "./keys.ts";
import { type LiveLine, liveLine } from "./live-line.ts";
import type { Context, Run } from "./context.ts";
import { release } from "./release.ts";
import { type Ready, superviseServer, type Supervised } from "./supervisor.ts";
import { type ServerFlags, serverOptions } from "./server-options.ts";
import { watchFiles } from "./watch.ts";

type DevFlags = ServerFlags & { readonly load: boolean };

export const dev: Run<DevFlags> = async (context, [given], flags) => {
  const app = findApp(context.cwd, given);
  const options = serverOptions(context, "dev", app, flags);
  const line = liveLine(context.output.terminal.err, () => process.stderr.columns ?? 80);
  const began = performance.now();
  const server = superviseServer(options, (text) => line.print(text));
  const ready = await server.ready.catch((error: unknown) => {
    line.close();
    throw error;
  });
  // Before anybody hears that it is ready, and may ask it to stop.
  const end = untilStopped(line);
  greet(context, line, ready, performance.now() - began);
  return runUntilStopped(context, line, server, ready, end, dirname(app), flags.load);
};

function greet({ output }: Context, line: LiveLine, ready: Ready, tookMs: number): void {
  const { paint } = output.terminal.err;
  const { data, app, gateway, admin } = ready;
  if (output.flags.json) return output.item("sheaf.dev/v1", { event: "ready", ...ready }, () => "");
  const rows = [
    "",
    `  ${paint("bold", `sheaf ${release().version}`)}   ${app.name}   embedded engine, data in ${data}`,
    `  ${paint("green", "✓")} ${ready.shards} shards   Entities  ${list(app.entities)}   Services  ${list(app.services)}`,
    ...ready.notes.map((note) => `  ${paint("yellow", "▲")} ${note}`),
    "",
    `  Gateway   ${paint("cyan", gateway)}`,
    `  API docs  ${paint("cyan", `${gateway}/docs`)}`,
    `  Admin     ${paint("cyan", admin)}`,
    "",
    ...(output.terminal.interactive
      ? ["  k kill and restart   l load on/off   r restart   o open API docs   q quit"]
      : []),
    `  ready in ${(tookMs / 1000).toFixed(1)} s`,
    "",
  ];
  line.print(rows.join("\n"));
}

const list = (names: readonly string[]): string => (names.length === 0 ? "none" : names.join(", "));

/** Everything that goes on until somebody asks to stop. Resolves with the exit code: 6 when a checker found something wrong. */
async function runUntilStopped(
  context: Context,
  line: LiveLine,
  server: Supervised,
  ready: Ready,
  end: End,
  folder: string,
  withLoad: boolean,
): Promise<number> {
  const { paint } = context.output.terminal.err;
  const says = { load: "", checker: "" };
  let wrong = false;
  const show = (): void => line.say([says.load, says.checker].filter((text) => text !== "").join("   "));
  const companion = (name: "load" | "checker"): Companion | undefined => {
    const file = [`${name}.ts`, `${name}.js`].map((each) => join(folder, each)).find((path) => existsSync(path));
    if (file === undefined) return undefined;
    return startCompanion(file, ready, {
      print: (text) => line.print(`${name}: ${text}`),
      said: (text, ok) => {
        wrong ||= !ok;
        says[name] = ok ? text : paint("red", `✗ ${text}`);
        if (context.output.flags.json) context.output.item("sheaf.dev/v1", { event: name, line: text, ok }, () => "");
        show();
      },
    });
  };
  const checker = companion("checker");
  let load = withLoad ? companion("load") : undefined;
  const toggleLoad = async (): Promise<void> => {
    if (load === undefined) {
      load = companion("load");
      return line.print(load === undefined ? "this app has no load.ts beside it" : "load on");
    }
    const running = load;
    load = undefined;
    await running.stop();
    says.load = "load off";
    show();
  };

  const watch = watchFiles((names) => {
    const only = [...names].filter((name) => !/\.test\.[cm]?[jt]s$/.test(name));
    if (only.includes("load.ts")) load?.restart();
    if (only.includes("checker.ts")) checker?.restart();
    if (only.some((name) => name !== "load.ts" && name !== "checker.ts")) server.reload();
  });
  server.onFolders((folders) => watch.follow(folders));

  if (context.output.terminal.interactive) {
    listenForKeys({
      k: () => server.kill(),
      r: () => server.restart(),
      l: () => void toggleLoad(),
      o: () => openInBrowser(`${ready.gateway}/docs`),
      q: end.stop,
      "\u0003": end.stop,
    });
  }
  await end.asked;
  watch.close();
  await Promise.all([load?.stop(), checker?.stop()]);
  await server.stop();
  line.close();
  return wrong ? 6 : 0;
}

type End = { readonly asked: Promise<void>; readonly stop: () => void };

/** Resolves at the first signal or call of `stop`. A second one ends at once. */
function untilStopped(line: LiveLine): End {
  const { promise, resolve } = Promise.withResolvers<void>();
  let stopping = false;
  const stop = (): void => {
    if (stopping) process.exit(130);
    stopping = true;
    line.print("stopping …");
    resolve();
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, stop);
  return { asked: promise, stop };
}

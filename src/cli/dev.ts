// `sheaf dev`: runs the app on this machine in processes of their own, which may crash, be killed or be given new code without
// this one losing its place. Beside them run the app's load generator and checker, if it has them.

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { findApp } from "./app-file.ts";
import { type Companion, startCompanion } from "./companion.ts";
import { listenForKeys, openInBrowser } from "./keys.ts";
import { type LiveLine, liveLine } from "./live-line.ts";
import { type LocalNodes, runLocalNodes } from "./local-nodes.ts";
import { type Context, parseSpan, type Run } from "./context.ts";
import { release } from "./release.ts";
import type { News, Ready } from "./supervisor.ts";
import { engineName, type ServerFlags, type ServerOptions, serverOptions } from "./server-options.ts";
import { statusText } from "./status.ts";
import { watchFiles } from "./watch.ts";

type DevFlags = ServerFlags & { readonly load: boolean; readonly for?: string };

export const dev: Run<DevFlags> = async (context, [given], flags) => {
  const app = findApp(context.cwd, given);
  const options = serverOptions(context, "dev", app, flags);
  const forMs = flags.for === undefined ? undefined : parseSpan(flags.for, "--for");
  const line = liveLine(context.output.terminal.err, () => process.stderr.columns || 80);
  const began = performance.now();
  // Whoever reads a log wants to know why nothing happens yet.
  if (!context.output.terminal.err.tty)
    context.output.note(`starting ${options.length === 1 ? "a node" : `${options.length} nodes`} with ${app}`);
  const nodes = runLocalNodes(options, true, (label, news) => {
    const text = textOf(news);
    if (text !== undefined) line.print(options.length === 1 ? text : `${label}: ${text}`);
  });
  const ready = await nodes.ready.catch((error: unknown) => {
    line.close();
    throw error;
  });
  // Before anybody hears that it is ready, and may ask it to stop.
  const end = untilStopped(line);
  greet(context, line, options, ready, performance.now() - began);
  if (forMs !== undefined) setTimeout(end.stop, forMs).unref();
  return runUntilStopped(context, line, nodes, ready, end, dirname(app), flags.load);
};

/** What a person is told of what becomes of a node; undefined for what goes without saying. */
function textOf(news: News): string | undefined {
  switch (news.kind) {
    case "printed":
      return news.text;
    case "ready":
      if (news.after !== undefined)
        return `${news.after.why}; serves again after ${Math.round(news.after.ms)} ms, process ${news.ready.pid}`;
      return news.isFirst ? undefined : `serves again, process ${news.ready.pid}`;
    case "reloaded":
      return `reloaded in ${(news.ms / 1000).toFixed(2)} s, state kept`;
    case "reload-failed":
      return `✗ ${news.message}\n  not reloaded: the code before this change still runs`;
    case "ended":
      if (news.again === "on save") return `✗ ${news.message}\n  not running: save a change to try again`;
      if (news.again === "never") return undefined;
      return `✗ the server process ended with ${news.how}${news.message === undefined ? "" : `: ${news.message}`}; starting it again in ${news.again} ms`;
  }
}

function greet(
  { output }: Context,
  line: LiveLine,
  [first]: readonly [ServerOptions, ...ServerOptions[]],
  all: readonly Ready[],
  tookMs: number,
): void {
  const { paint } = output.terminal.err;
  if (output.flags.json) {
    for (const ready of all) output.item("sheaf.dev/v1", { event: "ready", ...ready }, () => "");
    return;
  }
  const { data, app, gateway, admin, shards } = all[0]!;
  const several = all.length > 1;
  const names = several ? `${all.length} nodes   ${all.map(({ name }) => name).join(" ")}   ` : "";
  const where = first.engineFolder === undefined ? "" : `, data in ${data}`;
  const keys = several
    ? "k kill -9 a node   a bring it back   l load on/off   r restart all, one by one   s status   q quit"
    : "k kill and restart   l load on/off   r restart   s status   o open API docs   q quit";
  const rows = [
    "",
    `  ${paint("bold", `sheaf ${release().version}`)}   ${app.name}   ${engineName(first)} engine${where}`,
    `  ${paint("green", "✓")} ${names}${shards} shards   ${offered(app)}`,
    ...all.flatMap(({ notes }) => notes).map((note) => `  ${paint("yellow", "▲")} ${note}`),
    "",
    `  Gateway   ${paint("cyan", all.map((ready) => ready.gateway).join("  "))}`,
    `  API docs  ${paint("cyan", `${gateway}/docs`)}`,
    `  Admin     ${paint("cyan", admin)}`,
    "",
    ...(output.terminal.interactive ? [`  ${keys}`] : []),
    `  ready in ${(tookMs / 1000).toFixed(1)} s`,
    "",
  ];
  line.print(rows.join("\n"));
}

/** What the app has, as far as it has any. */
function offered({ entities, services, queues, topics, schedules }: Ready["app"]): string {
  const kinds = { Entities: entities, Services: services, Queues: queues, Topics: topics, Schedules: schedules };
  const some = Object.entries(kinds).filter(([, names]) => names.length > 0);
  return some.map(([kind, names]) => `${kind}  ${names.join(", ")}`).join("   ");
}

/** Everything that goes on until somebody asks to stop. Resolves with the exit code: 6 when a checker found something wrong. */
async function runUntilStopped(
  context: Context,
  line: LiveLine,
  nodes: LocalNodes,
  all: readonly Ready[],
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
    return startCompanion(file, all, {
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
    if (only.some((name) => name !== "load.ts" && name !== "checker.ts")) nodes.reload();
  });
  nodes.onFolders((folders) => watch.follow(folders));

  if (context.output.terminal.interactive) {
    listenForKeys({
      ...(nodes.all.length > 1 ? keysForSeveral(nodes, line) : keysForOne(nodes)),
      l: () => void toggleLoad(),
      s: () => void showStatus(context, nodes, line),
      o: () => openInBrowser(`${all[0]!.gateway}/docs`),
      q: end.stop,
      "\u0003": end.stop,
    });
  }
  await end.asked;
  watch.close();
  await Promise.all([load?.stop(), checker?.stop()]);
  await nodes.stop();
  line.close();
  return wrong ? 6 : 0;
}

type Keys = Readonly<Record<string, () => void>>;

/** Nobody is there to take over: what is killed is started again at once. */
const keysForOne = ({ all: [only] }: LocalNodes): Keys => ({
  k: () => only?.kill("start"),
  r: () => void only?.restart(),
});

/** What is killed stays down, so that it can be seen that the others go on. */
function keysForSeveral(nodes: LocalNodes, line: LiveLine): Keys {
  const down: LocalNodes["all"][number][] = [];
  const kill = async (): Promise<void> => {
    const node = await nodes.busiest();
    if (node === undefined) return line.print("no node is left to kill; a brings one back");
    line.print(`${node.label}: kill -9, process ${node.running?.pid}; a brings it back`);
    node.kill("stay");
    down.push(node);
  };
  const bringBack = (): void => {
    const node = down.shift();
    if (node === undefined) return line.print("every node is up");
    line.print(`${node.label}: starting`);
    void node.restart();
  };
  return { k: () => void kill(), a: bringBack, r: () => void nodes.restart() };
}

async function showStatus(context: Context, nodes: LocalNodes, line: LiveLine): Promise<void> {
  const status = await nodes.status();
  line.print(status === undefined ? "no node answers" : statusText(status, context.output.terminal, false));
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

// Keeps the server process of `sheaf dev` running: starts it, passes reloads on, starts it anew when it dies or is killed.
//
// V1. One server process at a time: the next is started only when the one before has ended.
// V2. Code that cannot be loaded never replaces code that runs; with nothing running, the next save tries again.

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { type ErrorCode, SheafError } from "../base/index.ts";
import { commandFile } from "./release.ts";
import type { ServerOptions } from "./server-options.ts";

/** What a server process says once it serves. */
export type Ready = {
  readonly gateway: string;
  readonly admin: string;
  readonly pid: number;
  readonly cluster: string;
  readonly shards: number;
  readonly app: { readonly name: string; readonly entities: readonly string[]; readonly services: readonly string[] };
  /** The data folder as a person would write it, and in full. */
  readonly data: string;
  readonly dataFolder: string;
  /** Things worth knowing, such as a port that was taken. */
  readonly notes: readonly string[];
  /** Folders of the app's files. */
  readonly folders: readonly string[];
};

/** From the server process to us. */
export type FromServer =
  | { readonly kind: "ready"; readonly ready: Ready }
  | { readonly kind: "reloaded"; readonly ms: number; readonly folders: readonly string[] }
  | { readonly kind: "reload-failed"; readonly message: string; readonly folders: readonly string[] }
  | {
      readonly kind: "failed";
      readonly code: ErrorCode;
      readonly message: string;
      readonly hint: string | undefined;
      readonly folders: readonly string[];
    };

/** From us to the server process. */
export type ToServer = { readonly kind: "reload" } | { readonly kind: "stop" };

export interface Supervised {
  /** Rejects when the first start fails. */
  readonly ready: Promise<Ready>;
  reload(): void;
  /** kill -9, and a new start at once. */
  kill(): void;
  /** A graceful stop and a new start. */
  restart(): void;
  stop(): Promise<void>;
  /** Told of the app's folders now and whenever they change. */
  onFolders(tell: (folders: readonly string[]) => void): void;
}

type Life =
  | { readonly kind: "starting" | "running"; readonly child: ChildProcess; readonly since: number }
  /** Dead; `again` is the timer of the next start, or undefined when only a save can help. */
  | { readonly kind: "down"; readonly again: NodeJS.Timeout | undefined }
  | { readonly kind: "stopping"; readonly child: ChildProcess | undefined };

const firstPauseMs = 100;
const longestPauseMs = 5_000;
/** A process that served this long has recovered: the next death starts with a short pause again. */
const recoveredMs = 10_000;

export function superviseServer(options: ServerOptions, print: (text: string) => void): Supervised {
  let asked = options;
  let life: Life = { kind: "down", again: undefined };
  let pauseMs = firstPauseMs;
  let folders: readonly string[] = [];
  let tellFolders: (folders: readonly string[]) => void = () => {};
  /** Why the process that runs now is about to end, when it is we who end it. */
  let ending: { readonly why: "killed" | "restarted"; readonly at: number } | undefined;
  const first = Promise.withResolvers<Ready>();
  let everReady = false;

  function start(): void {
    const child = spawn(process.execPath, [commandFile, "__serve", JSON.stringify(asked)], {
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    life = { kind: "starting", child, since: performance.now() };
    for (const stream of [child.stdout!, child.stderr!]) createInterface({ input: stream }).on("line", print);
    let failure: (FromServer & { kind: "failed" }) | undefined;
    child.on("message", (message: FromServer) => {
      if (message.kind === "failed") failure = message;
      hear(child, message);
    });
    child.on("error", (error) =>
      first.reject(new SheafError("INTERNAL", `the server process did not start: ${error.message}`)),
    );
    child.on("exit", (code, signal) => ended(signal ?? `code ${code}`, failure));
  }

  function hear(child: ChildProcess, message: FromServer): void {
    if (message.kind !== "ready") follow(message.folders);
    switch (message.kind) {
      case "ready":
        return serving(child, message.ready);
      case "reloaded":
        return print(`reloaded in ${(message.ms / 1000).toFixed(2)} s, state kept`);
      case "reload-failed":
        return print(`✗ ${message.message}\n  not reloaded: the code before this change still runs`);
      case "failed":
        return;
    }
  }

  function serving(child: ChildProcess, ready: Ready): void {
    if (life.kind !== "starting") return;
    life = { kind: "running", child, since: performance.now() };
    follow(ready.folders);
    if (ending !== undefined)
      print(`${ending.why}; serves again after ${Math.round(performance.now() - ending.at)} ms, process ${ready.pid}`);
    else if (everReady) print(`serves again, process ${ready.pid}`);
    ending = undefined;
    everReady = true;
    // Clients know these addresses: the next process is to have the same.
    const portOf = (url: string): { number: number; explicit: true } => ({
      number: Number(new URL(url).port),
      explicit: true,
    });
    asked = { ...options, port: portOf(ready.gateway), adminPort: portOf(ready.admin) };
    first.resolve(ready);
  }

  function follow(now: readonly string[]): void {
    if (now.length === 0) return;
    folders = now;
    tellFolders(now);
  }

  function ended(how: string, failure: (FromServer & { kind: "failed" }) | undefined): void {
    if (life.kind === "stopping") return;
    if (!everReady) {
      const error = failure ?? {
        code: "INTERNAL" as const,
        message: `the server process ended with ${how}`,
        hint: undefined,
      };
      return first.reject(new SheafError(error.code, error.message, { hint: error.hint }));
    }
    if (ending !== undefined && failure === undefined) return start();
    if (failure?.code === "USAGE" || failure?.code === "NOT_FOUND") {
      life = { kind: "down", again: undefined };
      return print(`✗ ${failure.message}\n  not running: save a change to try again`);
    }
    if (life.kind === "running" && performance.now() - life.since > recoveredMs) pauseMs = firstPauseMs;
    print(
      `✗ the server process ended with ${how}${failure === undefined ? "" : `: ${failure.message}`}; starting it again in ${pauseMs} ms`,
    );
    life = { kind: "down", again: setTimeout(start, pauseMs) };
    pauseMs = Math.min(pauseMs * 2, longestPauseMs);
  }

  const send = (child: ChildProcess, message: ToServer): void => void (child.connected && child.send(message));
  const now = (): void => {
    if (life.kind !== "down") return;
    clearTimeout(life.again);
    start();
  };

  start();
  return {
    ready: first.promise,
    reload() {
      if (life.kind === "running") send(life.child, { kind: "reload" });
      else if (life.kind === "down" && life.again === undefined) start();
    },
    kill() {
      if (life.kind === "down") return now();
      if (life.kind !== "running") return;
      ending = { why: "killed", at: performance.now() };
      life.child.kill("SIGKILL");
    },
    restart() {
      if (life.kind === "down") return now();
      if (life.kind !== "running") return;
      ending = { why: "restarted", at: performance.now() };
      send(life.child, { kind: "stop" });
    },
    async stop() {
      const child = life.kind === "starting" || life.kind === "running" ? life.child : undefined;
      if (life.kind === "down") clearTimeout(life.again);
      life = { kind: "stopping", child };
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
      await new Promise<void>((resolve) => {
        child.once("exit", () => resolve());
        send(child, { kind: "stop" });
      });
    },
    onFolders(tell) {
      tellFolders = tell;
      tell(folders);
    },
  };
}

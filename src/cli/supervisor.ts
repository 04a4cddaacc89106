// Keeps one server process: starts it, passes reloads on, starts it anew when it dies or is killed, if that is wanted.
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
  /** Id of the node in its cluster. */
  readonly node: string;
  /** Its name, and where other nodes reach it; null for a node that is alone. */
  readonly name: string | null;
  readonly peer: string | null;
  readonly cluster: string;
  readonly shards: number;
  readonly app: {
    readonly name: string;
    readonly entities: readonly string[];
    readonly services: readonly string[];
    readonly queues: readonly string[];
    readonly topics: readonly string[];
    readonly schedules: readonly string[];
  };
  /** The data folder as a person would write it, and in full. */
  readonly data: string;
  readonly dataFolder: string;
  /** The folder of what the nodes of one command have together. */
  readonly home: string;
  /** Things worth knowing, such as a port that was taken. */
  readonly notes: readonly string[];
  /** Folders of the app's files. */
  readonly folders: readonly string[];
};

type Failed = {
  readonly kind: "failed";
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string | undefined;
  readonly folders: readonly string[];
};

/** From the server process to us. */
export type FromServer =
  | { readonly kind: "ready"; readonly ready: Ready }
  | { readonly kind: "reloaded"; readonly ms: number; readonly folders: readonly string[] }
  | { readonly kind: "reload-failed"; readonly message: string; readonly folders: readonly string[] }
  | Failed;

/** From us to the server process. `run` comes first. */
export type ToServer =
  | { readonly kind: "run"; readonly options: ServerOptions }
  | { readonly kind: "reload" }
  | { readonly kind: "stop" };

/** What becomes of a server process. */
export type News =
  | { readonly kind: "printed"; readonly text: string }
  | {
      readonly kind: "ready";
      readonly ready: Ready;
      readonly isFirst: boolean;
      /** What we ended it by, and how long it was away for that. */
      readonly after: { readonly why: "killed" | "restarted"; readonly ms: number } | undefined;
    }
  | { readonly kind: "reloaded"; readonly ms: number }
  | { readonly kind: "reload-failed"; readonly message: string }
  | {
      readonly kind: "ended";
      /** `code 1`, `SIGKILL`. */
      readonly how: string;
      readonly message: string | undefined;
      /** When it is started again by itself: a pause in milliseconds, at the next save, or not at all. */
      readonly again: number | "on save" | "never";
    };

export interface Supervised {
  /** Rejects when the first start fails. */
  readonly ready: Promise<Ready>;
  /** What the process that serves now has said; undefined while none does. */
  readonly running: Ready | undefined;
  reload(): void;
  /** kill -9, and a new start at once unless it is to stay down. */
  kill(next: "start" | "stay"): void;
  /** A graceful stop and a new start; only the start when it is down. Resolves when it serves again, or cannot. */
  restart(): Promise<void>;
  /** Resolves when it has ended in good order. */
  stop(): Promise<void>;
  /** Told of the app's folders now and whenever they change. */
  onFolders(tell: (folders: readonly string[]) => void): void;
}

type Life =
  | { readonly kind: "starting" | "running"; readonly child: ChildProcess; readonly since: number }
  /** Dead; `again` is the timer of the next start, or undefined when a save or a person has to help. */
  | { readonly kind: "down"; readonly again: NodeJS.Timeout | undefined; readonly onSave: boolean }
  | { readonly kind: "stopping" };

type Ending = { readonly why: "killed" | "restarted"; readonly at: number; readonly next: "start" | "stay" };

const firstPauseMs = 100;
const longestPauseMs = 5_000;
/** A process that served this long has recovered: the next death starts with a short pause again. */
const recoveredMs = 10_000;

/** `revive`: start it again when it ends by itself. */
export function superviseServer(options: ServerOptions, revive: boolean, tell: (news: News) => void): Supervised {
  let asked = options;
  let life: Life = { kind: "down", again: undefined, onSave: false };
  let running: Ready | undefined;
  let pauseMs = firstPauseMs;
  let folders: readonly string[] = [];
  let tellFolders: (folders: readonly string[]) => void = () => {};
  /** Why the process that runs now is about to end, when it is we who end it. */
  let ending: Ending | undefined;
  const first = Promise.withResolvers<Ready>();
  let restarted: PromiseWithResolvers<void> | undefined;
  let everReady = false;

  function start(): void {
    const child = spawn(process.execPath, [commandFile, "__serve"], { stdio: ["ignore", "pipe", "pipe", "ipc"] });
    life = { kind: "starting", child, since: performance.now() };
    send(child, { kind: "run", options: asked });
    for (const stream of [child.stdout!, child.stderr!])
      createInterface({ input: stream }).on("line", (text) => tell({ kind: "printed", text }));
    let failure: Failed | undefined;
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
        return tell({ kind: "reloaded", ms: message.ms });
      case "reload-failed":
        return tell({ kind: "reload-failed", message: message.message });
      case "failed":
        return;
    }
  }

  function serving(child: ChildProcess, ready: Ready): void {
    if (life.kind !== "starting") return;
    life = { kind: "running", child, since: performance.now() };
    running = ready;
    follow(ready.folders);
    const after = ending && { why: ending.why, ms: performance.now() - ending.at };
    tell({ kind: "ready", ready, isFirst: !everReady, after });
    ending = undefined;
    everReady = true;
    // Clients know these addresses: the next process is to have the same.
    const portOf = (url: string): { number: number; explicit: true } => ({
      number: Number(new URL(url).port),
      explicit: true,
    });
    asked = { ...options, port: portOf(ready.gateway), adminPort: portOf(ready.admin) };
    first.resolve(ready);
    settleRestart();
  }

  function settleRestart(): void {
    restarted?.resolve();
    restarted = undefined;
  }

  function follow(now: readonly string[]): void {
    if (now.length === 0) return;
    folders = now;
    tellFolders(now);
  }

  function ended(how: string, failure: Failed | undefined): void {
    running = undefined;
    if (life.kind === "stopping") return;
    if (!everReady) {
      life = { kind: "stopping" };
      const error = failure ?? {
        code: "INTERNAL" as const,
        message: `the server process ended with ${how}`,
        hint: undefined,
      };
      return first.reject(new SheafError(error.code, error.message, { hint: error.hint }));
    }
    if (ending?.next === "start" && failure === undefined) return start();
    const again = whenAgain(failure);
    settleRestart();
    ending = undefined;
    tell({ kind: "ended", how, message: failure?.message, again });
    const timer = typeof again === "number" ? setTimeout(start, again) : undefined;
    life = { kind: "down", again: timer, onSave: again === "on save" };
  }

  function whenAgain(failure: Failed | undefined): number | "on save" | "never" {
    if (ending?.next === "stay") return "never";
    if (options.mode === "dev" && (failure?.code === "USAGE" || failure?.code === "NOT_FOUND")) return "on save";
    if (!revive) return "never";
    if (life.kind === "running" && performance.now() - life.since > recoveredMs) pauseMs = firstPauseMs;
    const pause = pauseMs;
    pauseMs = Math.min(pauseMs * 2, longestPauseMs);
    return pause;
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
    get running() {
      return running;
    },
    reload() {
      if (life.kind === "running") send(life.child, { kind: "reload" });
      else if (life.kind === "down" && life.onSave) start();
    },
    kill(next) {
      if (life.kind === "down") return next === "start" ? now() : undefined;
      if (life.kind !== "running") return;
      running = undefined;
      settleRestart();
      ending = { why: "killed", at: performance.now(), next };
      life.child.kill("SIGKILL");
    },
    async restart() {
      if (life.kind === "stopping") return;
      const again = (restarted ??= Promise.withResolvers<void>());
      if (life.kind === "down") now();
      else if (life.kind === "running") {
        ending = { why: "restarted", at: performance.now(), next: "start" };
        send(life.child, { kind: "stop" });
      }
      await again.promise;
    },
    async stop() {
      settleRestart();
      const child = life.kind === "starting" || life.kind === "running" ? life.child : undefined;
      if (life.kind === "down") clearTimeout(life.again);
      life = { kind: "stopping" };
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

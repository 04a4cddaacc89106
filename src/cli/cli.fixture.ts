// Runs the real command in a process of its own, and servers to try it on.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { commandFile, packageFolder } from "./release.ts";

export type Ran = { readonly code: number; readonly out: string; readonly err: string };

/** Without what the developer's own shell may set. */
export const clean = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(?:SHEAF_|NO_COLOR|FORCE_COLOR|NODE_TEST)/.test(name)),
);

/** One run of `sheaf`, with nothing on a terminal. */
export async function sheaf(
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string>; input?: string } = {},
): Promise<Ran> {
  const child = spawn(process.execPath, [commandFile, ...args], {
    cwd: options.cwd ?? tmpdir(),
    env: { ...clean, ...options.env },
  });
  child.stdin.end(options.input ?? "");
  const [out, err, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "exit") as Promise<[number | null]>,
  ]);
  return { code: code ?? -1, out, err };
}

export const ledgerApp = join(packageFolder, "examples/ledger/app.ts");

/** A folder that is gone after the test. */
export function folder(t: { after(fn: () => void): void }): string {
  const path = mkdtempSync(join(tmpdir(), "sheaf-cli-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export interface TestServer {
  readonly gateway: string;
  readonly admin: string;
  readonly child: ChildProcess;
  /** What it has said on stderr. */
  err(): string;
  end(signal: NodeJS.Signals): Promise<number | null>;
}

/** `sheaf start` on any free ports. Resolves when it is ready; rejects with its stderr when it ends before that. */
export async function startServer(
  data: string,
  args: readonly string[] = ["--create", "--insecure"],
  env: Record<string, string> = {},
  app: string = ledgerApp,
): Promise<TestServer> {
  const all = ["start", app, "--data", data, "--port", "0", "--admin-port", "0", "--shards", "4", "--json", ...args];
  const child = spawn(process.execPath, [commandFile, ...all], {
    env: { ...clean, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exit = once(child, "exit") as Promise<[number | null]>;
  let err = "";
  child.stderr.on("data", (chunk) => (err += String(chunk)));
  for await (const line of createInterface({ input: child.stdout })) {
    const { gateway, admin } = (JSON.parse(line) as { data: { gateway: string; admin: string } }).data;
    return {
      gateway,
      admin,
      child,
      err: () => err,
      async end(signal) {
        child.kill(signal);
        return (await exit)[0];
      },
    };
  }
  throw new Error(`exit ${(await exit)[0]}: ${err}`);
}

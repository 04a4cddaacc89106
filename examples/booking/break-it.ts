// The kill-and-restart demonstration: starts the box office and the crowd before it, kills both with -9 in the middle of it, starts
// them again, and has the checker verify what everybody was told. Over and over.
//
//   node break-it.ts [--rounds 5] [--data DIR]
//
// Uses a folder of its own, kept when something is wrong. Ends with exit code 6 then.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Books, booksPath } from "./books.ts";

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const sheaf = fileURLToPath(new URL("../bin/sheaf.mjs", import.meta.resolve("sheaf")));

type Server = { readonly child: ChildProcess; readonly gateway: string };

async function startServer(data: string): Promise<Server> {
  const flags = "--create --insecure --host 127.0.0.1 --port 0 --admin-port 0 --json".split(" ");
  const child = spawn(process.execPath, [sheaf, "start", here("./app.ts"), "--data", data, ...flags], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  child.stderr.on("data", (chunk) => (said = (said + String(chunk)).slice(-2000)));
  for await (const line of createInterface({ input: child.stdout })) {
    return { child, gateway: (JSON.parse(line) as { data: { gateway: string } }).data.gateway };
  }
  throw new Error(`the server did not start on ${data}; it said:\n${said}`);
}

function run(file: string, args: readonly string[], server: Server, data: string): ChildProcess {
  const env = { ...process.env, SHEAF_URL: server.gateway, SHEAF_DATA: data };
  return spawn(process.execPath, [here(file), ...args], { env, stdio: ["ignore", "pipe", "inherit"] });
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill(signal);
  await gone;
}

/** Finishes what was interrupted, then checks everything. Returns the checker's exit code. */
async function verify(data: string, say: (text: string) => void): Promise<number> {
  const began = performance.now();
  const server = await startServer(data);
  const upMs = performance.now() - began;
  try {
    await once(run("./load.ts", ["--shows", "0"], server, data), "exit");
    const checker = run("./checker.ts", ["--once"], server, data);
    const gone = once(checker, "exit") as Promise<[number]>;
    for await (const line of createInterface({ input: checker.stdout! })) {
      say(`serves again after ${Math.round(upMs)} ms   ${(JSON.parse(line) as { line: string }).line}`);
    }
    return (await gone)[0];
  } finally {
    await end(server.child, "SIGKILL");
  }
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { rounds: { type: "string", default: "5" }, data: { type: "string" } } });
  const data = values.data ?? mkdtempSync(join(process.cwd(), ".sheaf-break-"));
  const books = new Books(booksPath(data), "read");
  let told = 0;
  const read = (): number => (told += books.read().filter((entry) => "ended" in entry).length);
  for (let round = 1; round <= Number(values.rounds); round++) {
    const server = await startServer(data);
    const load = run("./load.ts", [], server, data);
    const before = read();
    // Into the thick of it: some people have their answer, and others are at any step.
    while (read() < before + 50) await sleep(100);
    await sleep(Math.random() * 1500);
    await Promise.all([end(server.child, "SIGKILL"), end(load, "SIGKILL")]);
    process.stdout.write(`${String(round).padStart(3)}  killed -9 after ${read()} people had their answer   `);
    const code = await verify(data, (text) => void process.stdout.write(`${text}\n`));
    if (code !== 0) {
      process.stdout.write(`\n✗ wrong in round ${round}; the data is kept in ${data}\n`);
      return 6;
    }
  }
  books.close();
  if (values.data === undefined) rmSync(data, { recursive: true, force: true });
  process.stdout.write(
    `\n✓ killed ${values.rounds} times: every seat is one visitor's, and everybody was told the truth\n`,
  );
  return 0;
}

if (import.meta.main) process.exitCode = await main();

// `sheaf dev` on a real app in a folder: reloads keep state, broken code never replaces code that runs, kills are survived.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { test, type TestContext } from "node:test";
import { folder, sheaf } from "./cli.fixture.ts";
import { readNodeFile } from "./node-file.ts";
import { commandFile, packageFolder } from "./release.ts";

const counter = (answer: string): string => `
import { app, entity, queue } from "sheaf";
import { z } from "zod";
import { step } from "./step.ts";
const Counter = entity("counter", {
  state: z.object({ count: z.number() }),
  commands: { add: { output: z.number() } },
  queries: { current: { output: z.number() } },
});
export default app("counters", { entities: [Counter.implement({
  initial: () => ({ count: 0 }),
  add: ({ state }) => (state.count += step),
  current: ({ state }) => ${answer},
})], queues: [queue("sums", { input: z.number() })] });
`;

/** Lines of stderr, awaited one condition at a time. */
function listener(stream: NodeJS.ReadableStream): (says: RegExp) => Promise<string> {
  const lines: string[] = [];
  const waiting: { says: RegExp; resolve: (line: string) => void }[] = [];
  createInterface({ input: stream }).on("line", (line) => {
    const at = waiting.findIndex(({ says }) => says.test(line));
    if (at >= 0) waiting.splice(at, 1)[0]!.resolve(line);
    else lines.push(line);
  });
  return (says) => {
    const at = lines.findIndex((line) => says.test(line));
    if (at >= 0) return Promise.resolve(lines.splice(at, 1)[0]!);
    return new Promise((resolve) => void waiting.push({ says, resolve }));
  };
}

/** A folder with an app in it that finds this package and zod. */
function appFolder(t: TestContext): string {
  const dir = folder(t);
  mkdirSync(join(dir, "node_modules"));
  symlinkSync(packageFolder, join(dir, "node_modules/sheaf"));
  symlinkSync(join(packageFolder, "node_modules/zod"), join(dir, "node_modules/zod"));
  writeFileSync(join(dir, "package.json"), '{"type":"module"}');
  writeFileSync(join(dir, "step.ts"), "export const step: number = 1;");
  writeFileSync(join(dir, "app.ts"), counter("state.count"));
  return dir;
}

type Dev = {
  readonly dir: string;
  readonly heard: (says: RegExp) => Promise<string>;
  readonly pid: () => number;
  readonly stop: () => Promise<unknown>;
};

async function startDev(t: TestContext): Promise<Dev> {
  const dir = appFolder(t);
  const args = [commandFile, "dev", "--port", "0", "--admin-port", "0", "--shards", "2"];
  const child = spawn(process.execPath, args, { cwd: dir, stdio: ["ignore", "ignore", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  const heard = listener(child.stderr);
  await heard(/^starting a node with .*app\.ts$/);
  await heard(/shards {3}Entities {2}counter {3}Queues {2}sums$/);
  await heard(/ready in/);
  const stop = async (): Promise<unknown> => {
    const exit = once(child, "exit");
    child.kill("SIGTERM");
    return (await exit)[0];
  };
  return { dir, heard, pid: () => readNodeFile(join(dir, ".sheaf"))!.pid, stop };
}

test(
  "dev: saves reload the app and all it imports, state kept; broken code leaves the old running",
  { timeout: 120_000 },
  async (t) => {
    const { dir, heard, stop } = await startDev(t);
    const call = async (name: string): Promise<string> =>
      (await sheaf(["call", `counter/c/${name}`], { cwd: dir })).out.trim();
    assert.equal(await call("add"), "1");

    writeFileSync(join(dir, "step.ts"), "export const step: number = 10;");
    await heard(/reloaded in/);
    assert.equal(await call("add"), "11");

    writeFileSync(join(dir, "app.ts"), counter("= broken"));
    assert.match(await heard(/✗/), /app\.ts:\d+/);
    await heard(/not reloaded/);
    assert.equal(await call("current"), "11");

    writeFileSync(join(dir, "app.ts"), counter("-state.count"));
    await heard(/reloaded in/);
    assert.equal(await call("current"), "-11");
    assert.equal(await stop(), 0);
  },
);

test(
  "dev: a killed server process is started again with the same addresses and state; a second dev is told who runs",
  { timeout: 120_000 },
  async (t) => {
    const { dir, heard, pid, stop } = await startDev(t);
    const call = async (name: string): Promise<string> =>
      (await sheaf(["call", `counter/c/${name}`], { cwd: dir })).out.trim();
    assert.equal(await call("add"), "1");
    const first = readNodeFile(join(dir, ".sheaf"))!;
    process.kill(pid(), "SIGKILL");
    await heard(/ended with SIGKILL/);
    await heard(/serves again/);
    assert.equal(await call("add"), "2");
    const second = readNodeFile(join(dir, ".sheaf"))!;
    assert.notEqual(second.pid, first.pid);
    assert.deepEqual([second.gateway, second.admin, second.stop], [first.gateway, first.admin, first.stop]);

    const refused = await sheaf(["dev", "--port", "0", "--admin-port", "0"], { cwd: dir });
    assert.equal(refused.code, 5);
    assert.match(refused.err, new RegExp(`IN_USE .*process ${second.stop}, gateway ${second.gateway}`));
    assert.equal(await stop(), 0);
  },
);

test(
  "dev: load and checker run beside the app, and a checker that found something makes the exit code 6",
  { timeout: 120_000 },
  async (t) => {
    const dir = appFolder(t);
    const says = (line: string, ok: boolean): string =>
      `setInterval(() => console.log(JSON.stringify({ line: ${line}, ok: ${ok} })), 50); process.on("SIGTERM", () => process.exit(0));`;
    writeFileSync(join(dir, "load.ts"), says("`load at ${process.env.SHEAF_URL}`", true));
    writeFileSync(join(dir, "checker.ts"), says('"one is missing"', false));
    const child = spawn(
      process.execPath,
      [commandFile, "dev", "--port", "0", "--admin-port", "0", "--shards", "2", "--json"],
      { cwd: dir, stdio: ["ignore", "pipe", "ignore"] },
    );
    t.after(() => child.kill("SIGKILL"));
    const heard = listener(child.stdout);
    const { gateway } = (JSON.parse(await heard(/"event":"ready"/)) as { data: { gateway: string } }).data;
    assert.match(await heard(/"event":"load"/), new RegExp(`load at ${gateway}`));
    assert.match(await heard(/"event":"checker"/), /one is missing/);
    const exit = once(child, "exit");
    child.kill("SIGTERM");
    assert.equal((await exit)[0], 6);
  },
);

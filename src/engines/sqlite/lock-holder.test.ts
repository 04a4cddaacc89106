// Real processes that hold the write lock and stand still, or do not.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import type { Append, Cluster, Engine } from "../../journal/index.ts";
import { embeddedEngine } from "./engine.ts";
import { watchLock } from "./lock-holder.ts";

const child = fileURLToPath(new URL("lock-holder-child.fixture.ts", import.meta.url));
const cluster: Cluster = { id: "c".repeat(32), name: "c", shards: 4, createdAt: 1 };
const first: Append = { shard: 0, generation: 1, epoch: 1, expected: 0, record: new Uint8Array([1]) };
const skip = process.platform !== "linux" && "who holds a lock is known on Linux only";

type Held = { readonly engine: Engine; readonly holder: ChildProcess; readonly said: string[]; readonly dir: string };

/** An engine, and a process that has taken the write lock from it. */
async function held(t: TestContext, as: "node" | "stranger", patienceMs: number): Promise<Held> {
  const dir = mkdtempSync(join(tmpdir(), "sheaf-lock-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const said: string[] = [];
  const engine = await embeddedEngine({ dir, patienceMs, warn: (says) => void said.push(says) });
  t.after(() => engine.close());
  await engine.create(cluster);
  const holder = spawn(process.execPath, [child, dir, as], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => holder.kill("SIGKILL"));
  await once(holder.stdout, "data");
  return { engine, holder, said, dir };
}

/** Resolves once the kernel has stopped it. */
async function stop(holder: ChildProcess): Promise<void> {
  holder.kill("SIGSTOP");
  while (!/\) T /.test(readFileSync(`/proc/${holder.pid}/stat`, "latin1")))
    await new Promise((resolve) => setImmediate(resolve));
}

const isThere = (holder: ChildProcess): boolean => holder.exitCode === null && holder.signalCode === null;

test(
  "lock holder: H1 a node that stands still with the write lock is killed, told of, and appends go on",
  { skip },
  async (t) => {
    const { engine, holder, said, dir } = await held(t, "node", 60_000);
    const exit = once(holder, "exit");
    await stop(holder);
    assert.deepEqual(await engine.append([first]), [{ kind: "durable" }]);
    assert.deepEqual(await exit, [null, "SIGKILL"]);
    assert.equal(said.length, 1);
    assert.match(said[0]!, new RegExp(`^process ${holder.pid} stood still with the write lock of .*journal\\.db`));
    assert.equal((await engine.barrier([0]))[0]?.seq, 1, dir);
  },
);

test(
  "lock holder: H1 nobody need append: the registry's changes alone end a node that stands still",
  { skip },
  async (t) => {
    const { engine, holder } = await held(t, "node", 60_000);
    const exit = once(holder, "exit");
    await stop(holder);
    await engine.registry.put("a", new Uint8Array([1]));
    assert.deepEqual(await exit, [null, "SIGKILL"]);
  },
);

test(
  "lock holder: H1 what was not looked at is no standing still: looks far apart, as of one who was stopped too, kill nobody",
  { skip },
  async (t) => {
    const { holder, dir } = await held(t, "node", 60_000);
    const exit = once(holder, "exit");
    const watch = watchLock(dir);
    await stop(holder);
    let now = performance.now();
    t.mock.method(performance, "now", () => now);
    watch.refused();
    for (let looks = 0; looks < 10; looks++) {
      now += 10_000;
      assert.equal(watch.refused(), undefined);
    }
    let says: string | undefined;
    for (let looks = 0; looks < 6; looks++) {
      now += 120;
      says ??= watch.refused();
    }
    assert.match(says ?? "", /stood still/);
    assert.deepEqual(await exit, [null, "SIGKILL"]);
  },
);

test(
  "lock holder: H2 a node that holds the lock for long and does not stand still is never killed",
  { skip },
  async (t) => {
    const { engine, holder, said } = await held(t, "node", 1_500);
    assert.equal((await engine.append([first]))[0]?.kind, "refused");
    assert.deepEqual([isThere(holder), said], [true, []]);
  },
);

test(
  "lock holder: H1 a process that is none of the cluster's is never killed, though it stands still",
  { skip },
  async (t) => {
    const { engine, holder, said } = await held(t, "stranger", 1_500);
    await stop(holder);
    assert.equal((await engine.append([first]))[0]?.kind, "refused");
    assert.deepEqual([isThere(holder), said], [true, []]);
  },
);

test("lock holder: H1 a process with the number of one that was a writer once is never killed", { skip }, async (t) => {
  const { engine, holder, dir } = await held(t, "stranger", 1_500);
  mkdirSync(join(dir, "writers"), { recursive: true });
  writeFileSync(join(dir, "writers", String(holder.pid)), "4711");
  await stop(holder);
  assert.equal((await engine.append([first]))[0]?.kind, "refused");
  assert.ok(isThere(holder));
});

test(
  "lock holder: writers put themselves down while they are open, and strike out those that are gone",
  { skip },
  async (t) => {
    const { engine, holder, dir } = await held(t, "node", 1_500);
    const down = (): string[] => readdirSync(join(dir, "writers")).toSorted();
    assert.deepEqual(down(), [String(process.pid), String(holder.pid)].toSorted());
    holder.kill("SIGKILL");
    await once(holder, "exit");
    const another = await embeddedEngine({ dir });
    assert.deepEqual(down(), [String(process.pid)]);
    await another.close();
    await engine.close();
    assert.deepEqual(down(), []);
  },
);

// How long a node with many entities takes to serve again, as a user meets it: the server process of `sheaf dev`, its data folder
// with the local store, entities of 200 bytes. Measured from starting the process to `/readyz` saying so,
// and to the first durable command answered; after a clean stop and after kill -9, and the memory that it then holds.
// Prints one line of JSON per start: { name, entities, after, readyMs, firstWriteMs, cpuMs, rssMb, node }.
// Run: node src/node/restart.bench.ts [entities] [runs]

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { shardOf } from "../base/index.ts";
import app, { Counter } from "../cli/bench-app.ts";
import type { FromServer } from "../cli/supervisor.ts";
import { connect } from "../client/index.ts";
import { embeddedEngine } from "../engines/index.ts";
import { type Commit, type Hash, type Header, recordCodec } from "../journal/index.ts";
import { realHost } from "../platform/index.ts";
import { pack } from "../wire/index.ts";

const [entities = 1_000_000, runs = 3] = process.argv.slice(2).map(Number);
const command = fileURLToPath(new URL("../../bin/sheaf.mjs", import.meta.url));
const appFile = fileURLToPath(new URL("../cli/bench-app.ts", import.meta.url));
const memo = "x".repeat(175);
const commitsPerRecord = 500;
const same = { type: "counter", version: 1, schema: 1, command: "add", principal: "dev", events: [], op: undefined };
const commitOf = (key: string, state: Uint8Array): Commit => ({ ...same, key, state });

const following = (header: Header, prev: Hash): Header => ({ ...header, seq: header.seq + 1, prev });

/** None may be left behind by a run that fails. */
const children = new Set<ChildProcess>();
process.on("exit", () => children.forEach((child) => child.kill("SIGKILL")));

type Started = { readonly child: ChildProcess; readonly url: string };

async function start(folder: string): Promise<Started> {
  const ports = { host: "127.0.0.1", port: 0, adminPort: 0, tries: 0 };
  const asked = { mode: "dev", app: appFile, data: folder, shards: 64, create: true, insecure: true, ...ports };
  const child = spawn(process.execPath, [command, "__serve", JSON.stringify(asked)], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  children.add(child);
  const [said] = (await once(child, "message")) as [FromServer];
  if (said.kind === "ready") return { child, url: said.ready.gateway };
  throw new Error("message" in said ? said.message : said.kind);
}

async function stop({ child }: Started, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
  const ended = once(child, "exit");
  child.kill(signal);
  await ended;
  children.delete(child);
}

/** Appends what commands would have, behind the claims of a node that has run here before. */
async function fill(folder: string): Promise<void> {
  const engine = await embeddedEngine({ dir: folder });
  const cluster = await engine.identify();
  assert.ok(cluster, "the first start made the cluster");
  const host = realHost({ dir: join(folder, "node"), log: { level: "warn" } });
  const codec = recordCodec({ ...host, cluster: cluster.id });
  const state = pack({ total: 1, memo });
  const keys: string[][] = Array.from({ length: cluster.shards }, () => []);
  for (let n = 0; n < entities; n++) keys[shardOf("counter", `key-${n}`, cluster.shards)]?.push(`key-${n}`);
  for (const [shard, mine] of keys.entries()) {
    const { entries } = await engine.read(shard, 1, 512);
    const last = entries.at(-1);
    assert.ok(last, "every shard was claimed");
    let { header, hash } = codec.decode(last.record, { shard, seq: last.seq });
    for (let from = 0; from < mine.length; from += commitsPerRecord) {
      header = following(header, hash);
      const commits = mine.slice(from, from + commitsPerRecord).map((key) => commitOf(key, state));
      const sealed = codec.encode({ header, payload: { kind: "batch", commits } });
      const { generation, epoch, seq } = header;
      const append = { shard, generation, epoch, expected: seq - 1, record: sealed.bytes };
      assert.deepEqual(await engine.append([append]), [{ kind: "durable" }]);
      hash = sealed.hash;
    }
  }
  host.close();
  await engine.close();
}

async function ready(url: string): Promise<void> {
  for (;;) {
    const answer = await fetch(`${url}/readyz`);
    if (answer.ok) return;
    await new Promise<void>((resolve) => void setTimeout(resolve, 5));
  }
}

async function measure(folder: string, after: "stop" | "kill"): Promise<void> {
  const began = performance.now();
  const started = await start(folder);
  await ready(started.url);
  const readyMs = performance.now() - began;
  const client = connect(app.contract, { url: started.url });
  await client.entity(Counter, `key-${entities >> 1}`).add({ by: 1, memo });
  const firstWriteMs = performance.now() - began;
  client.close();
  const status = readFileSync(`/proc/${started.child.pid}/status`, "utf8");
  const cpuMs = readdirSync(`/proc/${started.child.pid}/task`)
    .map((task) => readFileSync(`/proc/${started.child.pid}/task/${task}/schedstat`, "utf8"))
    .reduce((sum, text) => sum + Number(text.split(" ")[0]) / 1e6, 0);
  const rssMb = Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024);
  const measured = {
    readyMs: Math.round(readyMs),
    firstWriteMs: Math.round(firstWriteMs),
    cpuMs: Math.round(cpuMs),
    rssMb,
  };
  console.log(JSON.stringify({ name: "restart", entities, after, ...measured, node: process.version }));
  await stop(started, after === "stop" ? "SIGTERM" : "SIGKILL");
}

const folder = mkdtempSync(join(tmpdir(), "sheaf-restart-"));
try {
  await stop(await start(folder), "SIGTERM");
  await fill(folder);
  // This start replays them all; the store has them from then on.
  await stop(await start(folder), "SIGTERM");
  // What a run is called after is how the one before it ended: the last of the clean ones kills.
  for (let run = 0; run < runs; run++) await measure(folder, "stop");
  await stop(await start(folder), "SIGKILL");
  for (let run = 0; run < runs; run++) await measure(folder, "kill");
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
}

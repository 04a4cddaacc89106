// What every command promises: with --json one document of a stated shape on stdout, and for a mistake exit code 2 with one
// document on stderr and nothing on stdout. The table below has a row for every command of the tree, or the test is red.
// Long because: one table, with a row for every command.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { after, before, describe, test, type TestContext } from "node:test";
import type { Command } from "commander";
import { folder, type Ran, sheaf, startServer, type TestServer } from "./cli.fixture.ts";
import { readAdminToken } from "./node-file.ts";
import { ensureCa } from "../platform/index.ts";
import { main } from "./main.ts";
import { createOutput } from "./output.ts";
import { buildProgram } from "./program.ts";
import { commandFile } from "./release.ts";
import type { Sink } from "./terminal.ts";

const app = new URL("./crashing-app.fixture.ts", import.meta.url).pathname;
const cleanups: (() => void)[] = [];
const home = folder({ after: (fn) => void cleanups.push(fn) });
const store = join(home, ".sheaf");
let server: TestServer;
/** A cluster of two, in which a third was killed. */
const several = join(home, "several");
let members: readonly TestServer[] = [];
/** Of the command that crashed the process. */
let parkedId = "";
/** Of two dead letters, and of a timer. */
let deadIds: readonly string[] = [];
let timerId = "";

/** A command line in this process, as if nothing were a terminal. */
async function run(args: readonly string[]): Promise<Ran> {
  const said = { out: "", err: "" };
  const sink = (to: "out" | "err"): Sink => ({
    write: (text) => void (said[to] += text),
    tty: false,
    paint: (_, text) => text,
  });
  const terminal = { out: sink("out"), err: sink("err"), interactive: false };
  const code = await main(args, { terminal, env: {}, cwd: home });
  return { code, ...said };
}

type Row = {
  /** One that works, without --json. */
  readonly good: () => readonly string[];
  readonly schema: string;
  /** Fields of the data, or of each item of a list. */
  readonly fields: readonly string[];
  readonly list?: true;
  /** Exit code of the good one, when it is not 0. */
  readonly code?: number;
  readonly mistake: readonly string[];
  /** Runs until it is stopped: the first line of its stream is looked at. */
  readonly stream?: true;
};

const at = (args: readonly string[]) => (): readonly string[] => [...args, "--data", store];
const ready = ["event", "app", "gateway", "admin", "pid", "cluster"];
const taskFields = ["id", "shard", "kind", "entity", "key", "command", "due", "at", "attempts", "cause"];
const whenFields = ["name", "cron", "zone", "everyMs", "missed"];
const scheduleFields = [...whenFields, "state", "next", "last", "runs", "passedOver", "changedBy"];
const entityFields = ["type", "key", "version", "state", "schema", "shard", "bytes"];
const anyPorts = ["--port", "0", "--admin-port", "0", "--shards", "1"];

const short = ["--seconds", "1", "--runs", "1", "--work", "call", "--concurrency", "1"];

const rows: Readonly<Record<string, Row>> = {
  "create DIR": {
    good: () => ["create", "made", "--yes", "--no-install", "--template", "blank"],
    schema: "sheaf.create/v1",
    fields: ["dir", "name", "template", "files", "installed"],
    mistake: ["create", "made", "--yes", "--template", "nope"],
  },
  "dev APP": {
    good: () => ["dev", app, "--data", join(home, "dev"), ...anyPorts],
    stream: true,
    schema: "sheaf.dev/v1",
    fields: [...ready, "shards", "data", "dataFolder", "notes", "folders"],
    mistake: ["dev", app, "--limit", "maxInflight=5"],
  },
  "start APP": {
    good: () => ["start", app, "--create", "--insecure", "--data", join(home, "start"), ...anyPorts],
    stream: true,
    schema: "sheaf.start/v1",
    fields: ready,
    mistake: ["start", app, "--port", "x"],
  },
  status: {
    good: at(["status", "--shards"]),
    schema: "sheaf.status/v1",
    fields: ["cluster", "app", "engine", "nodes", "shards"],
    mistake: ["status", "--nonsense"],
  },
  "call TARGET INPUT": {
    good: at(["call", "thing/a/add"]),
    schema: "sheaf.call/v1",
    fields: [],
    mistake: ["call", "thing"],
  },
  doctor: {
    good: at(["doctor"]),
    list: true,
    schema: "sheaf.doctor/v1",
    fields: ["check", "state", "found", "why", "fix"],
    code: 6,
    mistake: ["doctor", "--url", "nonsense", "--frobnicate"],
  },
  bench: {
    good: () => ["bench", "--url", server.gateway, ...short],
    list: true,
    schema: "sheaf.bench/v1",
    fields: ["name", "concurrency", "opsPerSec", "p50Ms", "p99Ms", "limit", "limitOpsPerSec", "ratioToLimit"],
    mistake: ["bench", "--work", "nothing"],
  },
  "entity ls TYPE": {
    good: at(["entity", "ls", "thing"]),
    list: true,
    schema: "sheaf.entity.list/v1",
    fields: entityFields,
    mistake: ["entity", "ls", "thing", "--limit", "0"],
  },
  "entity get TYPE KEY": {
    good: at(["entity", "get", "thing", "a"]),
    schema: "sheaf.entity/v1",
    fields: [...entityFields, "timers"],
    mistake: ["entity", "get", "thing"],
  },
  "entity history TYPE KEY": {
    good: at(["entity", "history", "thing", "a"]),
    list: true,
    schema: "sheaf.entity.history/v1",
    fields: ["version", "at", "command", "principal", "op", "state", "events", "seq", "epoch"],
    mistake: ["entity", "history", "thing", "a", "--limit", "many"],
  },
  "entity call TYPE KEY NAME INPUT": {
    good: at(["entity", "call", "thing", "a", "count"]),
    schema: "sheaf.call/v1",
    fields: [],
    mistake: ["entity", "call", "thing", "a", "add", "{"],
  },
  "node ls": {
    good: () => ["node", "ls", "--data", several],
    list: true,
    schema: "sheaf.node.list/v1",
    fields: [
      "id",
      "name",
      "pid",
      "addresses",
      "state",
      "zone",
      "weight",
      "entities",
      "hosts",
      "services",
      "cordoned",
      "peer",
      "owns",
      "startedAt",
    ],
    mistake: ["node", "ls", "--nonsense"],
  },
  ...Object.fromEntries(
    ["drain", "undrain", "cordon", "uncordon", "remove"].map((action): [string, Row] => [
      `node ${action} NODE`,
      {
        good: () => ["node", action, action === "remove" ? "c" : "b", "--data", several],
        schema: `sheaf.node.${action}/v1`,
        fields: ["id", "name"],
        mistake: ["node", action],
      },
    ]),
  ),
  "backup DIR": {
    good: () => ["backup", join(home, "kept"), "--data", several],
    schema: "sheaf.backup/v1",
    fields: ["path", "cluster", "clusterId", "engine", "cutFrom", "cutTo", "shards", "records", "snapshots", "bytes"],
    mistake: ["backup"],
  },
  "backup verify DIR": {
    good: () => ["backup", "verify", join(home, "kept")],
    schema: "sheaf.backup.verify/v1",
    fields: ["path", "cluster", "opened", "findings", "shards"],
    mistake: ["backup", "verify", "--nonsense"],
  },
  "restore DIR": {
    good: () => ["restore", join(home, "kept"), "--data", join(home, "restored")],
    schema: "sheaf.restore/v1",
    fields: ["cluster", "engine", "shards", "records"],
    mistake: ["restore", join(home, "kept"), "--again=no"],
  },
  "engine verify": {
    good: () => ["engine", "verify", "--data", several],
    schema: "sheaf.engine.verify/v1",
    fields: ["engine", "opened", "findings", "shards"],
    mistake: ["engine", "verify", "--shard", "x"],
  },
  "shard ls": {
    good: () => ["shard", "ls", "--data", several],
    list: true,
    schema: "sheaf.shard.list/v1",
    fields: ["shard", "state", "owner", "followers", "epoch", "head", "applied", "hot", "reason", "pinned", "movingTo"],
    mistake: ["shard", "ls", "--nonsense"],
  },
  "shard move SHARD": {
    good: () => ["shard", "move", "3", "--to", "a", "--data", several],
    schema: "sheaf.shard.move/v1",
    fields: ["shard", "from", "to", "pinned", "dryRun"],
    mistake: ["shard", "move", "3"],
  },
  "shard rebalance": {
    good: () => ["shard", "rebalance", "--dry-run", "--data", several],
    list: true,
    schema: "sheaf.shard.rebalance/v1",
    fields: ["shard", "from", "to", "state", "why", "fromName", "toName"],
    mistake: ["shard", "rebalance", "--deadline", "soon"],
  },
  "shard unpin SHARD": {
    good: () => ["shard", "unpin", "3", "--data", several],
    schema: "sheaf.shard.unpin/v1",
    fields: ["shard", "pinned"],
    mistake: ["shard", "unpin"],
  },
  "node token": {
    good: () => ["node", "token", "--data", join(home, "issuer")],
    schema: "sheaf.node.token/v1",
    fields: ["token", "cluster", "name", "expiresAt"],
    mistake: ["node", "token", "--ttl", "8d"],
  },
  "parked ls": {
    good: at(["parked", "ls"]),
    list: true,
    schema: "sheaf.parked.list/v1",
    fields: ["id", "shard", "at", "reason"],
    mistake: ["parked", "ls", "--nonsense"],
  },
  "parked show ID": {
    good: () => ["parked", "show", parkedId, "--data", store],
    schema: "sheaf.parked/v1",
    fields: ["id", "shard", "at", "reason"],
    mistake: ["parked", "show"],
  },
  "parked release ID": {
    good: () => ["parked", "release", parkedId, "--data", store],
    schema: "sheaf.parked.release/v1",
    fields: ["id"],
    mistake: ["parked", "release"],
  },
  "dlq ls": {
    good: at(["dlq", "ls", "--entity", "thing"]),
    list: true,
    schema: "sheaf.dlq.list/v1",
    fields: taskFields,
    mistake: ["dlq", "ls", "--limit", "0"],
  },
  "dlq show ID": {
    good: () => ["dlq", "show", deadIds[0]!, "--data", store],
    schema: "sheaf.dlq/v1",
    fields: [...taskFields, "input", "principal", "roles", "from"],
    mistake: ["dlq", "show"],
  },
  "dlq status": {
    good: at(["dlq", "status"]),
    list: true,
    schema: "sheaf.dlq.status/v1",
    fields: ["entity", "cause", "count", "first", "last"],
    mistake: ["dlq", "status", "--nonsense"],
  },
  "dlq cancel": {
    good: at(["dlq", "cancel"]),
    list: true,
    schema: "sheaf.dlq.cancel/v1",
    fields: ["entity", "cause", "count", "first", "last"],
    mistake: ["dlq", "cancel", "--nonsense"],
  },
  "dlq drop ID": {
    good: () => ["dlq", "drop", deadIds[0]!, "--data", store],
    schema: "sheaf.dlq.drop/v1",
    fields: [...taskFields, "input", "principal", "roles", "from"],
    mistake: ["dlq", "drop"],
  },
  "dlq redrive ID": {
    good: () => ["dlq", "redrive", deadIds[1]!, "--data", store],
    list: true,
    schema: "sheaf.dlq.redrive/v1",
    fields: ["id", "entity", "key", "command", "dryRun"],
    mistake: ["dlq", "redrive"],
  },
  "task ls": {
    good: at(["task", "ls"]),
    list: true,
    schema: "sheaf.task.list/v1",
    fields: taskFields,
    mistake: ["task", "ls", "--limit", "many"],
  },
  "task shards": {
    good: at(["task", "shards"]),
    list: true,
    schema: "sheaf.task.shards/v1",
    fields: ["shard", "tasks", "deadLetters", "outgoing", "outgoingMs", "lateMs"],
    mistake: ["task", "shards", "--nonsense"],
  },
  "queue ls": {
    good: at(["queue", "ls"]),
    list: true,
    schema: "sheaf.queue.list/v1",
    fields: ["queue", "state", "ready", "leased", "delayed", "dead", "waitMs", "workers"],
    mistake: ["queue", "ls", "--nonsense"],
  },
  "queue peek QUEUE": {
    good: at(["queue", "peek", "labels"]),
    list: true,
    schema: "sheaf.queue.peek/v1",
    fields: ["id", "shard", "key", "state", "priority", "due", "at", "attempts", "cause", "input"],
    mistake: ["queue", "peek", "labels", "--limit", "0"],
  },
  "queue add QUEUE JSON": {
    good: at(["queue", "add", "labels", '{"order":9}', "--id", "label-9"]),
    schema: "sheaf.queue.add/v1",
    fields: ["id", "replayed"],
    mistake: ["queue", "add", "labels", '{"order":9}', "--priority", "many"],
  },
  "queue show QUEUE JOB": {
    good: at(["queue", "show", "labels", "label-9"]),
    schema: "sheaf.queue.show/v1",
    fields: ["id", "state", "attempts", "due", "cause"],
    mistake: ["queue", "show", "labels", "label-9", "--wait", "long"],
  },
  ...Object.fromEntries(
    ["pause", "resume"].map((action) => [
      `queue ${action} QUEUE`,
      {
        good: at(["queue", action, "labels"]),
        schema: `sheaf.queue.${action}/v1`,
        fields: ["queue"],
        mistake: ["queue", action],
      },
    ]),
  ),
  "queue purge QUEUE": {
    good: at(["queue", "purge", "labels"]),
    schema: "sheaf.queue.purge/v1",
    fields: ["queue", "jobs", "done"],
    mistake: ["queue", "purge"],
  },
  "topic ls": {
    good: at(["topic", "ls"]),
    list: true,
    schema: "sheaf.topic.list/v1",
    fields: ["topic", "events", "atLeast", "bytes", "oldest", "newest"],
    mistake: ["topic", "ls", "--nonsense"],
  },
  "topic publish TOPIC JSON": {
    good: at(["topic", "publish", "orders", '{"id":"pass"}']),
    schema: "sheaf.topic.publish/v1",
    fields: ["topic", "events"],
    mistake: ["topic", "publish", "orders", "{"],
  },
  "topic tail TOPIC": {
    good: at(["topic", "tail", "orders", "--from", "beginning"]),
    stream: true,
    schema: "sheaf.topic.tail/v1",
    fields: ["id", "topic", "key", "at", "value", "place"],
    mistake: ["topic", "tail", "orders", "--from", "yesterday"],
  },
  "group ls": {
    good: at(["group", "ls"]),
    list: true,
    schema: "sheaf.group.list/v1",
    fields: [
      "group",
      "topic",
      "kind",
      "lag",
      "atLeast",
      "lagMs",
      "batch",
      "concurrency",
      "consumers",
      "state",
      "stuck",
    ],
    mistake: ["group", "ls", "--nonsense"],
  },
  ...Object.fromEntries(
    ["pause", "resume"].map((action): [string, Row] => [
      `group ${action} GROUP`,
      {
        good: at(["group", action, "count-orders"]),
        schema: `sheaf.group.${action}/v1`,
        fields: ["group", "topic"],
        mistake: ["group", action],
      },
    ]),
  ),
  "group seek GROUP": {
    good: at(["group", "seek", "count-orders", "--to", "beginning"]),
    schema: "sheaf.group.seek/v1",
    fields: ["group", "topic", "to", "again", "over", "atLeast", "done"],
    mistake: ["group", "seek", "count-orders", "--to", "elsewhere"],
  },
  "group rm GROUP": {
    good: at(["group", "rm", "mailer"]),
    schema: "sheaf.group.rm/v1",
    fields: ["group", "topic", "lag", "atLeast", "done"],
    mistake: ["group", "rm"],
  },
  "schedule ls": {
    good: at(["schedule", "ls"]),
    list: true,
    schema: "sheaf.schedule.list/v1",
    fields: scheduleFields,
    mistake: ["schedule", "ls", "--nonsense"],
  },
  "schedule show SCHEDULE": {
    good: at(["schedule", "show", "yearly"]),
    schema: "sheaf.schedule/v1",
    fields: scheduleFields,
    mistake: ["schedule", "show"],
  },
  "schedule run SCHEDULE": {
    good: at(["schedule", "run", "yearly"]),
    schema: "sheaf.schedule.run/v1",
    fields: ["name", "at", "number", "asked"],
    mistake: ["schedule", "run"],
  },
  "schedule pause SCHEDULE": {
    good: at(["schedule", "pause", "yearly"]),
    schema: "sheaf.schedule.pause/v1",
    fields: scheduleFields,
    mistake: ["schedule", "pause"],
  },
  "schedule resume SCHEDULE": {
    good: at(["schedule", "resume", "yearly"]),
    schema: "sheaf.schedule.resume/v1",
    fields: scheduleFields,
    mistake: ["schedule", "resume", "yearly", "now"],
  },
  "task cancel ID": {
    good: () => ["task", "cancel", timerId, "--data", store],
    schema: "sheaf.task.cancel/v1",
    fields: [...taskFields, "input", "principal", "roles", "from"],
    mistake: ["task", "cancel"],
  },
  "key create NAME": {
    good: at(["key", "create", "tester"]),
    schema: "sheaf.key/v1",
    fields: ["id", "key", "name", "roles", "expiresAt"],
    mistake: ["key", "create", "tester", "--expires", "soon"],
  },
  "key ls": {
    good: at(["key", "ls"]),
    list: true,
    schema: "sheaf.key.list/v1",
    fields: ["id", "name", "roles", "createdAt", "expiresAt", "revokedAt", "lastUsedAt"],
    mistake: ["key", "ls", "--nonsense"],
  },
  "endpoint add NAME URL": {
    good: at(["endpoint", "add", "rates", "https://rates.example/v1/"]),
    schema: "sheaf.endpoint/v1",
    fields: ["name", "urls", "private", "changedBy"],
    mistake: ["endpoint", "add", "rates"],
  },
  "endpoint ls": {
    good: at(["endpoint", "ls"]),
    list: true,
    schema: "sheaf.endpoint.list/v1",
    fields: ["name", "urls", "private", "changedBy"],
    mistake: ["endpoint", "ls", "--nonsense"],
  },
  "endpoint remove NAME URL": {
    good: at(["endpoint", "remove", "rates", "https://rates.example/v1"]),
    schema: "sheaf.endpoint.remove/v1",
    fields: ["name", "url"],
    mistake: ["endpoint", "remove"],
  },
  "key revoke ID": {
    good: at(["key", "revoke", "@key"]),
    schema: "sheaf.key.revoke/v1",
    fields: ["id"],
    mistake: ["key", "revoke"],
  },
  version: {
    good: () => ["version"],
    schema: "sheaf.version/v1",
    fields: ["sheaf", "node", "platform"],
    mistake: ["version", "--nonsense"],
  },
  "help TOPIC": {
    good: () => ["help", "POISONED"],
    schema: "sheaf.help/v1",
    fields: ["topic", "retry", "outcome", "http", "exit", "text"],
    mistake: ["help", "--nonsense"],
  },
  "completion SHELL": {
    good: () => ["completion", "bash"],
    schema: "sheaf.completion/v1",
    fields: ["shell", "script"],
    mistake: ["completion", "tcsh"],
  },
};

/** Every command that can be run, by its words and arguments. */
function leaves(command: Command, words: readonly string[]): string[] {
  const shown = command.commands.filter((child) => !child.name().startsWith("__"));
  const itself = [...words, ...command.registeredArguments.map((argument) => argument.name())];
  const children = shown.flatMap((child) => leaves(child, [...words, child.name()]));
  return children.length === 0 || itself.length > words.length ? [itself.join(" "), ...children] : children;
}

type Document = { readonly schema: string; readonly data: unknown; readonly next: unknown; readonly warnings: unknown };

/** The first line that a command says which goes on until it is stopped. */
async function firstLine(args: readonly string[]): Promise<Document> {
  const child = spawn(process.execPath, [commandFile, ...args, "--json"], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit") as Promise<[number | null]>;
  try {
    for await (const line of createInterface({ input: child.stdout })) return JSON.parse(line) as Document;
    throw new Error(`it ended with ${(await ended)[0]} and said nothing`);
  } finally {
    child.kill("SIGTERM");
    assert.equal((await ended)[0], 0);
  }
}

function holds(fields: readonly string[], value: unknown): void {
  const found = Object.keys(value ?? {});
  assert.deepEqual(
    fields.filter((name) => !found.includes(name)),
    [],
    `fields missing among ${found.join(", ")}`,
  );
}

/** A node that has parked one command, which took the process down while it ran alone. */
async function withParked(): Promise<TestServer> {
  const insecure = ["--insecure", "--limit", "maxCrashes=1"];
  let node = await startServer(store, ["--create", ...insecure], {}, app);
  for (const key of ["a", "b"]) await sheaf(["call", `thing/${key}/add`, "--data", store]);
  for (let crash = 0; crash < 2; crash++) {
    const lost = await run(["call", "thing/a b/crash", '{"how":"hard"}', "--data", store]);
    assert.equal(lost.code, 7, lost.err);
    if (node.child.exitCode === null) await once(node.child, "exit");
    node = await startServer(store, insecure, {}, app);
  }
  return node;
}

/** Three nodes on one journal, the last of them killed. */
async function withMembers(): Promise<TestServer[]> {
  const nodes: TestServer[] = [];
  for (const name of ["a", "b", "c"]) {
    const data = name === "a" ? several : join(home, name);
    // Slow beats: the dead one is not forgotten before it is removed.
    const beats = ["--limit", "beatMs=1500"];
    const args = ["--insecure", "--name", name, "--engine", `sqlite:${several}`, ...beats];
    nodes.push(await startServer(data, name === "a" ? [...args, "--create"] : args, {}, app));
  }
  await nodes.pop()?.end("SIGKILL");
  return nodes;
}

describe("every command", () => {
  before(async () => {
    members = await withMembers();
    ensureCa(join(home, "issuer/ca"), { cluster: "0f".repeat(16), now: Date.now() });
    server = await withParked();
    parkedId = (await run(["parked", "ls", "-q", "--data", store])).out.trim();
    await sheaf(["call", "thing/c c/leave", "--data", store]);
    for (const until = Date.now() + 60_000; deadIds.length < 2 && Date.now() < until;) {
      deadIds = (await run(["dlq", "ls", "-q", "--data", store])).out.split("\n").filter(Boolean);
    }
    assert.equal(deadIds.length, 2, server.err());
    timerId = (await run(["task", "ls", "--entity", "thing", "-q", "--data", store])).out.trim();
  });
  after(async () => {
    for (const node of [server, ...members]) assert.equal(await node.end("SIGTERM"), 0, node.err());
    for (const cleanup of cleanups) cleanup();
  });

  test("is in the table, and nothing else is", () => {
    const terminal = { out: {} as Sink, err: {} as Sink, interactive: false };
    const flags = { json: false, fields: undefined, quiet: false, debug: false, color: "never" } as const;
    const context = { output: createOutput(flags, terminal), env: {}, cwd: home, tree: () => program };
    const program = buildProgram(context, () => {});
    assert.deepEqual(leaves(program, []).toSorted(), Object.keys(rows).toSorted());
  });

  test("dlq and task: what failed is explained, and dropped; a timer is shown, and taken back by its name", async () => {
    const data = ["--data", store];
    assert.match(timerId, /^\d+\/thing\/c%20c\/much%20later$/);
    const [first = "", second = ""] = deadIds;
    assert.match(first, /^\d+\/m\d+\.\d+$/);
    const shown = await run(["dlq", "show", first, ...data]);
    assert.match(shown.out, /entity +thing\/z z\ncommand +refuse\ninput +\{"n":1\}\n/);
    assert.match(shown.out, /attempts +1\ncause +DECLARED: /);
    const wrong = await run(["dlq", "drop", `${first}1`, ...data]);
    assert.equal(wrong.code, 3, wrong.err);
    assert.ok(wrong.err.includes(`Nearest: ${first}`), wrong.err);
    const dry = await run(["dlq", "redrive", "--all", "--entity", "thing", "--dry-run", ...data]);
    assert.match(dry.out, /^2\tthing\tnow\tnow\tDECLARED: .*\n$/);
    const slow = await run([
      "dlq",
      "redrive",
      "--all",
      "--entity",
      "thing",
      "--rate",
      "1",
      "--cause",
      "nothing",
      ...data,
    ]);
    assert.match(slow.err, /there are no dead letters/);
    assert.match((await run(["dlq", "status", ...data])).err, /none is to be tried again/);
    assert.match((await run(["dlq", "cancel", ...data])).err, /none is to be tried again/);
    assert.ok(second !== "");
    // So slowly that none is tried before the test ends.
    const asked = { method: "POST", body: JSON.stringify({ entity: "thing", perSecond: 0.0001 }) };
    const headers = { authorization: `Bearer ${readAdminToken(store)}`, "content-type": "application/json" };
    assert.equal((await fetch(`${server.admin}/admin/v1/redrives`, { ...asked, headers })).status, 200);
    assert.match((await run(["dlq", "status", ...data])).out, /^2\tthing\t2\d{3}-.*Z\t2\d{3}-.*Z\tDECLARED/);
    assert.equal(
      (await run(["dlq", "redrive", "--all", "--entity", "other", ...data])).err,
      "there are no dead letters\n",
    );
    assert.equal((await run(["dlq", "redrive", first, "--all", ...data])).code, 2);
    const view = await run(["entity", "get", "thing", "c c", ...data]);
    assert.match(view.out, /\ntimer +much later {2}\d{4}-.*Z {2}add\n$/);
    const missed = await run(["task", "cancel", timerId.replace("much", "mush"), ...data]);
    assert.equal(missed.code, 3);
    assert.ok(missed.err.includes(`Nearest: ${timerId}`), missed.err);
    assert.equal((await run(["task", "cancel", first, ...data])).code, 3);
  });

  test("node token: beside a node that runs it needs neither an address nor the folder of the authority", async () => {
    const ran = await run(["node", "token", "--data", join(home, "b")]);
    assert.match(ran.out, /^127\.0\.0\.1:\d+#sj_/, ran.err);
  });

  test("queue: what waits is shown with its input, in the order in which it is begun, and who would do it", async () => {
    const data = ["--data", store];
    const add = (order: number, ...options: string[]): Promise<Ran> =>
      run(["queue", "add", "labels", JSON.stringify({ order }), ...options, ...data]);
    assert.equal((await add(1, "--id", "label-1", "--priority", "-3")).out, "✓ job label-1 is added\n");
    assert.equal((await add(1, "--id", "label-1")).out, "✓ job label-1 was added before\n");
    assert.equal((await add(2, "--id", "label-2", "--delay", "1h")).code, 0);
    assert.equal((await add(3, "--id", "label-3", "--priority", "5")).code, 0);
    assert.match(
      (await run(["queue", "ls", ...data])).out,
      /^labels\topen\t\d+\t\d+\.\d\t0\t1\t0\tnone\nmails\topen\t.*\t.* \(3\)\n$/,
    );
    const peeked = (await run(["queue", "peek", "labels", ...data])).out.trim().split("\n");
    assert.match(peeked[0]!, /^label-3\tready\t.*\t5\t0\t\{"order":3\}\t$/);
    assert.match(peeked.at(-1)!, /^label-2\tdelayed\t/);
    assert.equal((await run(["queue", "peek", "labels", "-q", "--limit", "1", ...data])).out, "label-3\n");
    const refused = await add("one" as never);
    assert.match(refused.err, /order/);
    assert.notEqual(refused.code, 0);
    const missed = await run(["queue", "peek", "lables", ...data]);
    assert.equal(missed.code, 3, missed.err);
    assert.match(missed.err, /there is no queue "lables"[^]*labels/);
    const options = { cwd: home, env: { SHEAF_COMPLETION_MS: "60000" } };
    assert.equal((await sheaf(["__complete", "--", "queue", "peek", "la"], options)).out, "labels\n");
    assert.match((await run(["queue", "show", "labels", "label-3", ...data])).out, /^id +label-3\nstate +waiting\n/);
    assert.equal((await run(["queue", "show", "labels", "label-4", ...data])).code, 3);
    assert.match((await run(["queue", "pause", "labels", ...data])).out, /^✓ labels is paused/);
    assert.match((await run(["queue", "ls", ...data])).out, /^labels\tpaused\t/);
    assert.equal((await run(["queue", "resume", "labels", ...data])).out, "✓ labels goes on\n");
    const preview = await run(["queue", "purge", "labels", ...data]);
    assert.match(preview.out, /^(\d+) jobs wait in labels\n$/);
    assert.match(preview.err, /--yes/);
    const dropped = await run(["queue", "purge", "labels", "--yes", ...data]);
    assert.equal(dropped.out, `✓ ${Number.parseInt(preview.out, 10)} jobs of labels dropped, and never begun\n`);
    assert.equal((await run(["queue", "peek", "labels", "-q", ...data])).out, "");
    assert.equal((await add(5)).code, 0);
    const gone = await run(["queue", "show", "labels", "label-3", ...data]);
    assert.match(gone.err, /PURGED/);
    assert.equal(gone.code, 5);
    assert.equal((await run(["queue", "pause", "lables", ...data])).code, 3);
  });

  test("topic and group: events are published and shown, and a subscription is paused, moved and told of", async () => {
    const data = ["--data", store];
    const ids = ["pass", "pass", "pass"].map((id) => ({ id }));
    const published = await run(["topic", "publish", "orders", JSON.stringify(ids), ...data]);
    assert.equal(published.out, "✓ 3 events are published\n", published.err);
    assert.match((await run(["topic", "ls", ...data])).out, /^orders\t3\t\d+\t\d+\t\d+\n$/);
    const tailed = await run(["topic", "tail", "orders", "--from", "beginning", "--limit", "3", "--json", ...data]);
    const events = tailed.out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).data);
    assert.deepEqual(
      events.map(({ value }) => value),
      ids,
    );
    const done = { method: "POST", body: JSON.stringify({ id: events[1].place }) };
    const headers = { "content-type": "application/json" };
    const moved = await fetch(`${server.gateway}/topics/orders/groups/mailer`, { ...done, headers });
    assert.equal(moved.status, 204);
    const state = async (): Promise<string[]> =>
      (await run(["group", "ls", ...data])).out
        .trim()
        .split("\n")
        .map((line) => line.split("\t").slice(0, 5).join(" "));
    for (const until = Date.now() + 60_000; !(await state())[0]?.endsWith(" 0") && Date.now() < until;);
    assert.deepEqual(await state(), ["count-orders orders subscription open 0", "mailer orders reader open 1"]);
    assert.match((await run(["group", "pause", "count-orders", ...data])).out, /^✓ count-orders is paused/);
    const preview = await run(["group", "seek", "count-orders", "--to", "beginning", ...data]);
    assert.equal(preview.out, "count-orders: 3 to be met again, 0 passed over\n");
    assert.match(preview.err, /nothing is changed yet/);
    assert.match((await state())[0]!, /paused 0$/);
    const sought = await run(["group", "seek", "count-orders", "--to", "beginning", "--yes", ...data]);
    assert.match(sought.out, /^✓ count-orders goes on at beginning: 3 to be met again/);
    assert.match((await state())[0]!, /paused 3$/);
    assert.equal((await run(["group", "resume", "count-orders", ...data])).out, "✓ count-orders goes on\n");
    assert.equal((await run(["group", "pause", "mailer", ...data])).code, 2);
    const kept = await run(["group", "rm", "count-orders", "--yes", ...data]);
    assert.match(kept.err, /is a subscription of the app/);
    const missed = await run(["group", "rm", "mailr", ...data]);
    assert.equal(missed.code, 3);
    assert.match(missed.err, /Nearest: mailer/);
    const options = { cwd: home, env: { SHEAF_COMPLETION_MS: "60000" } };
    assert.equal((await sheaf(["__complete", "--", "group", "rm", "m"], options)).out, "mailer\n");
    assert.equal((await sheaf(["__complete", "--", "topic", "tail", "o"], options)).out, "orders\n");
  });

  test("schedule: what is scheduled is shown, paused and resumed by whoever asks, and run at once when that is asked for", async () => {
    const data = ["--data", store];
    const listed = await run(["schedule", "ls", ...data]);
    assert.match(listed.out, /^yearly\t0 0 1 1 \* Europe\/Vienna\ton\t\d{4}-12-31T23:00:00.000Z\t/);
    assert.match((await run(["schedule", "pause", "yearly", ...data])).out, /^✓ yearly is paused/);
    assert.match(
      (await run(["schedule", "show", "yearly", ...data])).out,
      /\nstate +paused \(changed by admin\)\nnext *\n/,
    );
    const count = async (): Promise<number> => Number((await run(["call", "thing/year/count", ...data])).out);
    const before = await count();
    assert.match((await run(["schedule", "run", "yearly", ...data])).out, /^✓ run \d+ of yearly has begun\n$/);
    for (const until = Date.now() + 60_000; (await count()) === before && Date.now() < until;);
    assert.equal(await count(), before + 1);
    assert.match((await run(["schedule", "resume", "yearly", ...data])).out, /^✓ yearly is resumed: next \d{4}-12-31/);
    const missed = await run(["schedule", "run", "early", ...data]);
    assert.equal(missed.code, 3);
    assert.match(missed.err, /there is no schedule "early"[^]*Nearest: yearly/);
    const options = { cwd: home, env: { SHEAF_COMPLETION_MS: "60000" } };
    assert.equal((await sheaf(["__complete", "--", "schedule", "show", "ye"], options)).out, "yearly\n");
  });

  test("parked: what a crash parked is listed, explained, refused by name and released", async () => {
    assert.match(parkedId, /^thing\/a b\/crash#[0-9a-f]{16}$/);
    const refused = await run(["call", "thing/a b/crash", '{"how":"hard"}', "--data", store]);
    assert.equal(refused.code, 5);
    assert.ok(refused.err.includes(`sheaf parked release '${parkedId}'`), refused.err);
    const wrong = await run(["parked", "release", parkedId.replace("crash", "crush"), "--data", store]);
    assert.equal(wrong.code, 3, wrong.err);
    assert.ok(wrong.err.includes(parkedId), "names the nearest");
    assert.equal((await run(["parked", "show", "nothing", "--data", store])).code, 3);
    assert.match((await run(["parked", "show", parkedId, "--data", store])).out, /reason +it crashed the process once/);
    const doctor = await run(["doctor", "--data", store]);
    assert.match(doctor.out, /parked commands\t1; thing\/a b\/crash#.*\tmend the code, then: sheaf parked ls/);
    const options = { cwd: home, env: { SHEAF_COMPLETION_MS: "10000" } };
    assert.equal((await sheaf(["__complete", "--", "parked", "release", "th"], options)).out, `${parkedId}\n`);
  });

  for (const [name, row] of Object.entries(rows)) {
    test(`${name}: --json is one document of its shape`, async () => {
      let args = row.good();
      if (args.includes("@key")) {
        const { id } = JSON.parse((await run(["key", "create", "gone", "--json", "--data", store])).out).data;
        args = args.map((word) => (word === "@key" ? id : word));
      }
      let document: Document;
      if (row.stream) document = await firstLine(args);
      else {
        const ran = await run([...args, "--json"]);
        assert.equal(ran.code, row.code ?? 0, ran.err);
        assert.equal(ran.err, "");
        document = JSON.parse(ran.out) as Document;
        assert.deepEqual(Object.keys(document), ["schema", "data", "next", "warnings"]);
        assert.deepEqual([document.next, document.warnings], [null, []]);
      }
      assert.equal(document.schema, row.schema);
      if (row.list) {
        const items = document.data as readonly unknown[];
        assert.ok(items.length > 0, "an empty list shows no shape");
        for (const item of items) holds(row.fields, item);
      } else holds(row.fields, document.data);
    });

    test(`${name}: a mistake is exit 2, told as JSON on stderr, and nothing is on stdout`, async () => {
      const ran = await run([...row.mistake, "--json"]);
      assert.equal(ran.code, 2, ran.err);
      assert.equal(ran.out, "");
      const { error } = JSON.parse(ran.err) as { error: { code: string; message: string } };
      assert.equal(error.code, "USAGE");
      assert.notEqual(error.message, "");
    });
  }
});

/** What doctor says of a node that answers so. */
async function doctored(t: TestContext, answers: Readonly<Record<string, unknown>>): Promise<Ran> {
  const stub = createServer((request, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(answers[request.url ?? ""] ?? []));
  }).listen(0, "127.0.0.1");
  t.after(() => stub.close());
  await once(stub, "listening");
  const url = `http://127.0.0.1:${(stub.address() as AddressInfo).port}`;
  return run(["doctor", "--url", url, "--admin", url]);
}

test("doctor: dead letters are worth a look, and so is what waits for more than a minute", async (t) => {
  const status = { engine: {}, nodes: [], shards: [] };
  const shard = { shard: 3, tasks: 1, deadLetters: 2, outgoing: 1, outgoingMs: 61_000, lateMs: 95_400 };
  const ran = await doctored(t, {
    "/admin/v1/status": status,
    "/admin/v1/backlog": [shard, { ...shard, shard: 4, outgoingMs: 0, lateMs: 0 }],
  });
  assert.match(ran.out, /^▲\tdead letters\t4\t/m);
  assert.match(ran.out, /^▲\tmessages\tone has been on its way for 61 s\t/m);
  assert.match(ran.out, /^▲\tmessages\tone was due 95 s ago\t/m);
  const well = await doctored(t, {
    "/admin/v1/status": status,
    "/admin/v1/backlog": [{ ...shard, deadLetters: 0, outgoingMs: 60_000, lateMs: 60_000 }],
  });
  assert.match(well.out, /^✓\tdead letters\tnone\t/m);
  assert.match(well.out, /^✓\tmessages\tnone waits for long\t/m);
});

test("doctor: of the engine nothing is shown that says nothing to a person", async (t) => {
  const engine = { name: "postgres", bootId: "5ee", clockMs: 1_795_486_601_225.5, commitMs: 8.257 };
  const ran = await doctored(t, { "/admin/v1/status": { engine, nodes: [], shards: [] } });
  assert.match(ran.out, /^✓\tengine\tname postgres, commitMs 8\.26\t/m);
});

test("doctor: jobs that nobody does are worth a look once they wait for more than a minute", async (t) => {
  const status = { engine: {}, nodes: [], shards: [] };
  const queue = { queue: "mails", ready: 7, leased: 0, delayed: 0, dead: 0, waitMs: 75_400, workers: [] };
  const workers = [{ node: "a", hands: 1 }];
  const late = await doctored(t, {
    "/admin/v1/status": status,
    "/admin/v1/queues": [queue, { ...queue, queue: "slow", workers }, { ...queue, queue: "young", waitMs: 60_000 }],
  });
  assert.match(late.out, /^▲\tqueues\t7 jobs wait in mails, the oldest for 75 s\t.*sheaf queue peek mails/m);
  assert.doesNotMatch(late.out, /slow|young/);
  const paused = await doctored(t, {
    "/admin/v1/status": status,
    "/admin/v1/queues": [{ ...queue, state: "paused", workers }],
  });
  assert.match(
    paused.out,
    /^▲\tqueues\tmails is paused: 7 jobs wait, the oldest for 75 s\t.*sheaf queue resume mails/m,
  );
  const well = await doctored(t, { "/admin/v1/status": status, "/admin/v1/queues": [{ ...queue, workers }] });
  assert.match(well.out, /^✓\tqueues\tnone waits for long/m);
  const without = await doctored(t, { "/admin/v1/status": status });
  assert.doesNotMatch(without.out, /queues/);
});

test("doctor: a subscription that stands still is worth a look, with the event and why", async (t) => {
  const status = { engine: {}, nodes: [], shards: [] };
  const stuck = { shard: 3, event: "orders/3/17", since: 0, cause: "HANDLER_FAILED: boom" };
  const group = { group: "bake", topic: "orders", stuck: [] };
  const ran = await doctored(t, {
    "/admin/v1/status": status,
    "/admin/v1/groups": [group, { ...group, group: "count", stuck: [stuck, { ...stuck, event: "" }] }],
  });
  assert.match(ran.out, /^▲\tsubscriptions\tcount stands still at orders\/3\/17: HANDLER_FAILED: boom\t/m);
  assert.doesNotMatch(ran.out, /bake/);
  const well = await doctored(t, { "/admin/v1/status": status, "/admin/v1/groups": [group] });
  assert.match(well.out, /^✓\tsubscriptions\tnone stands still\t/m);
});

test("doctor: a damaged journal is bad, whatever else is well", async (t) => {
  const status = {
    engine: { directory: "d", syncMs: 1.23456, folding: "stopped: record 7 of shard 1 is out of order" },
    nodes: [],
    shards: [],
  };
  const ran = await doctored(t, { "/admin/v1/status": status });
  assert.equal(ran.code, 6);
  assert.match(ran.out, /✕\tengine\t.*syncMs 1\.23, folding stopped: record 7.*\tthe journal is damaged/);
});

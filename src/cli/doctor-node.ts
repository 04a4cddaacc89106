// Checks of the running node, if there is one: is it ready, does it serve all shards, is anything parked.

import { createServer } from "node:net";
import type { Backlog, Checkup, GroupView, Parked, QueueView, Status } from "../admin/index.ts";
import { asSheafError, SheafError } from "../base/index.ts";
import { clusterFindings } from "./doctor-cluster.ts";
import { type Finding, finding } from "./findings.ts";
import type { Context } from "./context.ts";
import { adminOf, gatewayOf, type Remote, type RemoteOptions, warningsOf } from "./remote.ts";
import { parkedOf } from "./parked.ts";
import { release } from "./release.ts";

export async function nodeChecks(context: Context, options: RemoteOptions): Promise<Finding[]> {
  let gateway: Remote;
  let admin: Remote;
  try {
    gateway = gatewayOf(context, options);
    admin = adminOf(context, options);
  } catch {
    return [finding("ok", "node", "none runs on this data folder"), await portFree(4000), await portFree(4001)];
  }
  return [await readiness(gateway), ...(await inside(admin, context.output.warn))];
}

async function portFree(port: number): Promise<Finding> {
  const taken = await new Promise<boolean>((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(true));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(false)));
  });
  if (!taken) return finding("ok", `port ${port}`, "free");
  return finding(
    "warn",
    `port ${port}`,
    "taken",
    "sheaf dev takes the next free one; sheaf start needs --port or --admin-port",
  );
}

async function readiness(gateway: Remote): Promise<Finding> {
  try {
    await gateway.ask("/readyz", { patienceMs: 3_000 });
    return finding("ok", "node", `ready at ${gateway.url}`);
  } catch (error) {
    const failure = asSheafError(error);
    const stopped = failure.code === "UNREACHABLE";
    const fix = stopped
      ? "start it again, or name another with --url"
      : "sheaf status --shards says which shards do not serve";
    return finding("bad", "node", stopped ? `nothing answers at ${gateway.url}` : `${gateway.url} is not ready`, fix);
  }
}

async function inside(admin: Remote, warn: (text: string) => void): Promise<Finding[]> {
  try {
    const status = (await admin.ask("/admin/v1/status", { patienceMs: 5_000 })).body as Status;
    const known = [shards(status), versions(status), engine(status), ...settings(status)];
    const parked = poison(await parkedOf(admin, warn, 5_000));
    return [
      ...known,
      parked,
      ...(await backlog(admin)),
      ...(await queues(admin)),
      ...(await groups(admin)),
      ...(await cluster(admin)),
    ];
  } catch (error) {
    const failure = asSheafError(error);
    if (failure.code === "UNREACHABLE") return [];
    return [finding("unknown", "shards", failure.message, failure.hint ?? null)];
  }
}

/** Nothing, where the node is of a release that has no checkup. */
async function cluster(admin: Remote): Promise<Finding[]> {
  const answer = await admin.ask("/admin/v1/checkup", { patienceMs: 10_000 }).catch((error: unknown) => {
    if (error instanceof SheafError && error.code === "NOT_FOUND") return undefined;
    throw error;
  });
  return answer ? clusterFindings(answer.body as readonly Checkup[], warningsOf(answer), Date.now()) : [];
}

/** Messages and timers. Nothing, where the node is of a release that has none. */
async function backlog(admin: Remote): Promise<Finding[]> {
  const answer = await admin.ask("/admin/v1/backlog", { patienceMs: 5_000 }).catch((error: unknown) => {
    if (error instanceof SheafError && error.code === "NOT_FOUND") return undefined;
    throw error;
  });
  return answer ? backlogFindings(answer.body as readonly Backlog[]) : [];
}

/** Nothing, where there are no queues, or the node is of a release that has none. */
async function queues(admin: Remote): Promise<Finding[]> {
  const answer = await admin.ask("/admin/v1/queues", { patienceMs: 5_000 }).catch((error: unknown) => {
    if (error instanceof SheafError && error.code === "NOT_FOUND") return undefined;
    throw error;
  });
  return answer ? queueFindings(answer.body as readonly QueueView[]) : [];
}

function queueFindings(all: readonly QueueView[]): Finding[] {
  if (all.length === 0) return [];
  const isPaused = ({ state }: QueueView): boolean => state === "paused" || state === "partly";
  const left = all.filter((one) => !isPaused(one) && one.workers.length === 0 && one.waitMs > lateMs);
  const paused = all.filter((one) => isPaused(one) && one.waitMs > lateMs).map(pausedFinding);
  if (left.length + paused.length === 0) return [finding("ok", "queues", "none waits for long for a worker")];
  const unworked = left.map(({ queue, ready, waitMs }) =>
    finding(
      "warn",
      "queues",
      `${ready} ${ready === 1 ? "job waits" : "jobs wait"} in ${queue}, the oldest for ${Math.round(waitMs / 1000)} s`,
      `start a node with the role ${queue}, or a consumer that takes them; sheaf queue peek ${queue} shows them`,
      { why: "no node has a worker for them, and no consumer takes them" },
    ),
  );
  return [...paused, ...unworked];
}

const pausedFinding = ({ queue, ready, waitMs, state }: QueueView): Finding =>
  finding(
    "warn",
    "queues",
    `${queue} is paused${state === "partly" ? " at some shards" : ""}: ${ready} ${ready === 1 ? "job waits" : "jobs wait"}, the oldest for ${Math.round(waitMs / 1000)} s`,
    `sheaf queue resume ${queue}`,
    { why: "somebody has paused it, and nobody has resumed it" },
  );

/** Nothing, where there are no groups, or the node is of a release that has none. */
async function groups(admin: Remote): Promise<Finding[]> {
  const answer = await admin.ask("/admin/v1/groups", { patienceMs: 5_000 }).catch((error: unknown) => {
    if (error instanceof SheafError && error.code === "NOT_FOUND") return undefined;
    throw error;
  });
  return answer ? groupFindings(answer.body as readonly GroupView[]) : [];
}

export function groupFindings(all: readonly GroupView[]): Finding[] {
  if (all.length === 0) return [];
  const still = all.flatMap(({ group, stuck: [first] }) => (first ? [{ group, ...first }] : []));
  if (still.length === 0) return [finding("ok", "subscriptions", "none stands still")];
  return still.map(({ group, shard, event, cause }) =>
    finding(
      "warn",
      "subscriptions",
      `${group} stands still at ${event === "" ? `shard ${shard}` : event}: ${cause}`,
      "mend the code and start it: it is tried again by itself; sheaf group ls says where",
      { why: "nothing is made of the events behind it, and they are let go when they are too old" },
    ),
  );
}

/** A message, timer or job that waits longer is not just behind others. */
const lateMs = 60_000;

export function backlogFindings(shards: readonly Backlog[]): Finding[] {
  const dead = shards.reduce((sum, { deadLetters }) => sum + deadLetters, 0);
  const letters =
    dead === 0
      ? finding("ok", "dead letters", "none")
      : finding(
          "warn",
          "dead letters",
          String(dead),
          "sheaf dlq ls says why; then mend the code, and: sheaf dlq redrive ID",
          {
            why: "these commands are not carried out unless somebody sees to them",
          },
        );
  const waits = (most: number, found: string, fix: string): Finding | undefined =>
    most <= lateMs
      ? undefined
      : finding("warn", "messages", found.replace("%", String(Math.round(most / 1000))), fix, {
          why: "what commands leave for others, or for later, is done within moments while all is well",
        });
  const most = (of: (one: Backlog) => number): number => shards.reduce((all, one) => Math.max(all, of(one)), 0);
  const late = [
    waits(
      most(({ outgoingMs }) => outgoingMs),
      "one has been on its way for % s",
      "sheaf task shards says from where; sheaf status --shards says which shards do not serve",
    ),
    waits(
      most(({ lateMs: by }) => by),
      "one was due % s ago",
      "sheaf task ls says which; those behind one that fails wait for it",
    ),
  ].filter((found) => found !== undefined);
  return [letters, ...(late.length > 0 ? late : [finding("ok", "messages", "none waits for long")])];
}

/** Settings of the engine that lose data, or leave little room. */
function settings({ engine: facts, nodes }: Status): Finding[] {
  const found: Finding[] = [];
  const off = ["fsync", "fullPageWrites"].filter((name) => facts[name] === "off");
  if (off.length > 0)
    found.push(
      finding("bad", "engine settings", `${off.join(" and ")} off`, "turn it on and restart the server", {
        why: "a crash of the server's machine loses or damages what was acknowledged",
      }),
    );
  if (facts["dataChecksums"] === "off")
    found.push(
      finding("warn", "engine settings", "data checksums are off", "pg_checksums --enable, with the server stopped", {
        why: "a damaged page would be served as if it were whole",
      }),
    );
  const [most, used] = [facts["maxConnections"], facts["connections"]];
  if (typeof most === "number" && typeof used === "number" && used > most * 0.9)
    found.push(
      finding(
        "warn",
        "engine connections",
        `${used} of ${most} in use`,
        "raise max_connections, or close other clients",
        {
          why: "a node that starts may not get one",
        },
      ),
    );
  if (facts["name"] === "nats" && Number(facts["replicas"]) < 3 && nodes.length > 1)
    found.push(
      finding(
        "warn",
        "engine settings",
        `${facts["replicas"]} replicas`,
        "run three servers, with streams of three replicas",
        {
          why: "the loss of one server stops all writes or loses data",
        },
      ),
    );
  if (String(facts["syncEveryWrite"] ?? "yes").startsWith("not known"))
    found.push(
      finding(
        "unknown",
        "engine settings",
        "whether NATS syncs every write is not known",
        "give the monitoring port: nats://…?monitor=8222",
        {
          why: "with another setting, a power cut on two servers loses what was acknowledged",
        },
      ),
    );
  return found;
}

function shards({ shards: all }: Status): Finding {
  const odd = all.filter(({ state }) => state !== "serving");
  if (odd.length === 0) return finding("ok", "shards", `${all.length} serve`);
  const worst = odd.find(({ state }) => state === "quarantined") ?? odd[0]!;
  const found = `${odd.length} of ${all.length} do not serve; shard ${worst.shard} is ${worst.state}${worst.reason === null ? "" : `: ${worst.reason}`}`;
  return finding(worst.state === "opening" ? "warn" : "bad", "shards", found, "sheaf status --shards");
}

function versions({ nodes }: Status): Finding {
  const own = release().version;
  const other = nodes.find(({ version }) => version !== own);
  if (other === undefined) return finding("ok", "version", own);
  return finding(
    "warn",
    "version",
    `this is ${own}, the node is ${other.version}`,
    "use the sheaf of the node's own project",
  );
}

/** For Sheaf, not for a person: what tells the machine's boots apart, and the clock, of which there is a finding. */
const unshown = ["bootId", "clockMs"];

function engine({ engine: facts }: Status): Finding {
  const shown = Object.entries(facts).filter(([name]) => !unshown.includes(name));
  const found = shown.map(([name, value]) => `${name} ${typeof value === "number" ? rounded(value) : String(value)}`);
  const damaged = String(facts["folding"] ?? "ok").startsWith("stopped");
  if (!damaged) return finding("ok", "engine", found.join(", "));
  return finding(
    "bad",
    "engine",
    found.join(", "),
    "the journal is damaged: keep a copy of the data folder, then restart",
  );
}

/** Three digits are as much as a measurement means; counts are shown whole. */
const rounded = (value: number): string =>
  Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(3)));

function poison(parked: readonly Parked[]): Finding {
  if (parked.length === 0) return finding("ok", "parked commands", "none");
  const [first] = parked;
  return finding(
    "bad",
    "parked commands",
    `${parked.length}; ${first!.id}: ${first!.reason}`,
    "mend the code, then: sheaf parked ls, sheaf parked release ID",
  );
}

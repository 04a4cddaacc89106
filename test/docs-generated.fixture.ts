// The parts of the reference that are made from the code. The test compares them with what the pages hold;
// `node test/docs-generated.fixture.ts` writes them anew.

import type { Command } from "commander";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { adminApi } from "../src/admin/index.ts";
import { defaultLimits } from "../src/base/index.ts";
import { createOutput } from "../src/cli/output.ts";
import { buildProgram } from "../src/cli/program.ts";
import { processTerminal } from "../src/cli/terminal.ts";
import { bench } from "../src/gateway/gateway.fixture.ts";
import type { AdminOptions } from "../src/admin/admin.ts";
import { fixtureHost } from "../src/http/http.fixture.ts";
import type { Route } from "../src/http/routes.ts";
import { rolePolicy } from "../src/security/index.ts";
import { faultCatalogue } from "../src/testing.ts";
import { type Page, readPages, root } from "./docs-pages.fixture.ts";
import { startNode } from "./docs-server.fixture.ts";

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => "---"), ...rows]
    .map((row) => `| ${row.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`)
    .join("\n");

/** The command tree, as the command line builds it. */
export function commandTree(): Command {
  const flags = { json: false, fields: undefined, quiet: false, debug: false, color: "never" } as const;
  const context = {
    output: createOutput(flags, processTerminal("never")),
    env: {},
    cwd: root,
    tree: () => commandTree(),
  };
  return buildProgram(context, () => {});
}

function leaves(command: Command, path: string): { path: string; command: Command }[] {
  const shown = command.createHelp().visibleCommands(command);
  const below = shown.flatMap((child) => leaves(child, `${path} ${child.name()}`));
  // One that takes arguments does something itself.
  return shown.length === 0 || command.registeredArguments.length > 0 ? [{ path, command }, ...below] : below;
}

function commands(): string {
  const sections = leaves(commandTree(), "sheaf").map(({ path, command }) => {
    const given = command.registeredArguments.map((argument) => {
      const name = argument.variadic ? `${argument.name()}...` : argument.name();
      return argument.required ? ` ${name}` : ` [${name}]`;
    });
    const rows = command.options.map((option) => {
      const choices = option.argChoices === undefined ? "" : ` (${option.argChoices.join(", ")})`;
      const usual = option.defaultValue as string | boolean | readonly string[] | undefined;
      const value =
        usual === undefined || typeof usual === "boolean" ? "" : ` (default \`${[usual].flat().join(" ")}\`)`;
      return [`\`${option.flags}\``, `${option.description}${choices}${value}`];
    });
    const options = rows.length === 0 ? "" : `\n\n${table(["option", "meaning"], rows)}`;
    return `### \`${path}${given.join("")}\`\n\n${command.description()}${options}`;
  });
  return sections.join("\n\n");
}

const amount = (name: string, value: number): string => {
  if (name.endsWith("Bytes") && value >= 1024)
    return value % 1024 ** 2 === 0 ? `${value / 1024 ** 2} MiB` : `${value / 1024} KiB`;
  if (name.endsWith("Bytes")) return `${value} bytes`;
  if (!name.endsWith("Ms")) return value.toLocaleString("en-US");
  if (value % 3_600_000 === 0) return `${value / 3_600_000} h`;
  return value % 60_000 === 0 ? `${value / 60_000} min` : `${value / 1000} s`;
};

/** Each limit with its value and, from the comment before it, its reason. */
export function limits(source: string): string {
  const body = source.slice(source.indexOf("defaultLimits = {"), source.indexOf("} as const"));
  let reason = "";
  const rows = [...body.matchAll(/\/\*\*([\s\S]*?)\*\/|^ {2}(\w+):/gm)].flatMap(([, comment, name]) => {
    if (comment !== undefined) reason = comment.replaceAll(/\s*\n\s*\*\s*/g, " ").trim();
    if (name === undefined) return [];
    return [[`\`${name}\``, amount(name, defaultLimits[name as keyof typeof defaultLimits]), reason]];
  });
  return table(["limit", "value", "why"], rows);
}

const says: Readonly<Record<string, string>> = {
  "POST /entities/:entity/:key/:member": "run a command, or ask a query",
  "GET /entities/:entity/:key/:member": "ask a query; input in `?input=`",
  "POST /services/:service/:procedure": "call a procedure",
  "GET /openapi.json": "OpenAPI 3.1 document of the app",
  "GET /docs": "a page to read and try it",
  "GET /livez": "200 while the event loop turns; `?verbose` for JSON",
  "GET /readyz": "200 when calls to this node go well, else 503; `?verbose` for each check as JSON",
  "GET /": "gateway: on to `/docs`; admin: what is here",
  "POST /queues/:queue": "add a job: its input; `?delayMs=`, `?priority=`; `Idempotency-Key` is its id",
  "POST /queues/:queue/take": "take jobs that are due; `?max=`, `?waitMs=`",
  "GET /queues/:queue/jobs/:job": "where a job is, and what came of it; `?waitMs=`",
  "POST /queues/:queue/jobs/:job/:ending":
    "`ack`, `reject`, `extend`, or `progress` of a job that was taken; `?attempt=`",
  "POST /topics/:topic": "publish an event, or a list of them; JSON or CloudEvents; `Idempotency-Key` honoured; 204",
  "GET /topics/:topic/events": "its events as Server-Sent Events; `?from=`, `?group=`, `Last-Event-ID`",
  "POST /topics/:topic/groups/:group": "all up to the event of `{ id }` is done; 204",
  "GET /metrics": "[metrics](metrics.md) in the Prometheus text format",
  "GET /admin/v1/openapi.json": "OpenAPI 3.1 document of the admin API",
  "GET /admin/v1/status": "the cluster, its nodes and its shards",
  "GET /admin/v1/limits": "every limit in force",
  "GET /admin/v1/entities/:type": "entities of a type in key order; `?prefix=`, `?after=`, `?limit=`",
  "GET /admin/v1/entities/:type/:key": "one entity's state, version and timers",
  "GET /admin/v1/entities/:type/:key/history": "its commits, newest first; `?limit=`",
  "GET /admin/v1/parked": "commands that are parked",
  "POST /admin/v1/parked/:id/release": "let one run again; 204",
  "GET /admin/v1/tasks": "messages and timers that are to be carried out, by due time; `?entity=`, `?limit=`",
  "DELETE /admin/v1/tasks/:id": "take back a timer; the answer is what it was",
  "GET /admin/v1/backlog": "shards that have something to do: how much, and for how long it has waited",
  "GET /admin/v1/queues": "queues: what waits in them, for how long, and which nodes do it",
  "GET /admin/v1/queues/:queue/jobs": "the jobs that are begun next, with their inputs; `?limit=`",
  "POST /admin/v1/queues/:queue/pause": "begin no job of it until it is resumed, at any shard; what is leased goes on",
  "POST /admin/v1/queues/:queue/resume": "begin its jobs again",
  "DELETE /admin/v1/queues/:queue/jobs": "drop the jobs that nobody has; how many; `?dryRun=true` drops none",
  "GET /admin/v1/topics": "topics: how many events are kept of them, from when, and what they take",
  "GET /admin/v1/groups": "subscriptions and other groups: how far behind they are, and where they stand still",
  "POST /admin/v1/topics/:topic/groups/:group/pause": "let a subscription rest; it keeps its place",
  "POST /admin/v1/topics/:topic/groups/:group/resume": "let it go on from there",
  "POST /admin/v1/topics/:topic/groups/:group/seek":
    "have a group go on at `to`; tells how many events it meets again, and how many never; `dryRun`: only that",
  "DELETE /admin/v1/topics/:topic/groups/:group": "forget where a group is; `?dryRun=`",
  "GET /admin/v1/dead-letters": "messages and timers that failed for good; `?entity=`, `?after=`, `?limit=`",
  "GET /admin/v1/dead-letters/:id": "one with its input and who sent it",
  "POST /admin/v1/dead-letters/:id/redrive": "try one again; 204",
  "POST /admin/v1/redrives":
    "try many again by themselves: of an `entity`, with a `cause`, so many `perSecond`; `dryRun` only tells",
  "GET /admin/v1/redrives": "which are to be tried again, and until when; `?entity=`, `?cause=`",
  "DELETE /admin/v1/redrives": "leave those as they are that were not tried yet; `?entity=`, `?cause=`",
  "DELETE /admin/v1/dead-letters/:id": "give one up; the answer is what it was",
  "POST /admin/v1/nodes/:id/drain": "hand over what the node serves, and give it nothing more; 204",
  "POST /admin/v1/nodes/:id/undrain": "take that back; 204",
  "POST /admin/v1/nodes/:id/cordon": "give the node nothing more; it keeps what it has; 204",
  "POST /admin/v1/nodes/:id/uncordon": "take that back; 204",
  "DELETE /admin/v1/nodes/:id": "forget a node that is gone for good; 204",
  "GET /admin/v1/checkup": "what each node measures of itself: engine, clocks, connections, certificates",
  "GET /admin/v1/shards/moves": "shards that are not where they belong, or are pinned, and why",
  "POST /admin/v1/shards/:shard/move":
    "pin a shard to the node whose id is in `{ to }`; it goes when its turn comes; 204",
  "DELETE /admin/v1/shards/:shard/pin": "let it go where it belongs; 204",
  "GET /admin/v1/keys": "API keys, never their text; `?after=`, `?limit=`",
  "POST /admin/v1/keys": "make one from `{ name, roles, expiresAt }`; its text is in this answer only",
  "DELETE /admin/v1/keys/:id": "revoke one; 204",
  "GET /admin/v1/endpoints": "outside services and their addresses; `?after=`, `?limit=`",
  "POST /admin/v1/endpoints":
    "add an address from `{ name, url, private }`; the answer is the service with all its addresses",
  "DELETE /admin/v1/endpoints/:name": "remove the address `?url=`, or all of them; 204",
  "GET /admin/v1/schedules": "schedules and when they are due; `?after=`, `?limit=`",
  "GET /admin/v1/schedules/:name": "one schedule",
  "POST /admin/v1/schedules/:name/run": "begin a run now; the answer is `{ at, number, asked }`",
  "POST /admin/v1/schedules/:name/pause": "begin no run any more; the answer is the schedule",
  "POST /admin/v1/schedules/:name/resume": "begin runs again, from the next that is due; the answer is the schedule",
};

/** A listener's addresses. Throws for one that nobody has described. */
export function addresses(routes: readonly Route[]): string {
  const shown = routes.filter(({ pattern }) => !pattern.startsWith("/docs/"));
  const rows = shown.map(({ method, pattern, access }) => {
    const meaning = says[`${method} ${pattern}`];
    if (meaning === undefined) throw new Error(`say in test/docs-generated.fixture.ts what ${method} ${pattern} does`);
    return [`\`${method} ${pattern.replaceAll(/:(\w+)/g, "{$1}")}\``, access === "open" ? "open" : "key", meaning];
  });
  return table(["address", "needs", "what it does"], rows);
}

const gatewayRoutes = (): readonly Route[] => bench().http.routes;

/** Nothing is asked of it but which addresses it has. */
function adminRoutes(): readonly Route[] {
  const unused = {} as Pick<AdminOptions, "operator" | "keys" | "endpoints" | "schedules">;
  const { operator, keys, endpoints, schedules } = {
    operator: unused as never,
    keys: unused as never,
    endpoints: unused as never,
    schedules: unused as never,
  };
  return adminApi({
    host: fixtureHost(),
    operator,
    keys,
    endpoints,
    schedules,
    adminToken: "unused",
    policy: rolePolicy(),
    limits: defaultLimits,
    metrics: () => "",
  }).routes;
}

const faults = (): string =>
  table(
    ["fault", "what happens"],
    Object.entries(faultCatalogue).map(([name, what]) => [`\`${name}\``, what]),
  );

/** What a scrape shows, by name, with its kind, labels and help. */
export function metrics(scrape: string): string {
  const kinds = new Map([...scrape.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = "", kind = ""]) => [name, kind]));
  const rows = [...scrape.matchAll(/^# HELP (\S+) (.*)$/gm)].map(([, name = "", help = ""]) => {
    const series = [...scrape.matchAll(new RegExp(`^${name}(?:_bucket|_sum|_count)?\\{(.*)\\} `, "gm"))].map(
      ([, labels = ""]) => labels,
    );
    const labels = new Set(series.flatMap((text) => [...text.matchAll(/(\w+)="/g)].map(([, label = ""]) => label)));
    labels.delete("le");
    return [`\`${name}\``, kinds.get(name) ?? "", [...labels].sort().join(", "), help];
  });
  return table(
    ["name", "kind", "labels", "what it says"],
    rows.toSorted(([a = ""], [b = ""]) => a.localeCompare(b)),
  );
}

/** Metrics of a node that has answered each kind of call. */
export async function scrapeOf(gateway: string, admin: string, call: string): Promise<string> {
  await fetch(`${gateway}/${call}`, { method: "POST" });
  const response = await fetch(`${admin}/metrics`);
  return response.text();
}

/** Every generated part by name. */
export const generated = (scrape: string): Readonly<Record<string, string>> => ({
  cli: commands(),
  limits: limits(readFileSync(join(root, "src/base/limits.ts"), "utf8")),
  gateway: addresses(gatewayRoutes()),
  admin: addresses(adminRoutes()),
  faults: faults(),
  metrics: metrics(scrape),
});

const part = /(<!-- generated: (\w+) -->\n)([\s\S]*?)(<!-- end -->)/g;
/** Table padding and line breaks do not count: the formatter owns them. */
const bare = (text: string): string => text.replaceAll(/-+/g, "-").replaceAll(/\s+/g, " ").trim();

/** Parts of pages that are not what the code gives, and parts that are nowhere. */
export function stale(pages: readonly Page[], parts: Readonly<Record<string, string>>): string[] {
  const seen = new Set<string>();
  const found = pages.flatMap(({ path, text }) =>
    [...text.matchAll(part)].flatMap(([, , name = "", held = ""]) => {
      seen.add(name);
      return bare(held) === bare(parts[name] ?? "")
        ? []
        : [`${path}: "${name}" is not what the code says; run node test/docs-generated.fixture.ts`];
    }),
  );
  return [
    ...found,
    ...Object.keys(parts)
      .filter((name) => !seen.has(name))
      .map((name) => `no page holds the generated part "${name}"`),
  ];
}

async function write(): Promise<void> {
  const cwd = mkdtempSync(join(tmpdir(), "sheaf-docs-"));
  const node = await startNode(join(root, "examples/ledger/app.ts"), cwd);
  try {
    const parts = generated(await scrapeOf(node.gateway, node.admin, "entities/account/ann/balance"));
    for (const { path, text } of readPages()) {
      const fresh = text.replaceAll(
        part,
        (_, open: string, name: string, __: string, end: string) => `${open}\n${parts[name] ?? ""}\n\n${end}`,
      );
      if (fresh !== text) writeFileSync(join(root, path), fresh);
    }
  } finally {
    await node.end();
    rmSync(cwd, { recursive: true, force: true });
  }
}

if (import.meta.main) await write();

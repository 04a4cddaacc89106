// The admin API as data: each address with what it needs, what it answers and how it is carried out. The OpenAPI document is made from
// the same list, so neither can forget the other.
// Long because: one list, with every address.

import { SheafError, type Issue, type Limits } from "../base/index.ts";
import type { EndpointOptions, Endpoints, Keys, Schedules } from "../control/index.ts";
import {
  decodeKey,
  decodeSegment,
  json,
  queryParameter,
  readJson,
  type Answer,
  type Incoming,
  type Method,
  type Node,
} from "../http/index.ts";
import type { Principal, Resource } from "../security/index.ts";
import type { Found, GroupAsk, Operator, SeekTo } from "./operator.ts";
import * as schemas from "./schemas.ts";

/** A request to the admin API; `segments` begin after `/admin/v1`. */
export type AdminAsk = { readonly request: Incoming; readonly segments: readonly string[] };

export type AdminRoute = {
  readonly method: Method;
  /** Below `/admin/v1`; `:x` is a segment. */
  readonly pattern: string;
  /** The operation's name in the document and in decisions. */
  readonly name: string;
  readonly summary: string;
  /** Query parameters, with their JSON Schemas. */
  readonly query?: Readonly<Record<string, Node>>;
  readonly body?: Node;
  /** JSON Schema of the answer; 204 when absent. */
  readonly answer?: Node;
  /** What is acted on, where that is finer than the operation. */
  readonly resource?: (ask: AdminAsk) => Resource;
  readonly run: (ask: AdminAsk, by: Principal) => Promise<Answer>;
};

type Ports = {
  readonly operator: Operator;
  readonly keys: Keys;
  readonly endpoints: Endpoints;
  readonly schedules: Schedules;
  readonly limits: Limits;
};

const maxPage = 1000;
const pageSize: Node = { type: "integer", minimum: 1, maximum: maxPage, default: 50 };

function limitOf(request: Incoming): number {
  const given = queryParameter(request.url, "limit");
  if (given === undefined) return 50;
  if (!/^[1-9]\d{0,3}$/.test(given) || Number(given) > maxPage) {
    throw new SheafError("BAD_INPUT", "limit is out of range", {
      issues: [{ path: ["limit"], message: `a whole number from 1 to ${maxPage}` }],
    });
  }
  return Number(given);
}

/** The items as the body; what is missing of them in `Sheaf-Warnings`, a JSON list of sentences in ASCII. */
function found<T>({ items, warnings }: Found<T>): Answer {
  const answer = json(items);
  if (warnings.length === 0) return answer;
  const escaped = JSON.stringify(warnings).replaceAll(
    /[^\x20-\x7e]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return { ...answer, headers: { ...answer.headers, "sheaf-warnings": escaped } };
}

/** A new key's options as they came. Roles are judged by whoever makes the key. */
function newKeyOf(body: unknown): { name: string; roles: string[]; expiresAt: number | null } {
  const given = (typeof body === "object" && body !== null ? body : {}) as Readonly<Record<string, unknown>>;
  const { name, roles, expiresAt = null, ...rest } = given;
  const issues: Issue[] = Object.keys(rest).map((field) => ({ path: [field], message: "unknown field" }));
  if (typeof name !== "string") issues.push({ path: ["name"], message: "a string" });
  if (!Array.isArray(roles) || !roles.every((role) => typeof role === "string"))
    issues.push({ path: ["roles"], message: "a list of strings" });
  if (expiresAt !== null && !Number.isSafeInteger(expiresAt))
    issues.push({ path: ["expiresAt"], message: "milliseconds since 1970, or null" });
  if (issues.length > 0) throw new SheafError("BAD_INPUT", "the body does not describe a key", { issues });
  return { name: name as string, roles: roles as string[], expiresAt: expiresAt as number | null };
}

/** A new endpoint as it came. Name and address are judged by whoever keeps it. */
function endpointOf(body: unknown): EndpointOptions {
  const given = (typeof body === "object" && body !== null ? body : {}) as Readonly<Record<string, unknown>>;
  const { name, url, private: open = false, ...rest } = given;
  const issues: Issue[] = Object.keys(rest).map((field) => ({ path: [field], message: "unknown field" }));
  if (typeof name !== "string") issues.push({ path: ["name"], message: "a string" });
  if (typeof url !== "string") issues.push({ path: ["url"], message: "a string" });
  if (typeof open !== "boolean") issues.push({ path: ["private"], message: "true or false" });
  if (issues.length > 0) throw new SheafError("BAD_INPUT", "the body does not describe an endpoint", { issues });
  return { name: name as string, url: url as string, private: open as boolean };
}

function entityRoutes({ operator, limits }: Ports): AdminRoute[] {
  const typeOf = ({ segments }: AdminAsk): string => decodeSegment(segments[1] ?? "");
  const keyOf = ({ segments }: AdminAsk): string => decodeKey(segments[2] ?? "", limits);
  const resource = (ask: AdminAsk): Resource => ({
    kind: "entity",
    entity: typeOf(ask),
    key: ask.segments[2] === undefined ? "" : keyOf(ask),
    name: "",
  });
  return [
    {
      method: "GET",
      pattern: "/entities/:type",
      name: "searchEntities",
      summary: "Entities of a type, in key order",
      resource,
      query: {
        prefix: { type: "string" },
        after: { type: "string", description: "The last key of the page before." },
        limit: pageSize,
      },
      answer: schemas.listOf(schemas.entityView),
      run: async (ask) => {
        const { url } = ask.request;
        const [prefix, after] = [queryParameter(url, "prefix") ?? "", queryParameter(url, "after")];
        return found(await operator.search(typeOf(ask), prefix, after, limitOf(ask.request)));
      },
    },
    {
      method: "GET",
      pattern: "/entities/:type/:key",
      name: "getEntity",
      summary: "One entity's state",
      resource,
      answer: schemas.entityDetail,
      run: async (ask) => json(await operator.entity(typeOf(ask), keyOf(ask))),
    },
    {
      method: "GET",
      pattern: "/entities/:type/:key/history",
      name: "getHistory",
      summary: "One entity's commits, newest first",
      resource,
      query: { limit: pageSize },
      answer: schemas.history,
      run: async (ask) => json(await operator.history(typeOf(ask), keyOf(ask), limitOf(ask.request))),
    },
  ];
}

function taskRoutes(operator: Operator): AdminRoute[] {
  const idOf = ({ segments }: AdminAsk): string => decodeSegment(segments[1] ?? "");
  const entityOf = ({ url }: Incoming): string | undefined => queryParameter(url, "entity");
  const entity: Node = { type: "string", description: "Only what is for entities of this type." };
  return [
    {
      method: "GET",
      pattern: "/tasks",
      name: "listTasks",
      summary: "Messages that have come and timers, by when they are due",
      query: { entity, limit: pageSize },
      answer: schemas.listOf(schemas.taskView),
      run: async ({ request }) => found(await operator.tasks(entityOf(request), limitOf(request))),
    },
    {
      method: "DELETE",
      pattern: "/tasks/:id",
      name: "cancelTimer",
      summary: "Take back a timer; the answer is what it was",
      answer: schemas.taskDetail,
      run: async (ask) => json(await operator.cancelTimer(idOf(ask))),
    },
    {
      method: "GET",
      pattern: "/backlog",
      name: "listBacklog",
      summary: "Shards that have something to do: tasks, dead letters, messages on their way",
      answer: schemas.listOf(schemas.backlog),
      run: async () => found(await operator.backlog()),
    },
    {
      method: "GET",
      pattern: "/dead-letters",
      name: "listDeadLetters",
      summary: "Messages and timers that failed for good",
      query: {
        entity,
        after: { type: "string", description: "`at/id` of the last of the page before." },
        limit: pageSize,
      },
      answer: schemas.listOf(schemas.taskView),
      run: async ({ request }) =>
        found(await operator.deadLetters(entityOf(request), queryParameter(request.url, "after"), limitOf(request))),
    },
    {
      method: "GET",
      pattern: "/dead-letters/:id",
      name: "getDeadLetter",
      summary: "One dead letter with its input and who sent it",
      answer: schemas.taskDetail,
      run: async (ask) => json(await operator.deadLetter(idOf(ask))),
    },
    {
      method: "POST",
      pattern: "/dead-letters/:id/redrive",
      name: "redriveDeadLetter",
      summary: "Try a dead letter again",
      run: async (ask) => {
        await operator.redrive(idOf(ask));
        return { status: 204 };
      },
    },
    {
      method: "DELETE",
      pattern: "/dead-letters/:id",
      name: "dropDeadLetter",
      summary: "Give up a dead letter; the answer is what it was",
      answer: schemas.taskDetail,
      run: async (ask) => json(await operator.drop(idOf(ask))),
    },
  ];
}

function queueRoutes(operator: Operator): AdminRoute[] {
  return [
    {
      method: "GET",
      pattern: "/queues",
      name: "listQueues",
      summary: "Queues: how many jobs they have, for how long these have waited, and which nodes do them",
      answer: schemas.listOf(schemas.queueView),
      run: async () => found(await operator.queues()),
    },
    {
      method: "GET",
      pattern: "/queues/:queue/jobs",
      name: "peekQueue",
      summary: "The jobs of a queue that are begun next, with their inputs",
      query: { limit: pageSize },
      answer: schemas.listOf(schemas.jobView),
      run: async ({ request, segments }) =>
        found(await operator.jobs(decodeSegment(segments[1] ?? ""), limitOf(request))),
    },
  ];
}

function topicRoutes({ operator, limits }: Ports): AdminRoute[] {
  const named = ({ segments }: AdminAsk): [topic: string, group: string] => [
    decodeSegment(segments[1] ?? ""),
    decodeKey(segments[3] ?? "", limits),
  ];
  return [
    {
      method: "GET",
      pattern: "/topics",
      name: "listTopics",
      summary: "Topics, and what is kept of them",
      answer: schemas.listOf(schemas.topicView),
      run: async () => found(await operator.topics()),
    },
    {
      method: "GET",
      pattern: "/groups",
      name: "listGroups",
      summary: "Subscriptions and other groups: how far behind they are, and where they stand still",
      answer: schemas.listOf(schemas.groupView),
      run: async () => found(await operator.groups()),
    },
    ...(["pause", "resume"] as const).map((act) => ({
      method: "POST" as const,
      pattern: `/topics/:topic/groups/:group/${act}`,
      name: `${act}Group`,
      summary:
        act === "pause"
          ? "Let a subscription rest until it is resumed; it keeps its place"
          : "Let a subscription go on from its place",
      answer: schemas.listOf(schemas.groupChange),
      run: async (ask: AdminAsk) => found(await operator.changeGroup(...named(ask), { act })),
    })),
    {
      method: "POST",
      pattern: "/topics/:topic/groups/:group/seek",
      name: "seekGroup",
      summary: "Have a group go on elsewhere; tells how many events it meets again, and how many never",
      body: schemas.seekTo,
      answer: schemas.listOf(schemas.groupChange),
      run: async (ask) => found(await operator.changeGroup(...named(ask), seekOf(await readJson(ask.request, limits)))),
    },
    {
      method: "DELETE",
      pattern: "/topics/:topic/groups/:group",
      name: "removeGroup",
      summary: "Forget where a group is that is no subscription of the application",
      query: { dryRun: { type: "boolean", default: false } },
      answer: schemas.listOf(schemas.groupChange),
      run: async (ask) => {
        const dryRun = queryParameter(ask.request.url, "dryRun") === "true";
        return found(await operator.changeGroup(...named(ask), { act: "remove", dryRun }));
      },
    },
  ];
}

function seekOf(body: unknown): Extract<GroupAsk, { act: "seek" }> {
  const {
    to,
    dryRun = false,
    ...rest
  } = (typeof body === "object" ? (body ?? {}) : {}) as Readonly<Record<string, unknown>>;
  const issues: Issue[] = Object.keys(rest).map((field) => ({ path: [field], message: "unknown field" }));
  if (to !== "beginning" && to !== "now" && !Number.isSafeInteger(to))
    issues.push({ path: ["to"], message: "beginning, now, or milliseconds since 1970" });
  if (typeof dryRun !== "boolean") issues.push({ path: ["dryRun"], message: "true or false" });
  if (issues.length > 0) throw new SheafError("BAD_INPUT", "the body does not say where to", { issues });
  return { act: "seek", to: to as SeekTo, dryRun: dryRun as boolean };
}

function nodeRoutes(operator: Operator): AdminRoute[] {
  const route = (
    method: Method,
    action: string,
    name: string,
    summary: string,
    act: (node: string) => Promise<void>,
  ): AdminRoute => ({
    method,
    pattern: `/nodes/:id${action}`,
    name,
    summary,
    run: async ({ segments }) => {
      await act(decodeSegment(segments[1] ?? ""));
      return { status: 204 };
    },
  });
  return [
    route("POST", "/drain", "drainNode", "Hand over what a node serves", (node) => operator.drain(node, true)),
    route("POST", "/undrain", "undrainNode", "Let a drained node serve again", (node) => operator.drain(node, false)),
    route("POST", "/cordon", "cordonNode", "Give a node nothing more", (node) => operator.cordon(node, true)),
    route("POST", "/uncordon", "uncordonNode", "Give a node its share again", (node) => operator.cordon(node, false)),
    route("DELETE", "", "removeNode", "Forget a node that is gone for good", (node) => operator.remove(node)),
  ];
}

function shardRoutes({ operator, limits }: Ports): AdminRoute[] {
  const shardOf = ({ segments }: AdminAsk): number => {
    const given = decodeSegment(segments[1] ?? "");
    if (/^\d{1,5}$/.test(given)) return Number(given);
    throw new SheafError("NOT_FOUND", `shards are numbered from 0, "${given}" is none`);
  };
  return [
    {
      method: "GET",
      pattern: "/shards/moves",
      name: "listMoves",
      summary: "Shards that are not where they belong, or are pinned, and why",
      answer: schemas.listOf(schemas.shardMove),
      run: async () => json(await operator.moves()),
    },
    {
      method: "POST",
      pattern: "/shards/:shard/move",
      name: "moveShard",
      summary: "Move a shard to a node and keep it there; it goes when its turn comes",
      body: schemas.moveTo,
      run: async (ask) => {
        const to = (await readJson(ask.request, limits)) as { readonly to?: unknown } | null | undefined;
        if (typeof to?.to !== "string")
          throw new SheafError("BAD_INPUT", "the body does not say where to", {
            issues: [{ path: ["to"], message: "the id of a node" }],
          });
        await operator.move(shardOf(ask), to.to);
        return { status: 204 };
      },
    },
    {
      method: "DELETE",
      pattern: "/shards/:shard/pin",
      name: "unpinShard",
      summary: "Let placement say where a shard belongs",
      run: async (ask) => {
        await operator.move(shardOf(ask), null);
        return { status: 204 };
      },
    },
  ];
}

function keyRoutes({ keys, limits }: Ports): AdminRoute[] {
  return [
    {
      method: "GET",
      pattern: "/keys",
      name: "listKeys",
      summary: "API keys, without their secrets",
      query: { after: { type: "string", description: "The last id of the page before." }, limit: pageSize },
      answer: schemas.listOf(schemas.keyView),
      run: async ({ request }) => json(await keys.list(queryParameter(request.url, "after"), limitOf(request))),
    },
    {
      method: "POST",
      pattern: "/keys",
      name: "createKey",
      summary: "Make an API key; its text is shown only in this answer",
      body: schemas.newKey,
      answer: schemas.madeKey,
      run: async ({ request }, by) => json(await keys.create(by, newKeyOf(await readJson(request, limits)))),
    },
    {
      method: "DELETE",
      pattern: "/keys/:id",
      name: "revokeKey",
      summary: "Revoke an API key; effective everywhere within 5 seconds",
      run: async ({ segments }, by) => {
        await keys.revoke(by, decodeKey(segments[1] ?? "", limits));
        return { status: 204 };
      },
    },
  ];
}

function endpointRoutes({ endpoints, limits }: Ports): AdminRoute[] {
  return [
    {
      method: "GET",
      pattern: "/endpoints",
      name: "listEndpoints",
      summary: "Services outside of the cluster, with their addresses",
      query: { after: { type: "string", description: "The last name of the page before." }, limit: pageSize },
      answer: schemas.listOf(schemas.endpointView),
      run: async ({ request }) => json(await endpoints.list(queryParameter(request.url, "after"), limitOf(request))),
    },
    {
      method: "POST",
      pattern: "/endpoints",
      name: "addEndpoint",
      summary: "Add an address of a service outside; effective everywhere within 5 seconds",
      body: schemas.newEndpoint,
      answer: schemas.endpointView,
      run: async ({ request }, by) => json(await endpoints.add(by, endpointOf(await readJson(request, limits)))),
    },
    {
      method: "DELETE",
      pattern: "/endpoints/:name",
      name: "removeEndpoint",
      summary: "Remove an address of a service outside, or all of them",
      query: { url: { type: "string", description: "All addresses when absent." } },
      run: async ({ request, segments }, by) => {
        await endpoints.remove(by, decodeKey(segments[1] ?? "", limits), queryParameter(request.url, "url"));
        return { status: 204 };
      },
    },
  ];
}

function scheduleRoutes({ schedules, limits }: Ports): AdminRoute[] {
  const nameOf = ({ segments }: AdminAsk): string => decodeKey(segments[1] ?? "", limits);
  return [
    {
      method: "GET",
      pattern: "/schedules",
      name: "listSchedules",
      summary: "Schedules, and when they are due",
      query: { after: { type: "string", description: "The last name of the page before." }, limit: pageSize },
      answer: schemas.listOf(schemas.scheduleView),
      run: async ({ request }) => json(await schedules.list(queryParameter(request.url, "after"), limitOf(request))),
    },
    {
      method: "GET",
      pattern: "/schedules/:name",
      name: "getSchedule",
      summary: "One schedule",
      answer: schemas.scheduleView,
      run: async (ask) => json(await schedules.get(nameOf(ask))),
    },
    {
      method: "POST",
      pattern: "/schedules/:name/run",
      name: "runSchedule",
      summary: "Begin a run now, beside those that are due",
      answer: schemas.scheduledRun,
      run: async (ask, by) => json(await schedules.run(by, nameOf(ask))),
    },
    {
      method: "POST",
      pattern: "/schedules/:name/pause",
      name: "pauseSchedule",
      summary: "Begin no run any more; those that have begun go on",
      answer: schemas.scheduleView,
      run: async (ask, by) => json(await schedules.pause(by, nameOf(ask))),
    },
    {
      method: "POST",
      pattern: "/schedules/:name/resume",
      name: "resumeSchedule",
      summary: "Begin runs again, from the next that is due",
      answer: schemas.scheduleView,
      run: async (ask, by) => json(await schedules.resume(by, nameOf(ask))),
    },
  ];
}

/** Every address of the admin API. */
export function adminRoutes(ports: Ports): readonly AdminRoute[] {
  const { operator, limits } = ports;
  return [
    {
      method: "GET",
      pattern: "/status",
      name: "getStatus",
      summary: "The cluster, its nodes and its shards",
      answer: schemas.status,
      run: async () => json(await operator.status()),
    },
    {
      method: "GET",
      pattern: "/limits",
      name: "getLimits",
      summary: "Every limit in force",
      answer: schemas.limits,
      run: async () => json(limits),
    },
    {
      method: "GET",
      pattern: "/checkup",
      name: "getCheckup",
      summary: "What every node measures of itself: engine, clocks, connections, certificates",
      answer: schemas.listOf(schemas.checkup),
      run: async () => found(await operator.checkup()),
    },
    ...entityRoutes(ports),
    {
      method: "GET",
      pattern: "/parked",
      name: "listParked",
      summary: "Commands parked after crashing the process too often",
      answer: schemas.listOf(schemas.parked),
      run: async () => found(await operator.parked()),
    },
    {
      method: "POST",
      pattern: "/parked/:id/release",
      name: "releaseParked",
      summary: "Let a parked command run again",
      run: async ({ segments }) => {
        await operator.release(decodeSegment(segments[1] ?? ""));
        return { status: 204 };
      },
    },
    ...taskRoutes(operator),
    ...queueRoutes(operator),
    ...topicRoutes(ports),
    ...nodeRoutes(operator),
    ...shardRoutes(ports),
    ...keyRoutes(ports),
    ...endpointRoutes(ports),
    ...scheduleRoutes(ports),
  ];
}

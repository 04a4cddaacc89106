// The admin API as data: each address with what it needs, what it answers and how it is carried out. The OpenAPI document is made from
// the same list, so neither can forget the other.

import { SheafError, type Issue } from "../base/index.ts";
import type { EndpointOptions } from "../control/index.ts";
import { decodeKey, decodeSegment, json, queryParameter, readJson, type Method } from "../http/index.ts";
import type { Resource } from "../security/index.ts";
import type { Operator } from "./operator.ts";
import { type AdminAsk, type AdminRoute, found, limitOf, pageSize, type Ports } from "./route.ts";
import * as schemas from "./schemas.ts";
import { queueRoutes, redriveRoutes, scheduleRoutes, taskRoutes, topicRoutes } from "./work-routes.ts";

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
    ...redriveRoutes(ports),
    ...queueRoutes(operator),
    ...topicRoutes(ports),
    ...nodeRoutes(operator),
    ...shardRoutes(ports),
    ...keyRoutes(ports),
    ...endpointRoutes(ports),
    ...scheduleRoutes(ports),
  ];
}

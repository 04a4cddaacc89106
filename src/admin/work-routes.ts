// Routes of what is left to be done: messages and timers, queues, topics and their groups, schedules.

import { SheafError, type Issue } from "../base/index.ts";
import { decodeKey, decodeSegment, json, queryParameter, readJson, type Incoming, type Node } from "../http/index.ts";
import type { GroupAsk, LetterFilter, Operator, RedriveAsk, SeekTo } from "./operator.ts";
import { type AdminAsk, type AdminRoute, found, limitOf, pageSize, type Ports } from "./route.ts";
import * as schemas from "./schemas.ts";

export function taskRoutes(operator: Operator): AdminRoute[] {
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

/** Dead letters that are tried again together. */
export function redriveRoutes({ operator, limits }: Ports): AdminRoute[] {
  const some: Readonly<Record<string, Node>> = {
    entity: { type: "string", description: "Only what is for entities of this type, or of this queue." },
    cause: { type: "string", description: "Only those with this in their cause." },
  };
  const filterOf = ({ request: { url } }: AdminAsk): LetterFilter => ({
    entity: queryParameter(url, "entity"),
    cause: queryParameter(url, "cause"),
  });
  const answer = schemas.listOf(schemas.redrive);
  return [
    {
      method: "POST",
      pattern: "/redrives",
      name: "startRedrive",
      summary: "Have dead letters tried again, so many in a second; it goes on by itself, whatever ends meanwhile",
      body: schemas.redriveAsk,
      answer,
      run: async ({ request }) => {
        const { filter, ask } = redriveOf(await readJson(request, limits));
        return found(await operator.redriveMany(filter, ask));
      },
    },
    {
      method: "GET",
      pattern: "/redrives",
      name: "listRedrives",
      summary: "Dead letters that are to be tried again, by what they are for and their cause",
      query: some,
      answer,
      run: async (ask) => found(await operator.redriveMany(filterOf(ask), { act: "told" })),
    },
    {
      method: "DELETE",
      pattern: "/redrives",
      name: "cancelRedrive",
      summary: "Leave dead letters as they are that were to be tried again; those that were tried stay so",
      query: some,
      answer,
      run: async (ask) => found(await operator.redriveMany(filterOf(ask), { act: "cancel" })),
    },
  ];
}

function redriveOf(body: unknown): { readonly filter: LetterFilter; readonly ask: RedriveAsk } {
  const { entity, cause, perSecond, dryRun, ...rest } = (typeof body === "object" ? (body ?? {}) : {}) as Readonly<
    Record<string, unknown>
  >;
  const issues: Issue[] = Object.keys(rest).map((field) => ({ path: [field], message: "unknown field" }));
  for (const [name, value] of Object.entries({ entity, cause }))
    if (value !== undefined && typeof value !== "string") issues.push({ path: [name], message: "a text" });
  if (perSecond !== undefined && !(typeof perSecond === "number" && perSecond > 0 && perSecond < Infinity))
    issues.push({ path: ["perSecond"], message: "a number above 0" });
  if (dryRun !== undefined && typeof dryRun !== "boolean") issues.push({ path: ["dryRun"], message: "true or false" });
  if (issues.length > 0)
    throw new SheafError("BAD_INPUT", "the body does not say what is to be tried again", { issues });
  return {
    filter: { entity: entity as string | undefined, cause: cause as string | undefined },
    ask: dryRun === true ? { act: "tell" } : { act: "start", perSecond: (perSecond as number | undefined) ?? null },
  };
}

export function queueRoutes(operator: Operator): AdminRoute[] {
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
    ...(["pause", "resume"] as const).map((act) => ({
      method: "POST" as const,
      pattern: `/queues/:queue/${act}`,
      name: `${act}Queue`,
      summary:
        act === "pause"
          ? "Begin no job of a queue until it is resumed; those that have begun go on, and more may be added"
          : "Begin the jobs of a queue again",
      answer: schemas.listOf(schemas.queueChange),
      run: async ({ segments }: AdminAsk) =>
        found(await operator.changeQueue(decodeSegment(segments[1] ?? ""), { act })),
    })),
    {
      method: "DELETE",
      pattern: "/queues/:queue/jobs",
      name: "purgeQueue",
      summary: "Drop the jobs of a queue that nobody has, dead letters aside; tells how many they are",
      query: { dryRun: { type: "boolean", default: false } },
      answer: schemas.listOf(schemas.queueChange),
      run: async ({ request, segments }) => {
        const dryRun = queryParameter(request.url, "dryRun") === "true";
        return found(await operator.changeQueue(decodeSegment(segments[1] ?? ""), { act: "purge", dryRun }));
      },
    },
  ];
}

export function topicRoutes({ operator, limits }: Ports): AdminRoute[] {
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

export function scheduleRoutes({ schedules, limits }: Ports): AdminRoute[] {
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

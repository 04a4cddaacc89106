// Queues over HTTP: jobs are added, asked about, and by consumers taken, acknowledged, rejected, extended and told of.

import { nearest, SheafError } from "../base/index.ts";
import { type Answer, type Ask, jsonText, type Plan, queryParameter, readJson, wrongMethod } from "../http/index.ts";
import { keyOfJob, lineOfJob, queueType, type QueueShape } from "../model/index.ts";
import type { Reply, Target } from "../rpc/index.ts";
import type { Principal } from "../security/index.ts";
import { HttpCall, type Outlet } from "./exchange.ts";

/** Time that a call needs beside what it waits for. */
const marginMs = 250;
const endings = ["ack", "reject", "extend", "progress"] as const;

/** The queue of that name. Throws UNKNOWN_TARGET with names that exist. */
export function queueOf(queues: readonly QueueShape[], name: string): QueueShape {
  const found = queues.find((queue) => queue.name === name);
  if (found) return found;
  const near = nearest(
    name,
    queues.map((queue) => queue.name),
  );
  throw new SheafError("UNKNOWN_TARGET", `there is no queue "${name.slice(0, 80)}"`, {
    hint: near.length === 0 ? "There are no queues." : `There is ${near.join(", ")}.`,
  });
}

type Carried = { readonly target: Target; readonly input: unknown };

const planOf = (
  target: Target & { kind: "command" | "query" },
  run: (principal: Principal) => Promise<Answer>,
): Plan => ({ action: target.kind, resource: { ...target, kind: "entity" }, run });

/** Asks as `make` says, of what the request brings. */
async function asked(
  { request }: Ask,
  principal: Principal,
  outlet: Outlet,
  make: (body: unknown, left: number) => Carried,
): Promise<Reply> {
  const body = request.method === "POST" ? await readJson(request, outlet.limits) : undefined;
  const first: Target = { kind: "command", entity: "", key: "", name: "" };
  const left = new HttpCall(request, first, principal, outlet).deadline - outlet.host.clock.tick() - marginMs;
  const { target, input } = make(body, Math.max(0, Math.floor(left)));
  const call = new HttpCall(request, target, principal, outlet);
  call.input = input;
  return outlet.within(outlet.calls.call(call), call.deadline);
}

const json = (value: unknown, { replayed, session }: Reply): Answer => ({
  status: 200,
  headers: {
    "content-type": "application/json",
    ...(replayed === true && { "idempotent-replayed": "true" }),
    ...(session !== undefined && { "sheaf-session": session }),
  },
  body: jsonText(value),
});
const nothing = ({ session }: Reply): Answer => ({
  status: 204,
  headers: session === undefined ? {} : { "sheaf-session": session },
});

/** `POST /queues/{queue}?delayMs=&priority=`: the body is the job's input, an Idempotency-Key its id. */
export function addPlan(ask: Ask, queue: QueueShape, outlet: Outlet): Plan {
  const entity = queueType(queue.name);
  const { url } = ask.request;
  const [delayMs, priority] = [whole(url, "delayMs"), whole(url, "priority")];
  const id = ask.request.header("idempotency-key");
  return planOf({ kind: "command", entity, key: "", name: "add" }, async (principal) => {
    const reply = await asked(ask, principal, outlet, (body) => ({
      target: { kind: "command", entity, key: keyOfJob(queue, body) ?? id ?? "", name: "add" },
      input: {
        input: body,
        ...(id !== undefined && { id }),
        ...(delayMs !== undefined && { delayMs }),
        ...(priority !== undefined && { priority }),
      },
    }));
    return json({ id: reply.output }, reply);
  });
}

/** `POST /queues/{queue}/take?max=&waitMs=` */
export function takePlan(ask: Ask, queue: QueueShape, outlet: Outlet): Plan {
  const target = { kind: "command", entity: queueType(queue.name), key: "", name: "take" } as const;
  const { url } = ask.request;
  const [max = 1, waitMs = 0] = [whole(url, "max"), whole(url, "waitMs")];
  return planOf(target, async (principal) => {
    const make = (_: unknown, left: number): Carried => ({ target, input: { max, waitMs: Math.min(waitMs, left) } });
    const reply = await asked(ask, principal, outlet, make);
    return json({ jobs: reply.output }, reply);
  });
}

/** `GET /queues/{queue}/jobs/{id}?waitMs=` */
export function resultPlan(ask: Ask, queue: QueueShape, id: string, outlet: Outlet): Plan {
  const target = { kind: "query", entity: queueType(queue.name), key: lineOfJob(id), name: "result" } as const;
  const waitMs = whole(ask.request.url, "waitMs") ?? 0;
  return planOf(target, async (principal) => {
    const make = (_: unknown, left: number): Carried => ({ target, input: { id, waitMs: Math.min(waitMs, left) } });
    const reply = await asked(ask, principal, outlet, make);
    return json(reply.output, reply);
  });
}

/** `POST /queues/{queue}/jobs/{id}/ack|reject|extend|progress?attempt=`: the body is the result, or the progress; or says why, and for
 *  how long. */
export function leasePlan(ask: Ask, queue: QueueShape, id: string, ending: string, outlet: Outlet): Plan {
  const name = endings.find((one) => one === ending);
  if (name === undefined)
    throw new SheafError("UNKNOWN_TARGET", `a job has no "${ending.slice(0, 80)}"`, {
      hint: `There is ${endings.join(", ")}.`,
    });
  if (ask.request.method !== "POST") throw wrongMethod(["POST", "OPTIONS"]);
  const target = { kind: "command", entity: queueType(queue.name), key: lineOfJob(id), name } as const;
  const attempt = whole(ask.request.url, "attempt");
  return planOf(target, async (principal) => {
    const make = (body: unknown): Carried => ({ target, input: { ...told(name, body), id, attempt } });
    return nothing(await asked(ask, principal, outlet, make));
  });
}

function told(name: (typeof endings)[number], body: unknown): object {
  if (name === "ack") return body === undefined ? {} : { output: body };
  return name === "progress" ? { value: body } : (body ?? {});
}

/** Throws BAD_INPUT for a parameter of the address that is no whole number. */
function whole(url: string, name: string): number | undefined {
  const text = queryParameter(url, name);
  if (text === undefined) return undefined;
  if (/^-?\d{1,15}$/.test(text)) return Number(text);
  throw new SheafError("BAD_INPUT", `${name} is a whole number`);
}

// Publishing over HTTP: one event, or several at once, as JSON or as CloudEvents.
//
// P1. Nothing of a request is published unless all of it fits the topic.
// P2. A request that is repeated under its key publishes each of its events once: the n-th has an operation of its own.

import { amended, asSheafError, SheafError, toHex, utf8 } from "../base/index.ts";
import type { Answer, Ask } from "../http/index.ts";
import { mediaType, readJson } from "../http/index.ts";
import { type CompiledTopic, topicKey, topicOnce, topicType, type TopicShape } from "../model/index.ts";
import type { Operation, Reply } from "../rpc/index.ts";
import type { Principal } from "../security/index.ts";
import { answerOf, HttpCall, type Outlet } from "./exchange.ts";

const single = "application/cloudevents+json";
const batch = "application/cloudevents-batch+json";

/** An event as it came; `op` where it brought an id of its own. */
type Given = { readonly value: unknown; readonly op?: string };

/** Publishes what a request brings. 204 once all of it is durable. `join` makes one session token of several. */
export async function publish(
  { request }: Ask,
  topic: TopicShape,
  principal: Principal,
  outlet: Outlet,
  join: (tokens: readonly string[]) => string,
): Promise<Answer> {
  const { limits } = outlet;
  if (request.header("if-match") !== undefined) throw new SheafError("MALFORMED", "If-Match applies to commands only");
  const target = { kind: "command", entity: topicType, key: topicKey(topic.name, ""), name: "publish" } as const;
  const whole = new HttpCall(request, target, principal, outlet);
  const type = mediaType(request.header("content-type") ?? "");
  const body = await readJson(request, limits, [single, batch]);
  if (body === undefined) throw new SheafError("MALFORMED", "the body holds no event");
  const isList = type === batch || (type !== single && Array.isArray(body));
  if (isList && !Array.isArray(body)) throw new SheafError("MALFORMED", "a batch of CloudEvents is a JSON array");
  const items = isList ? (body as readonly unknown[]) : [body];
  if (items.length > limits.maxEventsPerRequest)
    throw new SheafError("TOO_LARGE", `one request publishes at most ${limits.maxEventsPerRequest} events`);
  const compiled = topicOnce(topic);
  const told = { list: isList, count: items.length };
  const calls = items.map((item, index) => {
    const { value, op } = at(index, told, () =>
      type === single || type === batch ? enveloped(item, outlet) : { value: item },
    );
    const call = new HttpCall(
      request,
      at(index, told, () => targetOf(compiled, value)),
      principal,
      outlet,
    );
    call.op = opOf(whole.op, isList ? index : undefined, op, limits.maxOperationIdLength);
    call.input = value;
    return call;
  });
  const ended = await Promise.allSettled(calls.map((call) => outlet.within(outlet.calls.call(call), call.deadline)));
  const failed = ended.findIndex(({ status }) => status === "rejected");
  const replies = ended.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  if (failed >= 0) throw failure((ended[failed] as PromiseRejectedResult).reason, failed, told, replies.length);
  return answerOf(together(replies, join));
}

type Told = { readonly list: boolean; readonly count: number };

/** What goes wrong with one event of several says with which. */
function at<T>(index: number, told: Told, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw told.list ? placed(asSheafError(error), index, told) : error;
  }
}

function placed(error: SheafError, index: number, { count }: Told): SheafError {
  const { code, message, retry, outcome, retryAfterMs, hint, session, issues = [{ path: [], message }] } = error;
  const found = issues.map((issue) => ({ ...issue, path: [index, ...issue.path] }));
  const same = { retry, outcome, retryAfterMs, hint, session, cause: error };
  return new SheafError(code, `event ${index} of ${count}: ${message}`, { ...same, issues: found });
}

/** Of what was published in part nobody can say that it was not. */
function failure(reason: unknown, index: number, told: Told, published: number): SheafError {
  const error = asSheafError(reason);
  if (!told.list) return error;
  const said = placed(error, index, told);
  if (published === 0 || error.outcome !== "not-applied") return said;
  return amended(said, { outcome: "unknown", hint: "Publish all again with the same Idempotency-Key." });
}

const targetOf = (topic: CompiledTopic, value: unknown): HttpCall["target"] => ({
  kind: "command",
  entity: topicType,
  key: topicKey(topic.contract.name, topic.key(topic.event(value))),
  name: "publish",
});

/** The request's key counts its events; without one each goes by its own id. */
function opOf(
  whole: Operation | undefined,
  index: number | undefined,
  own: string | undefined,
  most: number,
): Operation | undefined {
  const id = whole === undefined ? own : index === undefined ? whole.id : `${whole.id}/${index}`;
  if (id === undefined) return undefined;
  if (id.length > most)
    throw new SheafError("MALFORMED", `Idempotency-Key and "/${index}" are over ${most} characters`);
  return { id, issuedAt: undefined };
}

/** The event in a CloudEvent (v1.0, JSON format), named by its source and id. Throws BAD_INPUT for what is none. */
function enveloped(item: unknown, { host: { crypto } }: Outlet): Given {
  const event = (typeof item === "object" && item !== null ? item : {}) as { readonly [field: string]: unknown };
  const { specversion, id, source, type } = event;
  const wrong = Object.entries({ specversion, id, source, type }).find(
    ([, text]) => typeof text !== "string" || text === "",
  );
  if (wrong !== undefined) throw bad(wrong[0], "a CloudEvent has this, a text");
  if (specversion !== "1.0") throw bad("specversion", "only 1.0 is taken");
  if (Object.hasOwn(event, "data_base64")) throw bad("data_base64", "an event is JSON, in data");
  const op = `ce-${toHex(crypto.sha256(utf8(JSON.stringify([source, id])))).slice(0, 40)}`;
  return { value: event["data"], op };
}

const bad = (field: string, message: string): SheafError =>
  new SheafError("BAD_INPUT", `this is no CloudEvent: ${field}`, { issues: [{ path: [field], message }] });

/** One reply for all. */
function together(replies: readonly Reply[], join: (tokens: readonly string[]) => string): Reply {
  const sessions = [...new Set(replies.flatMap(({ session }) => (session === undefined ? [] : [session])))];
  return {
    output: undefined,
    session: sessions.length > 1 ? join(sessions) : sessions[0],
    replayed: replies.length > 0 && replies.every(({ replayed }) => replayed === true),
  };
}

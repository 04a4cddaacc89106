// What the OpenAPI document says of topics.

import type { Node } from "../http/index.ts";
import type { TopicShape } from "../model/index.ts";
import type { QueueTools } from "./openapi-queues.ts";

export type TopicTools = QueueTools & { readonly mostEvents: number };

const text = (name: string, where: "query" | "header", description: string): Node => ({
  name,
  in: where,
  description,
  schema: { type: "string" },
});
const group: Node = {
  name: "group",
  in: "path",
  required: true,
  description: "The group's name.",
  schema: { type: "string", pattern: "^[A-Za-z][A-Za-z0-9_-]{0,63}$" },
};
const begins = [
  text("from", "query", "Where to begin: `beginning` (the default), `now`, or a time by ISO 8601."),
  text(
    "group",
    "query",
    "As a consumer of this group: all that there are share the topic, and begin where the group is.",
  ),
  text("Last-Event-ID", "header", "Goes on behind this event: the `id` of one of the stream. It moves no group."),
];

/** The paths of one topic: those of what an entity emits are only read. */
export function topicPaths(topic: TopicShape, isPublished: boolean, tools: TopicTools): Node {
  const { name, event } = topic;
  const { media, parameter, problems } = tools;
  const given = media(`${name}.event`, event.schema, "input");
  const schema = given["schema"] as Node;
  const several = { anyOf: [schema, { type: "array", items: schema, maxItems: tools.mostEvents }] };
  const of = { tags: [name], "x-sheaf-kind": "topic" };
  const publish = {
    operationId: `${name}.publish`,
    summary: "publish",
    description:
      "One event, or a list of events. Answered once all of it is durable; nothing is published unless all of it fits.",
    ...of,
    parameters: ["IdempotencyKey", "DeadlineMs", "Session", "Traceparent"].map(parameter),
    requestBody: { required: true, content: { "application/json": { ...given, schema: several } } },
    responses: { "204": { description: "Published." }, ...problems },
  };
  const events = {
    operationId: `${name}.events`,
    summary: "events",
    description:
      "A stream that does not end. The data of each message is a CloudEvent in JSON; its id says where to go on.",
    ...of,
    parameters: begins,
    responses: {
      "200": { description: "The events.", content: { "text/event-stream": { schema: { type: "string" } } } },
      ...problems,
    },
  };
  const done = {
    operationId: `${name}.done`,
    summary: "done",
    description: "Moves a group forwards: all up to an event, of what came with it, is done.",
    ...of,
    parameters: [group],
    requestBody: {
      required: true,
      content: {
        "application/json": {
          schema: { type: "object", required: ["id"], properties: { id: { type: "string" } } },
        },
      },
    },
    responses: { "204": { description: "Moved." }, ...problems },
  };
  return {
    ...(isPublished && { [`/topics/${name}`]: { post: publish } }),
    [`/topics/${name}/events`]: { get: events },
    [`/topics/${name}/groups/{group}`]: { post: done },
  };
}

// What the OpenAPI document says of queues.

import type { Node } from "../http/index.ts";
import type { QueueShape, Schema } from "../model/index.ts";

export type QueueTools = {
  /** A media type object of a schema, which becomes a component. */
  readonly media: (name: string, schema: Schema, side: "input" | "output") => Node;
  readonly parameter: (name: string) => Node;
  /** The refusals of commands. */
  readonly problems: Node;
};

const whole = (name: string, description: string, minimum?: number): Node => ({
  name,
  in: "query",
  description,
  schema: { type: "integer", ...(minimum !== undefined && { minimum }) },
});
const attempt: Node = { ...whole("attempt", "Of the lease, as it was taken.", 1), required: true };
const jobId: Node = {
  name: "job",
  in: "path",
  required: true,
  description: "The job's id, percent-encoded.",
  schema: { type: "string" },
};
const object = (properties: Node): Node => ({ type: "object", required: Object.keys(properties), properties });
const answer = (description: string, schema: Node): Node => ({
  "200": { description, content: { "application/json": { schema } } },
});
const done: Node = { "204": { description: "Done." } };

/** Where a job is, with a result of that schema. */
const stateOf = (result: Node): Node => ({
  ...object({ state: { enum: ["waiting", "running", "done", "dead"] } }),
  properties: {
    state: { enum: ["waiting", "running", "done", "dead"] },
    attempts: { type: "integer" },
    due: { type: "integer" },
    cause: { type: "string" },
    progress: {},
    output: result,
  },
});
const rejection: Node = {
  type: "object",
  required: ["cause"],
  properties: {
    cause: { type: "string" },
    delayMs: { type: "integer", minimum: 0 },
    final: { type: "boolean", description: "A dead letter at once." },
  },
};

/** The paths of one queue. */
export function queuePaths({ name, input, output }: QueueShape, { media, parameter, problems }: QueueTools): Node {
  const given = media(`${name}.input`, input, "input");
  const result = output ? (media(`${name}.output`, output, "output")["schema"] as Node) : {};
  const usual = ["DeadlineMs", "Session", "Traceparent"].map(parameter);
  const about = (summary: string): Node => ({
    operationId: `${name}.${summary}`,
    summary,
    tags: [name],
    "x-sheaf-kind": "queue",
  });
  const ended = (summary: string, schema: Node, required = true): Node => ({
    post: {
      ...about(summary),
      parameters: [attempt, ...usual],
      requestBody: { required, content: { "application/json": { schema } } },
      responses: { ...done, ...problems },
    },
  });
  const leased = object({
    id: { type: "string" },
    attempt: { type: "integer" },
    due: { type: "integer", description: "When the lease ends, milliseconds since the Unix epoch." },
    input: given["schema"],
  });
  const state = stateOf(result);
  const at = `/queues/${name}`;
  const job = `${at}/jobs/{job}`;
  const keyed = { parameters: [jobId] };
  return {
    [at]: {
      post: {
        ...about("add"),
        parameters: [
          parameter("IdempotencyKey"),
          whole("delayMs", "Not before so long from now.", 0),
          whole("priority", "Of jobs that are due those with a higher one come first; -100 to 100."),
          ...usual,
        ],
        requestBody: { required: true, content: { "application/json": given } },
        responses: { ...answer("The job is durable.", object({ id: { type: "string" } })), ...problems },
      },
    },
    [`${at}/take`]: {
      post: {
        ...about("take"),
        parameters: [
          whole("max", "Jobs, at most; 1 unless given.", 1),
          whole("waitMs", "How long to wait for the first, within the deadline.", 0),
          ...usual,
        ],
        responses: {
          ...answer("What was taken.", object({ jobs: { type: "array", items: leased } })),
          ...problems,
        },
      },
    },
    [job]: {
      ...keyed,
      get: {
        ...about("result"),
        parameters: [whole("waitMs", "How long to wait until it is done or dead, within the deadline.", 0), ...usual],
        responses: { ...answer("Where the job is.", state), ...problems },
      },
    },
    [`${job}/ack`]: { ...keyed, ...ended("ack", result, output !== undefined) },
    [`${job}/reject`]: {
      ...keyed,
      ...ended("reject", rejection),
    },
    [`${job}/extend`]: { ...keyed, ...ended("extend", object({ ms: { type: "integer", minimum: 1 } })) },
    [`${job}/progress`]: { ...keyed, ...ended("progress", {}) },
  };
}

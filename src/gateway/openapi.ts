// The OpenAPI 3.1 document of an application, made from its contract's schemas. Every schema is a component, so that the document
// can be read by a person and turned into types by a generator.

import { defaultLimits, type ErrorCode } from "../base/index.ts";
import {
  bearerScheme,
  openApiVersion,
  problemRefs,
  problemResponses,
  problemSchema,
  problemType,
  retryAfterHeader,
  type Node,
} from "../http/index.ts";
import { jsonSchema, type AppContractShape, type CommandShape, type QueryShape, type Schema } from "../model/index.ts";
import { directoryOf } from "./directory.ts";
import { exampleOf } from "./example.ts";
import { queuePaths } from "./openapi-queues.ts";
import { topicPaths } from "./openapi-topics.ts";

const every: readonly ErrorCode[] = [
  "BAD_INPUT",
  "MALFORMED",
  "BAD_SESSION",
  "UNAUTHENTICATED",
  "FORBIDDEN",
  "UNKNOWN_TARGET",
  "REENTRANT",
  "TOO_LARGE",
  "UNSUPPORTED_MEDIA",
  "OVERLOADED",
  "CANCELLED",
  "HANDLER_FAILED",
  "BAD_OUTPUT",
  "INTERNAL",
  "NOT_READY",
  "STOPPING",
  "ENGINE_UNAVAILABLE",
  "DEADLINE",
  "OUTCOME_UNKNOWN",
];
const ofCommands: readonly ErrorCode[] = [
  ...every,
  "PRECONDITION_FAILED",
  "IDEMPOTENCY_MISMATCH",
  "TOO_OLD",
  "POISONED",
  "IDEMPOTENCY_FULL",
  "BAD_STATE",
  "ENGINE_FULL",
];
const ofQueries: readonly ErrorCode[] = [...every, "DATA_ROLLED_BACK"];

const parameter = (name: string): Node => ({ $ref: `#/components/parameters/${name}` });
const header = (name: string): Node => ({ $ref: `#/components/headers/${name}` });

const parameters: Node = {
  Key: {
    name: "key",
    in: "path",
    required: true,
    description: "The entity's key, percent-encoded once: 1 to 512 bytes of UTF-8 without control characters.",
    schema: { type: "string", minLength: 1, maxLength: 512 },
    example: "acc-7",
  },
  IdempotencyKey: {
    name: "Idempotency-Key",
    in: "header",
    description: "Repeats of a command under the same key take effect once and get the first answer.",
    schema: { type: "string", minLength: 1, maxLength: 256 },
  },
  IfMatch: {
    name: "If-Match",
    in: "header",
    description: "Run only if the entity is at this version, else 412.",
    schema: { type: "string", pattern: '^"v[0-9]+"$' },
    example: '"v42"',
  },
  Consistency: {
    name: "Sheaf-Consistency",
    in: "header",
    description: "Overrides the query's own level.",
    schema: { type: "string", enum: ["strong", "causal", "eventual"] },
  },
  DeadlineMs: {
    name: "Sheaf-Deadline-Ms",
    in: "header",
    description: "How long the caller waits, milliseconds; then 504.",
    schema: { type: "integer", minimum: 1 },
  },
  Session: {
    name: "Sheaf-Session",
    in: "header",
    description:
      "The session token of an earlier answer, or several with commas between them: causal reads see at least what these saw.",
    schema: { type: "string" },
  },
  Traceparent: { name: "traceparent", in: "header", description: "W3C trace context.", schema: { type: "string" } },
};

const headers: Node = {
  ETag: { description: "The entity's version.", schema: { type: "string" }, example: '"v42"' },
  Session: { description: "Session token to send with the next call.", schema: { type: "string" } },
  StaleMs: { description: "How old the answering copy may be, milliseconds.", schema: { type: "integer", minimum: 0 } },
  Replayed: {
    description: "`true` when this is the answer of an earlier call under the same Idempotency-Key.",
    schema: { type: "string", const: "true" },
  },
  RequestId: { description: "Names this request in logs.", schema: { type: "string" } },
  RetryAfter: retryAfterHeader,
};

/** Collects schemas as components while operations refer to them. */
type Shelf = { readonly schemas: Record<string, unknown> };

/** Puts a schema on the shelf and returns a media type object that refers to it. */
function media(shelf: Shelf, name: string, schema: Schema, side: "input" | "output"): Node {
  const found = jsonSchema(schema, side, `#/components/schemas/${name}`);
  shelf.schemas[name] = found;
  const example = exampleOf(found);
  return { schema: { $ref: `#/components/schemas/${name}` }, ...(example !== null && { example }) };
}

/** The one answer with status 422 that no contract declares. */
const mismatch: Node = { type: "object", properties: { code: { const: "IDEMPOTENCY_MISMATCH" } } };

function declared(shelf: Shelf, name: string, errors: Readonly<Record<string, Schema>>): Node {
  const shapes = Object.entries(errors).map(([error, schema]) => {
    const { schema: data } = media(shelf, `${name}.error.${error}`, schema, "output");
    return { type: "object", required: ["error", "data"], properties: { error: { const: error }, data } };
  });
  return {
    description: `The handler refused: ${Object.keys(errors).join(", ")}.`,
    content: {
      [problemType]: {
        schema: { allOf: [{ $ref: "#/components/schemas/Problem" }, { anyOf: [...shapes, mismatch] }] },
      },
    },
  };
}

function responses(shelf: Shelf, name: string, shape: CommandShape, codes: readonly ErrorCode[], sent: Node): Node {
  const all = { ...sent, "Sheaf-Session": header("Session"), "X-Request-Id": header("RequestId") };
  const good =
    shape.output === undefined
      ? { "204": { description: "Done; there is no output.", headers: all } }
      : {
          "200": {
            description: "The output.",
            headers: all,
            content: { "application/json": media(shelf, `${name}.output`, shape.output, "output") },
          },
        };
  const hasErrors = shape.errors !== undefined && Object.keys(shape.errors).length > 0;
  return { ...good, ...problemRefs(codes), ...(hasErrors && { "422": declared(shelf, name, shape.errors) }) };
}

/** Whether the schema also takes no input at all. */
function fitsNothing(schema: Schema): boolean {
  const found = schema["~standard"].validate(undefined);
  return !(found instanceof Promise) && found.issues === undefined;
}

const body = (shelf: Shelf, name: string, input: Schema | undefined): Node =>
  input === undefined
    ? {}
    : {
        requestBody: {
          required: !fitsNothing(input),
          content: { "application/json": media(shelf, `${name}.input`, input, "input") },
        },
      };

function commandOperation(shelf: Shelf, tag: string, name: string, shape: CommandShape): Node {
  const operationId = `${tag}.${name}`;
  return {
    operationId,
    summary: name,
    tags: [tag],
    "x-sheaf-kind": "command",
    parameters: ["IdempotencyKey", "IfMatch", "DeadlineMs", "Session", "Traceparent"].map(parameter),
    ...body(shelf, operationId, shape.input),
    responses: responses(shelf, operationId, shape, ofCommands, {
      ETag: header("ETag"),
      "Idempotent-Replayed": header("Replayed"),
    }),
  };
}

function queryOperations(shelf: Shelf, tag: string, name: string, shape: QueryShape): Node {
  const id = `${tag}.${name}`;
  const shared = {
    summary: name,
    tags: [tag],
    "x-sheaf-kind": "query",
    "x-sheaf-consistency": shape.consistency ?? "strong",
    responses: responses(shelf, id, shape, ofQueries, { ETag: header("ETag"), "Sheaf-Stale-Ms": header("StaleMs") }),
  };
  const asked = ["Consistency", "DeadlineMs", "Session", "Traceparent"].map(parameter);
  const input =
    shape.input === undefined
      ? []
      : [
          {
            name: "input",
            in: "query",
            description: "The input, as JSON.",
            content: { "application/json": media(shelf, `${id}.input`, shape.input, "input") },
          },
        ];
  return {
    get: { operationId: id, ...shared, parameters: [...input, ...asked] },
    post: { operationId: `${id}.post`, ...shared, parameters: asked, ...body(shelf, id, shape.input) },
  };
}

function procedureOperation(shelf: Shelf, tag: string, name: string, shape: CommandShape): Node {
  const operationId = `${tag}.${name}`;
  return {
    operationId,
    summary: name,
    tags: [tag],
    "x-sheaf-kind": "procedure",
    parameters: ["IdempotencyKey", "DeadlineMs", "Session", "Traceparent"].map(parameter),
    ...body(shelf, operationId, shape.input),
    responses: responses(shelf, operationId, shape, every, {}),
  };
}

/** The document. Its schemas describe JSON; a schema that cannot be expressed is `{}`. */
export function openApiOf(contract: AppContractShape): Node {
  const { entities, services, topics, emitted } = directoryOf(contract);
  const shelf: Shelf = { schemas: { Problem: problemSchema } };
  const paths: Record<string, unknown> = {};
  for (const entity of entities.values()) {
    const at = (member: string): string => `/entities/${entity.name}/{key}/${member}`;
    const keyed = { parameters: [parameter("Key")] };
    for (const [name, shape] of Object.entries(entity.commands)) {
      paths[at(name)] = { ...keyed, post: commandOperation(shelf, entity.name, name, shape) };
    }
    for (const [name, shape] of Object.entries(entity.queries)) {
      paths[at(name)] = { ...keyed, ...queryOperations(shelf, entity.name, name, shape) };
    }
  }
  for (const service of services.values()) {
    for (const [name, shape] of Object.entries(service.procedures)) {
      paths[`/services/${service.name}/${name}`] = { post: procedureOperation(shelf, service.name, name, shape) };
    }
  }
  const tools = {
    media: (name: string, schema: Schema, side: "input" | "output") => media(shelf, name, schema, side),
    parameter,
    problems: problemRefs(ofCommands),
    mostEvents: defaultLimits.maxEventsPerRequest,
  };
  const queues = contract.queues ?? [];
  for (const queue of queues) Object.assign(paths, queuePaths(queue, tools));
  for (const topic of topics.values()) Object.assign(paths, topicPaths(topic, true, tools));
  for (const topic of emitted.values()) Object.assign(paths, topicPaths(topic, false, tools));
  return {
    openapi: openApiVersion,
    info: { title: contract.name, version: "1", summary: `The HTTP interface of ${contract.name}.` },
    servers: [{ url: "/" }],
    security: [{ apiKey: [] }],
    tags: [
      ...[...entities.keys()].map((name) => ({ name, "x-sheaf-kind": "entity" })),
      ...[...services.keys()].map((name) => ({ name, "x-sheaf-kind": "service" })),
      ...queues.map(({ name }) => ({ name, "x-sheaf-kind": "queue" })),
      ...[...topics.keys(), ...emitted.keys()].map((name) => ({ name, "x-sheaf-kind": "topic" })),
    ],
    paths,
    components: {
      schemas: shelf.schemas,
      parameters,
      headers,
      responses: problemResponses([...new Set([...ofCommands, ...ofQueries])]),
      securitySchemes: { apiKey: bearerScheme("An API key, `sk_…`. Not asked for in development.") },
    },
  };
}

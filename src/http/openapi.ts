// The parts of an OpenAPI 3.1 document that every listener shares: how errors look, how callers identify themselves.

import { catalogue, type ErrorCode, type ErrorKind } from "../base/index.ts";
import { problemType } from "./problem.ts";

/** A node of an OpenAPI document or JSON Schema. */
export type Node = { readonly [name: string]: unknown };

export const openApiVersion = "3.1.1";

const codes = Object.keys(catalogue) as ErrorCode[];
const httpOf = (code: ErrorCode): number => catalogue[code].http;

export const problemSchema: Node = {
  type: "object",
  description: "RFC 9457 problem details.",
  required: ["type", "title", "status", "detail", "instance", "code", "retry", "outcome"],
  properties: {
    type: { type: "string", format: "uri", examples: ["urn:sheaf:error:BAD_INPUT"] },
    title: { type: "string" },
    status: { type: "integer", minimum: 400, maximum: 599 },
    detail: { type: "string" },
    instance: { type: "string", format: "uri", description: "This occurrence; ends in the X-Request-Id." },
    code: { type: "string", enum: codes },
    retry: {
      type: "string",
      enum: ["now", "later", "never"],
      description: "Whether, and when, the same call may succeed.",
    },
    outcome: {
      type: "string",
      enum: ["applied", "not-applied", "unknown"],
      description: "Whether the call took effect.",
    },
    hint: { type: "string" },
    error: { type: "string", description: "Declared errors: the name that the contract gives." },
    data: { description: "Declared errors: the value that the contract gives." },
    errors: {
      type: "array",
      description: "Bad input: each problem.",
      items: {
        type: "object",
        required: ["pointer", "detail"],
        properties: { pointer: { type: "string", format: "json-pointer" }, detail: { type: "string" } },
      },
    },
    retryAfterMs: { type: "number", minimum: 0 },
  },
};

const exampleOf = (code: ErrorCode): Node => {
  const kind: ErrorKind = catalogue[code];
  return {
    type: `urn:sheaf:error:${code}`,
    title: kind.says,
    status: kind.http,
    detail: kind.says,
    instance: "urn:sheaf:request:0190e2a8-7a52-7c31-9d8e-3f1c5b7a9e10",
    code,
    retry: kind.retry,
    outcome: kind.outcome,
  };
};

/** One response per status of the given codes, as components: `Problem404` and so on, with an example for each code. */
export function problemResponses(used: readonly ErrorCode[]): Node {
  const statuses = [...new Set(used.map(httpOf))].sort((a, b) => a - b);
  return Object.fromEntries(
    statuses.map((status) => {
      const here = used.filter((code) => httpOf(code) === status);
      const waits = status === 429 || status === 503;
      return [
        `Problem${status}`,
        {
          description: here.map((code) => `${code}: ${catalogue[code].says}.`).join(" "),
          ...(waits && { headers: { "Retry-After": { $ref: "#/components/headers/RetryAfter" } } }),
          content: {
            [problemType]: {
              schema: { $ref: "#/components/schemas/Problem" },
              examples: Object.fromEntries(here.map((code) => [code, { value: exampleOf(code) }])),
            },
          },
        },
      ];
    }),
  );
}

/** References to those components, for an operation that can answer with the given codes. */
export const problemRefs = (used: readonly ErrorCode[]): Node =>
  Object.fromEntries(
    [...new Set(used.map(httpOf))].map((status) => [
      String(status),
      { $ref: `#/components/responses/Problem${status}` },
    ]),
  );

export const retryAfterHeader: Node = {
  description: "Seconds to wait before asking again.",
  schema: { type: "integer", minimum: 1 },
};

export const bearerScheme = (description: string): Node => ({ type: "http", scheme: "bearer", description });

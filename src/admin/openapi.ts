// The admin API's own OpenAPI 3.1 document, made from its routes.

import type { ErrorCode } from "../base/index.ts";
import {
  bearerScheme,
  openApiVersion,
  problemRefs,
  problemResponses,
  problemSchema,
  retryAfterHeader,
  type Node,
} from "../http/index.ts";
import type { AdminRoute } from "./route.ts";

const codes: readonly ErrorCode[] = [
  "BAD_INPUT",
  "MALFORMED",
  "UNAUTHENTICATED",
  "FORBIDDEN",
  "UNKNOWN_TARGET",
  "NOT_FOUND",
  "TOO_LARGE",
  "UNSUPPORTED_MEDIA",
  "OVERLOADED",
  "INTERNAL",
  "NOT_READY",
  "STOPPING",
  "ENGINE_UNAVAILABLE",
  "DEADLINE",
];

function operation(route: AdminRoute): Node {
  const segments = [...route.pattern.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
  const query = Object.entries(route.query ?? {}).map(([name, schema]) => ({ name, in: "query", schema }));
  const good =
    route.answer === undefined
      ? { "204": { description: "Done." } }
      : { "200": { description: route.summary, content: { "application/json": { schema: route.answer } } } };
  return {
    operationId: route.name,
    summary: route.summary,
    ...(segments.length + query.length > 0 && { parameters: [...segments, ...query] }),
    ...(route.body !== undefined && {
      requestBody: { required: true, content: { "application/json": { schema: route.body } } },
    }),
    responses: { ...good, ...problemRefs(codes) },
  };
}

export function adminOpenApi(prefix: string, routes: readonly AdminRoute[]): Node {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const path = prefix + route.pattern.replaceAll(/:(\w+)/g, "{$1}");
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(route) };
  }
  return {
    openapi: openApiVersion,
    info: { title: "Sheaf admin API", version: "1", summary: "What an operator may ask or do." },
    servers: [{ url: "/" }],
    security: [{ admin: [] }],
    paths,
    components: {
      schemas: { Problem: problemSchema },
      headers: { RetryAfter: retryAfterHeader },
      responses: problemResponses(codes),
      securitySchemes: { admin: bearerScheme("The admin token of this process, or an API key with the role admin.") },
    },
  };
}

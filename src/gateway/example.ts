// A plausible value of a JSON Schema, for examples in the OpenAPI document and the first text of a form. What the schema itself
// gives as example, default or constant comes first.

import type { JsonSchema } from "../model/index.ts";

const isSchema = (node: unknown): node is JsonSchema =>
  typeof node === "object" && node !== null && !Array.isArray(node);

const formats: Readonly<Record<string, string>> = {
  "date-time": "2026-01-01T00:00:00Z",
  date: "2026-01-01",
  time: "12:00:00Z",
  email: "someone@example.com",
  uri: "https://example.com/",
  uuid: "0190e2a8-7a52-7c31-9d8e-3f1c5b7a9e10",
  ipv4: "192.0.2.1",
};

function numberFor(schema: JsonSchema): number {
  const { minimum, exclusiveMinimum, maximum, type } = schema;
  const step = type === "integer" ? 1 : 0.5;
  const low =
    typeof exclusiveMinimum === "number" ? exclusiveMinimum + step : typeof minimum === "number" ? minimum : 0;
  // Libraries write the safe integer range as bounds; those say nothing about what is plausible.
  const from = low <= -1e15 ? 1 : Math.max(low, low > 0 ? low : 1);
  return typeof maximum === "number" && from > maximum ? maximum : from;
}

function textFor(schema: JsonSchema): string {
  const known = typeof schema["format"] === "string" ? formats[schema["format"]] : undefined;
  if (known !== undefined) return known;
  const least = typeof schema["minLength"] === "number" ? schema["minLength"] : 0;
  return "text".padEnd(Math.min(least, 64), "x");
}

/** A value that fits the schema in the common cases; `{}` and what is too deep give null. */
export function exampleOf(schema: unknown, depth = 0): unknown {
  if (!isSchema(schema) || depth > 8) return null;
  if (Array.isArray(schema["examples"]) && schema["examples"].length > 0) return schema["examples"][0];
  for (const given of ["example", "default", "const"]) if (given in schema) return schema[given];
  if (Array.isArray(schema["enum"])) return schema["enum"][0];
  for (const choice of ["anyOf", "oneOf"])
    if (Array.isArray(schema[choice])) return exampleOf(schema[choice][0], depth + 1);
  if (Array.isArray(schema["allOf"])) {
    return Object.assign({}, ...schema["allOf"].map((part: unknown) => exampleOf(part, depth + 1)));
  }
  const type: unknown = Array.isArray(schema["type"]) ? schema["type"][0] : schema["type"];
  switch (type) {
    case "string":
      return textFor(schema);
    case "integer":
    case "number":
      return numberFor(schema);
    case "boolean":
      return true;
    case "array":
      return Array.isArray(schema["prefixItems"])
        ? schema["prefixItems"].map((item: unknown) => exampleOf(item, depth + 1))
        : isSchema(schema["items"])
          ? [exampleOf(schema["items"], depth + 1)]
          : [];
    case "object":
      return objectFor(schema, depth);
    default:
      return null;
  }
}

function objectFor(schema: JsonSchema, depth: number): unknown {
  const properties = isSchema(schema["properties"]) ? schema["properties"] : {};
  const required = Array.isArray(schema["required"]) ? schema["required"] : [];
  const shown = Object.entries(properties).filter(([name]) => required.length === 0 || required.includes(name));
  return Object.fromEntries(shown.map(([name, part]) => [name, exampleOf(part, depth + 1)]));
}

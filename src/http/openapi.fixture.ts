// A structural check of an OpenAPI 3.1 document (spec.openapis.org/oas/v3.1.1), without the network: the shape of every object that
// we write, that references lead somewhere, that ids are unique and that path templates and parameters agree.

import assert from "node:assert/strict";

type Json = Record<string, unknown>;
const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function object(value: unknown, at: string, required: readonly string[], allowed: readonly string[]): Json {
  assert.ok(isObject(value), `${at} is an object`);
  for (const name of required) assert.ok(name in value, `${at} has ${name}`);
  for (const name of Object.keys(value))
    assert.ok(required.includes(name) || allowed.includes(name) || name.startsWith("x-"), `${at} may not have ${name}`);
  return value;
}

function resolve(doc: Json, value: unknown, at: string): Json {
  if (!isObject(value) || typeof value["$ref"] !== "string") return value as Json;
  let node: unknown = doc;
  for (const step of value["$ref"].replace(/^#\//, "").split("/")) node = isObject(node) ? node[step] : undefined;
  assert.ok(isObject(node), `${at}: ${value["$ref"]} leads somewhere`);
  return node;
}

const types = ["string", "number", "integer", "boolean", "array", "object", "null"];

function checkSchema(doc: Json, value: unknown, at: string): void {
  if (typeof value === "boolean") return;
  assert.ok(isObject(value), `${at} is a schema`);
  if ("$ref" in value) resolve(doc, value, at);
  for (const type of [value["type"] ?? []].flat())
    assert.ok(types.includes(type as string), `${at}.type is a JSON type, not ${JSON.stringify(type)}`);
  if ("required" in value)
    assert.ok(
      Array.isArray(value["required"]) && new Set(value["required"]).size === value["required"].length,
      `${at}.required is a set`,
    );
  for (const [name, part] of Object.entries((value["properties"] ?? {}) as Json))
    checkSchema(doc, part, `${at}.properties.${name}`);
  for (const key of ["items", "additionalProperties", "not"])
    if (key in value) checkSchema(doc, value[key], `${at}.${key}`);
  for (const key of ["anyOf", "oneOf", "allOf", "prefixItems"]) {
    for (const [i, part] of ((value[key] ?? []) as unknown[]).entries()) checkSchema(doc, part, `${at}.${key}.${i}`);
  }
}

function checkContent(doc: Json, value: unknown, at: string): void {
  assert.ok(isObject(value) && Object.keys(value).length > 0, `${at} has a media type`);
  for (const [type, media] of Object.entries(value)) {
    assert.match(type, /^[a-z]+\/[a-z+.-]+$/, at);
    const { schema, example, examples } = object(media, `${at}.${type}`, ["schema"], ["example", "examples"]);
    assert.ok(example === undefined || examples === undefined, `${at} has example or examples`);
    for (const one of Object.values((examples ?? {}) as Json)) object(one, `${at}.examples`, ["value"], ["summary"]);
    checkSchema(doc, schema, `${at}.${type}.schema`);
  }
}

function checkParameter(doc: Json, given: unknown, at: string): string {
  const parameter = object(
    resolve(doc, given, at),
    at,
    ["name", "in"],
    ["description", "required", "schema", "content", "example"],
  );
  assert.ok(["path", "query", "header"].includes(parameter["in"] as string), at);
  assert.ok("schema" in parameter !== "content" in parameter, `${at} has either schema or content`);
  if ("schema" in parameter) checkSchema(doc, parameter["schema"], at);
  else checkContent(doc, parameter["content"], at);
  if (parameter["in"] === "path") assert.equal(parameter["required"], true, `${at} is required`);
  return `${String(parameter["in"])} ${String(parameter["name"])}`;
}

function checkHeader(doc: Json, given: unknown, at: string): void {
  const { schema } = object(resolve(doc, given, at), at, ["schema"], ["description", "example"]);
  checkSchema(doc, schema, at);
}

function checkResponses(doc: Json, value: unknown, at: string): void {
  const responses = object(value, at, [], Object.keys(value as Json));
  assert.ok(
    Object.keys(responses).some((status) => /^2\d\d$/.test(status)),
    `${at} has a success`,
  );
  for (const [status, given] of Object.entries(responses)) {
    assert.match(status, /^[1-5]\d\d$/, at);
    const response = object(resolve(doc, given, at), `${at}.${status}`, ["description"], ["headers", "content"]);
    for (const [name, header] of Object.entries((response["headers"] ?? {}) as Json))
      checkHeader(doc, header, `${at}.${status}.${name}`);
    if ("content" in response) checkContent(doc, response["content"], `${at}.${status}`);
  }
}

/** Fails on the first thing in a document that OpenAPI 3.1 does not allow. Returns its operations as `METHOD path`. */
export function checkOpenApi(document: unknown): string[] {
  const doc = object(document, "document", ["openapi", "info", "paths"], ["servers", "security", "tags", "components"]);
  assert.match(doc["openapi"] as string, /^3\.1\.\d+$/);
  object(doc["info"], "info", ["title", "version"], ["summary", "description"]);
  const components = object(
    doc["components"],
    "components",
    [],
    ["schemas", "parameters", "headers", "responses", "securitySchemes"],
  );
  for (const [kind, entries] of Object.entries(components)) {
    for (const name of Object.keys(entries as Json)) assert.match(name, /^[a-zA-Z0-9.\-_]+$/, `${kind}.${name}`);
  }
  for (const [name, schema] of Object.entries((components["schemas"] ?? {}) as Json))
    checkSchema(doc, schema, `schemas.${name}`);
  const schemes = components["securitySchemes"] as Json;
  for (const requirement of doc["security"] as Json[])
    for (const name of Object.keys(requirement)) assert.ok(name in schemes, `security ${name} exists`);
  const ids = new Set<string>();
  const found: string[] = [];
  for (const [path, given] of Object.entries(doc["paths"] as Json)) {
    assert.match(path, /^\//);
    const item = object(given, path, [], ["parameters", "get", "post", "delete", "put"]);
    for (const [method, entry] of Object.entries(item)) {
      if (method === "parameters") continue;
      const at = `${method.toUpperCase()} ${path}`;
      const operation = object(
        entry,
        at,
        ["operationId", "responses"],
        ["summary", "tags", "parameters", "requestBody"],
      );
      assert.ok(!ids.has(operation["operationId"] as string), `${at}: its id is its own`);
      ids.add(operation["operationId"] as string);
      const parameters = [item["parameters"] ?? [], operation["parameters"] ?? []]
        .flat()
        .map((one) => checkParameter(doc, one, at));
      assert.equal(new Set(parameters).size, parameters.length, `${at}: no parameter twice`);
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map((match) => `path ${match[1]}`);
      assert.deepEqual(
        parameters.filter((one) => one.startsWith("path ")).toSorted(),
        inPath.toSorted(),
        `${at}: template and parameters agree`,
      );
      if (operation["requestBody"] !== undefined)
        checkContent(doc, object(operation["requestBody"], at, ["content"], ["required"])["content"], at);
      checkResponses(doc, operation["responses"], at);
      found.push(at);
    }
  }
  return found;
}

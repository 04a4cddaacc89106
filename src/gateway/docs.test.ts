// What the API page makes of a document, as far as it needs no browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { compact, inShell } from "./docs-call.ts";
import { inputMedia, rulesOf, typeOf, type Doc, type Shape } from "./docs-schema.ts";
import { bank } from "./gateway.fixture.ts";
import { openApiOf } from "./openapi.ts";

const doc = JSON.parse(JSON.stringify(openApiOf(bank))) as Doc;

test("docs: every schema of the document can be said in words", () => {
  const schemas = Object.values(doc.components.schemas);
  assert.ok(schemas.length > 5);
  for (const schema of schemas) {
    assert.notEqual(typeOf(doc, schema, 0), "");
    assert.equal(typeof rulesOf(doc, schema), "string");
  }
  const rules = (schema: z.ZodType): string => rulesOf(doc, z.toJSONSchema(schema) as Shape);
  assert.equal(rules(z.number().int().positive()), "> 0");
  assert.equal(rules(z.string().min(2).max(5)), "length ≥ 2, length ≤ 5");
  assert.equal(rules(z.iso.date()), "format date");
  assert.equal(rules(z.string().regex(/^a$/)), "matches ^a$");
  assert.equal(
    typeOf(doc, z.toJSONSchema(z.array(z.enum(["a", "b"])).nullable()) as Shape, 0),
    'array of "a" | "b" | null',
  );
});

test("docs: the input of an operation is found in its body or its query", () => {
  const at = (path: string, method: "get" | "post"): unknown => {
    const operation = doc.paths[path]?.[method];
    return operation === undefined ? undefined : inputMedia(operation)?.example;
  };
  assert.deepEqual(at("/entities/account/{key}/deposit", "post"), { cents: 1 });
  assert.equal(at("/entities/account/{key}/find", "get"), "text");
  assert.equal(at("/entities/account/{key}/close", "post"), undefined);
});

test("docs: what is shown for a shell is one word there, whatever is in it", () => {
  assert.equal(inShell(`{"a":"it's $HOME \`x\`"}`), `'{"a":"it'\\''s $HOME \`x\`"}'`);
  assert.equal(compact('{ "a": [1, 2] }'), '{"a":[1,2]}');
  assert.equal(compact("not json"), "not json");
});

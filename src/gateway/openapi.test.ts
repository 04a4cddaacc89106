// The OpenAPI document: valid, complete, and telling the truth.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Script } from "node:vm";
import { z } from "zod";
import { checkOpenApi } from "../http/openapi.fixture.ts";
import { contract, entity, service, type AppContractShape } from "../model/index.ts";
import { exampleOf } from "./example.ts";
import { Account, bank, bench, Rates } from "./gateway.fixture.ts";
import { openApiOf } from "./openapi.ts";

type Doc = {
  paths: Record<
    string,
    Record<
      string,
      { parameters?: unknown[]; requestBody?: { required: boolean }; responses: Record<string, { content?: unknown }> }
    >
  >;
  components: { schemas: Record<string, unknown> };
};
const documentOf = (shape: AppContractShape): Doc => JSON.parse(JSON.stringify(openApiOf(shape))) as Doc;

test("openapi: the document is valid and has every command, query and procedure, and nothing else", () => {
  assert.deepEqual(checkOpenApi(documentOf(bank)).toSorted(), [
    "GET /entities/account/{key}/balance",
    "GET /entities/account/{key}/find",
    "POST /entities/account/{key}/balance",
    "POST /entities/account/{key}/close",
    "POST /entities/account/{key}/deposit",
    "POST /entities/account/{key}/find",
    "POST /entities/account/{key}/withdraw",
    "POST /services/rates/quote",
    "POST /services/rates/refresh",
  ]);
});

test("openapi: the check reports what is wrong with a document", () => {
  const spoil: ((doc: Doc) => void)[] = [
    (doc) => void delete doc.components.schemas["account.deposit.input"],
    (doc) => void (doc.components.schemas["Problem"] = { type: "text" }),
    (doc) => void (doc.paths["/entities/account/{key}/close"] = { post: { responses: { "204": {} } } }),
    (doc) => void delete doc.paths["/entities/account/{key}/deposit"]?.["parameters"],
    (doc) =>
      void doc.paths["/services/rates/quote"]?.["post"]?.parameters?.push({ $ref: "#/components/parameters/Nothing" }),
  ];
  for (const [i, change] of spoil.entries()) {
    const doc = documentOf(bank);
    change(doc);
    assert.throws(() => checkOpenApi(doc), `defect ${i} is seen`);
  }
});

test("openapi: recursive schemas, odd schemas and an app without anything are still valid documents", () => {
  type Tree = { name: string; children: Tree[] };
  const Node: z.ZodType<Tree> = z
    .lazy(() => z.object({ name: z.string(), children: z.array(Node) }))
    .meta({ id: "Tree" });
  const Odd = entity("odd", {
    state: z.object({}),
    commands: {
      graft: { input: Node, output: Node },
      run: { input: z.union([z.string(), z.date()]), output: z.record(z.string(), z.bigint()) },
    },
  });
  checkOpenApi(documentOf(contract("odd", { entities: [Odd], services: [] })));
  assert.deepEqual(checkOpenApi(documentOf(contract("empty", { entities: [], services: [] }))), []);
});

test("openapi: declared errors, required bodies and outputs are those of the contract", () => {
  const { paths } = documentOf(bank);
  const withdraw = paths["/entities/account/{key}/withdraw"]?.["post"];
  assert.match(JSON.stringify(withdraw?.responses["422"]?.content), /INSUFFICIENT/);
  assert.equal(withdraw?.requestBody?.required, true);
  assert.equal(paths["/entities/account/{key}/find"]?.["post"]?.requestBody?.required, false);
  assert.deepEqual(
    Object.keys(paths["/entities/account/{key}/close"]?.["post"]?.responses ?? {}).includes("204"),
    true,
  );
});

test("openapi: every example fits the schema that it is an example of", () => {
  const schemas = [
    z.object({ cents: z.number().int().positive() }),
    z.array(z.string().min(9)).min(1),
    z.enum(["a", "b"]),
    z.literal(7),
    z.iso.datetime(),
    z.email(),
    z.uuid(),
    z.boolean(),
    z.object({
      at: z.object({ x: z.number().min(3).max(4) }),
      tags: z.array(z.string()),
      maybe: z.string().optional(),
    }),
    z.number().min(-5).max(-2),
    z.number().gt(10),
    z.union([z.string(), z.number()]),
    z.tuple([z.string(), z.number()]),
    z.string().default("d"),
    z.null(),
    z.int().multipleOf(1),
    z.number().nullable(),
  ];
  for (const schema of schemas) {
    const shown = exampleOf(z.toJSONSchema(schema, { io: "input" }));
    assert.ok(
      schema.safeParse(shown).success,
      `${JSON.stringify(shown)} for ${JSON.stringify(z.toJSONSchema(schema))}`,
    );
  }
});

test("openapi: the document follows reloaded code", async () => {
  let now: AppContractShape = bank;
  const b = bench({ contract: () => now });
  const paths = async (): Promise<string[]> =>
    Object.keys(((await (await b.fetch("/openapi.json")).json()) as Doc).paths);
  assert.equal((await paths()).length, 7);
  const Extra = service("extra", { procedures: { ping: {} } });
  now = contract("bank", { entities: [Account], services: [Rates, Extra] });
  assert.ok((await paths()).includes("/services/extra/ping"));
  assert.equal((await b.fetch("/services/extra/ping", { method: "POST" })).status, 200);
});

test("docs: the page, its style and its script need nothing from elsewhere and nothing inline", async () => {
  const b = bench();
  const page = await (await b.fetch("/docs")).text();
  assert.doesNotMatch(page, /https?:\/\/|<script>|<style|\son\w+=|style=/);
  for (const [, path = ""] of page.matchAll(/(?:src|href)="(\/[^"]+)"/g))
    assert.equal((await b.fetch(path)).status, 200, path);
  const script = await (await b.fetch("/docs/script.js")).text();
  assert.doesNotThrow(() => new Script(script), "the script is JavaScript");
  assert.doesNotMatch(script, /innerHTML|insertAdjacentHTML|document\.write|eval\(|\bas unknown\b/);
  assert.match(
    (await b.fetch("/docs")).headers.get("content-security-policy") ?? "",
    /script-src 'self'; style-src 'self'/,
  );
});

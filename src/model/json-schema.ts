// JSON Schema (draft 2020-12, the dialect of OpenAPI 3.1) from the schemas of a contract, by the Standard JSON Schema interface
// (`schema["~standard"].jsonSchema`, standardschema.dev), so that no schema library is imported.

import type { StandardJSONSchemaV1 } from "@standard-schema/spec";
import type { Schema } from "./shape.ts";

export type JsonSchema = { readonly [keyword: string]: unknown };

/** Where a sub-schema's keywords hold values, in which "$ref" is data. */
const verbatim = new Set(["const", "enum", "default", "examples"]);

/**
 * What goes in (`input`) or comes out (`output`) of a schema, as JSON Schema. A schema whose library does not offer this, or
 * that cannot be expressed, is `{}`: anything. So is a part of it, where the library can leave out a part.
 *
 * @param at where the result will stand in its document, as a URI fragment: references within the result begin with it.
 *
 * @example jsonSchema(z.object({ cents: z.number().int() }), "input")   // { type: "object", properties: { cents: … }, required: ["cents"] }
 */
export function jsonSchema(schema: Schema | undefined, side: "input" | "output", at = "#"): JsonSchema {
  if (schema === undefined) return {};
  const converter = (schema["~standard"] as Partial<StandardJSONSchemaV1.Props>).jsonSchema;
  if (typeof converter?.[side] !== "function") return {};
  try {
    const { $schema: _, ...found } = converter[side]({
      target: "draft-2020-12",
      libraryOptions: { unrepresentable: "any" },
    });
    return at === "#" ? found : (moved(found, at) as JsonSchema);
  } catch {
    return {}; // the library says so when it cannot express a schema
  }
}

function moved(node: unknown, at: string): unknown {
  if (Array.isArray(node)) return node.map((item) => moved(item, at));
  if (typeof node !== "object" || node === null) return node;
  return Object.fromEntries(
    Object.entries(node).map(([key, value]) => {
      if (key === "$ref" && typeof value === "string" && value.startsWith("#")) return [key, at + value.slice(1)];
      return [key, verbatim.has(key) ? value : moved(value, at)];
    }),
  );
}

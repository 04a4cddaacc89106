// The API page's view of the document: operations, schemas in a few words, JSON in colour. It runs in the browser; see docs-script.ts.

export type Shape = {
  [name: string]: unknown;
  $ref?: string;
  type?: unknown;
  properties?: Record<string, Shape>;
  required?: string[];
};
export type Media = { schema?: Shape; example?: unknown };
/** A parameter of every operation's is referred to; one that has a name and a schema is this operation's own. */
export type Parameter = {
  $ref?: string;
  name?: string;
  in?: "path" | "query" | "header";
  description?: string;
  required?: boolean;
  schema?: Shape;
  content?: Record<string, Media>;
};
export type Operation = {
  operationId: string;
  summary: string;
  tags: string[];
  "x-sheaf-kind": "command" | "query" | "procedure" | "queue" | "topic";
  "x-sheaf-consistency"?: string;
  parameters?: Parameter[];
  requestBody?: { required: boolean; content: Record<string, Media> };
  responses: Record<string, { content?: Record<string, Media> }>;
};
export type Doc = {
  info: { title: string };
  tags: { name: string; "x-sheaf-kind": string }[];
  paths: Record<string, { parameters?: Parameter[]; get?: Operation; post?: Operation }>;
  components: { schemas: Record<string, Shape> };
};
/** What the page holds: the document, the key of the caller, the session so far. The key lives in this memory only. */
export type Page = { doc: Doc; token: string; session: string };
/** One operation, with the parameters that all of its path have. */
export type Entry = { path: string; method: "GET" | "POST"; operation: Operation; parameters: Parameter[] };

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Record<string, string>,
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function inputMedia(operation: Operation): Media | undefined {
  const inQuery = operation.parameters?.find((parameter) => parameter.name === "input");
  return (operation.requestBody ?? inQuery)?.content?.["application/json"];
}

export function follow(doc: Doc, shape: Shape | undefined): Shape {
  const name = shape?.$ref?.replace("#/components/schemas/", "");
  return (name === undefined ? shape : doc.components.schemas[name]) ?? {};
}

/** A schema's type in a few words. */
export function typeOf(doc: Doc, given: Shape | undefined, depth: number): string {
  const shape = follow(doc, given);
  const {
    const: constant,
    enum: choices,
    anyOf,
    oneOf,
    items,
    type,
  } = shape as Record<string, unknown> & { enum?: unknown[]; anyOf?: Shape[]; oneOf?: Shape[]; items?: Shape };
  if (depth > 4) return "…";
  if (constant !== undefined) return JSON.stringify(constant);
  if (choices !== undefined) return choices.map((choice) => JSON.stringify(choice)).join(" | ");
  const either = anyOf ?? oneOf;
  if (either !== undefined) return either.map((choice) => typeOf(doc, choice, depth + 1)).join(" | ");
  if (type === "array") return `array of ${typeOf(doc, items, depth + 1)}`;
  return Array.isArray(type) ? type.join(" | ") : typeof type === "string" ? type : "any";
}

export function rulesOf(doc: Doc, given: Shape | undefined): string {
  const shape = follow(doc, given);
  const names: Record<string, string> = {
    minimum: "≥",
    exclusiveMinimum: ">",
    maximum: "≤",
    exclusiveMaximum: "<",
    minLength: "length ≥",
    maxLength: "length ≤",
    pattern: "matches",
    format: "format",
  };
  const rules = Object.entries(names).flatMap(([rule, sign]) => {
    const limit = shape[rule];
    if (limit === undefined) return [];
    const word = typeof limit === "string" ? limit : JSON.stringify(limit);
    const trivial = typeof limit === "number" && Math.abs(limit) >= Number.MAX_SAFE_INTEGER;
    const implied = rule === "pattern" && (shape["format"] !== undefined || word.length > 60);
    return trivial || implied ? [] : [`${sign} ${word}`];
  });
  if (typeof shape["description"] === "string") rules.push(shape["description"]);
  return rules.join(", ");
}

/** Rows of a schema: one per property, nested ones by dotted name. */
export function schemaRows(doc: Doc, given: Shape | undefined, prefix: string, depth: number): HTMLTableRowElement[] {
  const shape = follow(doc, given);
  const row = (name: string, part: Shape | undefined, required: boolean): HTMLTableRowElement =>
    make(
      "tr",
      {},
      make("td", {}, name, ...(required ? [make("span", { class: "req", title: "required" }, " *")] : [])),
      make(
        "td",
        {},
        make("code", {}, typeOf(doc, part, 0)),
        make("span", { class: "muted" }, rulesOf(doc, part) === "" ? "" : `  ${rulesOf(doc, part)}`),
      ),
    );
  if (shape.properties === undefined) return [row(prefix === "" ? "value" : prefix, shape, false)];
  return Object.entries(shape.properties).flatMap(([name, part]) => {
    const dotted = prefix === "" ? name : `${prefix}.${name}`;
    const own = row(dotted, part, shape.required?.includes(name) === true);
    return depth < 3 && follow(doc, part).properties !== undefined
      ? [own, ...schemaRows(doc, part, dotted, depth + 1)]
      : [own];
  });
}

export function schemaCard(doc: Doc, operation: Operation): HTMLElement {
  const card = make("section", { class: "card", "aria-label": "Schema" }, make("h3", {}, "Schema"));
  const add = (title: string, shape: Shape | undefined): void =>
    card.append(
      make("h4", {}, title),
      shape === undefined
        ? make("p", { class: "in muted" }, "None.")
        : make("table", {}, make("tbody", {}, ...schemaRows(doc, shape, "", 0))),
    );
  add("Input", inputMedia(operation)?.schema);
  add("Output", operation.responses["200"]?.content?.["application/json"]?.schema);
  for (const [name, shape] of Object.entries(doc.components.schemas)) {
    const start = `${operation.operationId}.error.`;
    if (name.startsWith(start)) add(`Error ${name.slice(start.length)}`, shape);
  }
  return card;
}

/** JSON laid out, with keys, texts and numbers apart in colour. */
export function jsonView(text: string): HTMLPreElement {
  const view = make("pre", { tabindex: "0", "aria-label": "Body" });
  let laid = text;
  try {
    laid = JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // Not JSON: shown as it came.
  }
  const token = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d[\d.eE+-]*|true|false|null)/g;
  let at = 0;
  for (const match of laid.length > 200_000 ? [] : laid.matchAll(token)) {
    const word = match[1] ?? match[3] ?? "";
    view.append(
      laid.slice(at, match.index),
      make("span", { class: match[2] !== undefined ? "k" : match[1] !== undefined ? "s" : "n" }, word),
    );
    at = match.index + word.length;
  }
  view.append(laid.slice(at));
  return view;
}

export const schemaParts = [make, inputMedia, follow, typeOf, rulesOf, schemaRows, schemaCard, jsonView];

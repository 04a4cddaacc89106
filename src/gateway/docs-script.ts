// The program of the API page. These functions run in the browser: the script that is served is their own source text, which
// Node and the build have stripped of types. So they are checked and linted like any other code, and need no bundler. They
// may use each other and browser globals, nothing else of this module. All that comes from the document or an answer is set as
// text, never as markup.

type Shape = { [name: string]: unknown; $ref?: string; type?: unknown; properties?: Record<string, Shape>; required?: string[] };
type Media = { schema?: Shape; example?: unknown };
type Parameter = { $ref?: string; name?: string; content?: Record<string, Media> };
type Operation = {
  operationId: string;
  summary: string;
  tags: string[];
  "x-sheaf-kind": "command" | "query" | "procedure";
  "x-sheaf-consistency"?: string;
  parameters?: Parameter[];
  requestBody?: { required: boolean; content: Record<string, Media> };
  responses: Record<string, { content?: Record<string, Media> }>;
};
type Doc = {
  info: { title: string };
  tags: { name: string; "x-sheaf-kind": string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Shape> };
};
/** What the page holds: the document, the key of the caller, the session so far. The key lives in this memory only. */
type Page = { doc: Doc; token: string; session: string };
type Entry = { path: string; operation: Operation };

function make<K extends keyof HTMLElementTagNameMap>(tag: K, props: Record<string, string>, ...children: (Node | string)[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function valueOf(id: string): string {
  const field = document.getElementById(id);
  return field instanceof HTMLInputElement || field instanceof HTMLSelectElement || field instanceof HTMLTextAreaElement ? field.value.trim() : "";
}

function entriesOf(doc: Doc): Entry[] {
  return Object.entries(doc.paths).flatMap(([path, methods]) => {
    const operation = methods["get"] ?? methods["post"];
    return operation === undefined ? [] : [{ path, operation }];
  });
}

function inputMedia(operation: Operation): Media | undefined {
  const inQuery = operation.parameters?.find((parameter) => parameter.name === "input");
  return (operation.requestBody ?? inQuery)?.content?.["application/json"];
}

function follow(doc: Doc, shape: Shape | undefined): Shape {
  const name = shape?.$ref?.replace("#/components/schemas/", "");
  return (name === undefined ? shape : doc.components.schemas[name]) ?? {};
}

/** A schema's type in a few words. */
function typeOf(doc: Doc, given: Shape | undefined, depth: number): string {
  const shape = follow(doc, given);
  const { const: constant, enum: choices, anyOf, oneOf, items, type } = shape as Record<string, unknown> & { enum?: unknown[]; anyOf?: Shape[]; oneOf?: Shape[]; items?: Shape };
  if (depth > 4) return "…";
  if (constant !== undefined) return JSON.stringify(constant);
  if (choices !== undefined) return choices.map((choice) => JSON.stringify(choice)).join(" | ");
  const either = anyOf ?? oneOf;
  if (either !== undefined) return either.map((choice) => typeOf(doc, choice, depth + 1)).join(" | ");
  if (type === "array") return `array of ${typeOf(doc, items, depth + 1)}`;
  return Array.isArray(type) ? type.join(" | ") : typeof type === "string" ? type : "any";
}

function rulesOf(doc: Doc, given: Shape | undefined): string {
  const shape = follow(doc, given);
  const names: Record<string, string> = {
    minimum: "≥", exclusiveMinimum: ">", maximum: "≤", exclusiveMaximum: "<", minLength: "length ≥", maxLength: "length ≤", pattern: "matches", format: "format",
  };
  const rules = Object.entries(names).flatMap(([rule, sign]) => {
    const limit = shape[rule];
    const trivial = typeof limit === "number" && Math.abs(limit) >= Number.MAX_SAFE_INTEGER;
    const implied = rule === "pattern" && (shape["format"] !== undefined || String(limit).length > 60);
    return limit === undefined || trivial || implied ? [] : [`${sign} ${String(limit)}`];
  });
  if (typeof shape["description"] === "string") rules.push(shape["description"]);
  return rules.join(", ");
}

/** Rows of a schema: one per property, nested ones by dotted name. */
function schemaRows(doc: Doc, given: Shape | undefined, prefix: string, depth: number): HTMLTableRowElement[] {
  const shape = follow(doc, given);
  const row = (name: string, part: Shape | undefined, required: boolean): HTMLTableRowElement =>
    make("tr", {},
      make("td", {}, name, ...(required ? [make("span", { class: "req", title: "required" }, " *")] : [])),
      make("td", {}, make("code", {}, typeOf(doc, part, 0)), make("span", { class: "muted" }, rulesOf(doc, part) === "" ? "" : `  ${rulesOf(doc, part)}`)));
  if (shape.properties === undefined) return [row(prefix === "" ? "value" : prefix, shape, false)];
  return Object.entries(shape.properties).flatMap(([name, part]) => {
    const dotted = prefix === "" ? name : `${prefix}.${name}`;
    const own = row(dotted, part, shape.required?.includes(name) === true);
    return depth < 3 && follow(doc, part).properties !== undefined ? [own, ...schemaRows(doc, part, dotted, depth + 1)] : [own];
  });
}

function schemaCard(doc: Doc, operation: Operation): HTMLElement {
  const card = make("section", { class: "card", "aria-label": "Schema" }, make("h3", {}, "Schema"));
  const add = (title: string, shape: Shape | undefined): void =>
    card.append(make("h4", {}, title), shape === undefined ? make("p", { class: "in muted" }, "None.") : make("table", {}, make("tbody", {}, ...schemaRows(doc, shape, "", 0))));
  add("Input", inputMedia(operation)?.schema);
  add("Output", operation.responses["200"]?.content?.["application/json"]?.schema);
  for (const [name, shape] of Object.entries(doc.components.schemas)) {
    const start = `${operation.operationId}.error.`;
    if (name.startsWith(start)) add(`Error ${name.slice(start.length)}`, shape);
  }
  return card;
}

/** JSON laid out, with keys, texts and numbers apart in colour. */
function jsonView(text: string): HTMLPreElement {
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
    view.append(laid.slice(at, match.index), make("span", { class: match[2] !== undefined ? "k" : match[1] !== undefined ? "s" : "n" }, word));
    at = match.index + word.length;
  }
  view.append(laid.slice(at));
  return view;
}

function field(id: string, label: string, note: string, control: HTMLElement, wide: boolean, ...beside: HTMLElement[]): HTMLElement {
  control.id = id;
  const controls = beside.length === 0 ? control : make("div", { class: "join" }, control, ...beside);
  return make("div", { class: wide ? "wide" : "" }, make("label", { for: id }, label, make("span", {}, note === "" ? "" : ` ${note}`)), controls);
}

/** JSON without its spaces; anything else as it is. */
function compact(text: string): string {
  try {
    return text === "" ? "" : JSON.stringify(JSON.parse(text));
  } catch {
    return text;
  }
}

/** The request that the form describes. */
function requestOf(page: Page, entry: Entry): { method: string; url: string; headers: Record<string, string>; body: string } {
  const { operation, path } = entry;
  const input = compact(valueOf("input"));
  const isQuery = operation["x-sheaf-kind"] === "query";
  const url = path.replace("{key}", encodeURIComponent(valueOf("key")));
  const headers: Record<string, string> = {};
  const put = (name: string, value: string): void => {
    if (value !== "") headers[name] = value;
  };
  put("Authorization", page.token === "" ? "" : `Bearer ${page.token}`);
  put("Idempotency-Key", valueOf("idempotency"));
  put("If-Match", valueOf("if-match"));
  put("Sheaf-Consistency", valueOf("consistency"));
  put("Sheaf-Deadline-Ms", valueOf("deadline"));
  put("Sheaf-Session", page.session);
  if (isQuery) return { method: "GET", url: input === "" ? url : `${url}?input=${encodeURIComponent(input)}`, headers, body: "" };
  put("Content-Type", input === "" ? "" : "application/json");
  return { method: "POST", url, headers, body: input };
}

const inShell = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

function curlOf(page: Page, entry: Entry): string {
  const { method, url, headers, body } = requestOf(page, entry);
  const lines = [`curl ${method === "GET" ? "" : `-X ${method} `}${inShell(location.origin + url)}`];
  for (const [name, value] of Object.entries(headers)) {
    if (name === "Authorization") lines.push('-H "Authorization: Bearer $SHEAF_TOKEN"');
    else if (name !== "Sheaf-Session") lines.push(`-H ${inShell(`${name}: ${value}`)}`);
  }
  if (body !== "") lines.push(`-d ${inShell(body)}`);
  return lines.join(" \\\n  ");
}

function cliOf(entry: Entry): string {
  const { operation } = entry;
  const [name = "", member = ""] = operation.operationId.split(".");
  const isService = operation["x-sheaf-kind"] === "procedure";
  const target = isService ? `${name}/${member}` : `${name}/${valueOf("key") || "KEY"}/${member}`;
  const input = compact(valueOf("input"));
  return `sheaf call ${inShell(target)}${input === "" ? "" : ` ${inShell(input)}`}`;
}

function typescriptOf(page: Page, entry: Entry): string {
  const { operation } = entry;
  const kind = operation["x-sheaf-kind"];
  const [name = "", member = ""] = operation.operationId.split(".");
  const type = name.charAt(0).toUpperCase() + name.slice(1);
  const options = [
    valueOf("idempotency") && `idempotencyKey: ${JSON.stringify(valueOf("idempotency"))}`,
    valueOf("consistency") && `consistency: ${JSON.stringify(valueOf("consistency"))}`,
    valueOf("deadline") && `deadlineMs: ${Number(valueOf("deadline"))}`,
  ].filter(Boolean).join(", ");
  const args = [compact(valueOf("input")), options && `{ ${options} }`].filter(Boolean).join(", ");
  const on = kind === "procedure" ? `service(${type})` : `entity(${type}, ${JSON.stringify(valueOf("key"))})`;
  return [
    'import { connect } from "sheaf/client";',
    `import { contract, ${type} } from "./contracts.ts";`,
    "",
    `const app = connect(contract, { url: ${JSON.stringify(location.origin)}${page.token === "" ? "" : ", token"} });`,
    `const answer = await app.${on}.${member}(${args});`,
  ].join("\n");
}

function samplesCard(page: Page, entry: Entry): { card: HTMLElement; refresh: () => void } {
  const makers: Record<string, () => string> = { curl: () => curlOf(page, entry), CLI: () => cliOf(entry), TypeScript: () => typescriptOf(page, entry) };
  let chosen = "curl";
  const code = make("pre", { tabindex: "0", "aria-label": "The same call as code" });
  const tabs = Object.keys(makers).map((name) => {
    const tab = make("button", { class: "quiet", type: "button", "aria-pressed": "false" }, name);
    tab.addEventListener("click", () => {
      chosen = name;
      refresh();
    });
    return tab;
  });
  const copy = make("button", { class: "quiet", type: "button" }, "Copy");
  copy.addEventListener("click", () => {
    void navigator.clipboard.writeText(code.textContent ?? "").then(() => (copy.textContent = "Copied"));
  });
  const refresh = (): void => {
    for (const tab of tabs) tab.setAttribute("aria-pressed", String(tab.textContent === chosen));
    code.textContent = makers[chosen]?.() ?? "";
    copy.textContent = "Copy";
  };
  return { card: make("section", { class: "card", "aria-label": "As code" }, make("h3", {}, "As code", make("span", { class: "space" }), ...tabs, copy), code), refresh };
}

function showAnswer(card: HTMLElement, answer: Response, text: string, took: string): void {
  const good = answer.ok;
  const heads = make("dl", { class: "heads" });
  for (const name of ["etag", "sheaf-stale-ms", "idempotent-replayed", "retry-after", "sheaf-session", "x-request-id"]) {
    const value = answer.headers.get(name);
    if (value !== null) heads.append(make("dt", {}, name), make("dd", { title: value }, value));
  }
  const status = make("span", { class: good ? "chip ok" : answer.status < 500 ? "chip warn" : "chip bad" }, `${good ? "✓" : "✕"} ${answer.status} ${answer.statusText}`);
  card.replaceChildren(
    make("h3", {}, "Response", make("span", { class: "space" }), make("span", { class: "muted mono" }, took), status),
    heads,
    text === "" ? make("p", { class: "empty" }, "No output.") : jsonView(text),
  );
}

/** Sends what the form describes and shows what came of it. */
async function send(page: Page, entry: Entry, card: HTMLElement): Promise<void> {
  const { method, url, headers, body } = requestOf(page, entry);
  performance.clearResourceTimings();
  try {
    const answer = await fetch(url, { method, headers, ...(body !== "" && { body }) });
    const text = await answer.text();
    const timing = performance.getEntriesByType("resource").at(-1);
    page.session = answer.headers.get("sheaf-session") ?? page.session;
    showAnswer(card, answer, text, timing === undefined ? "" : `${timing.duration.toFixed(1)} ms`);
  } catch {
    card.replaceChildren(make("h3", {}, "Response"), make("p", { class: "empty" }, "No answer: the gateway could not be reached."));
  }
}

function choice(options: string[]): HTMLSelectElement {
  return make("select", {}, ...options.map((option) => make("option", { value: option }, option === "" ? "default" : option)));
}

function formOf({ operation }: Entry): HTMLFormElement {
  const kind = operation["x-sheaf-kind"];
  const form = make("form", { autocomplete: "off", novalidate: "" });
  const input = inputMedia(operation);
  if (kind !== "procedure") form.append(field("key", "Key", "", make("input", { class: "mono", value: `${operation.tags[0] ?? "key"}-1`, spellcheck: "false" }), true));
  if (input !== undefined) {
    const text = make("textarea", { spellcheck: "false", rows: "6" });
    text.value = input.example === undefined ? "" : JSON.stringify(input.example, null, 2);
    form.append(field("input", "Input", "JSON", text, true));
  }
  if (kind !== "query") {
    const key = make("input", { class: "mono", placeholder: "none", spellcheck: "false" });
    const fresh = make("button", { type: "button" }, "New");
    fresh.addEventListener("click", () => {
      key.value = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
      form.dispatchEvent(new Event("input"));
    });
    form.append(field("idempotency", "Idempotency-Key", "repeats take effect once", key, true, fresh));
  }
  if (kind === "query") form.append(field("consistency", "Consistency", `default: ${operation["x-sheaf-consistency"] ?? "strong"}`, choice(["", "strong", "causal", "eventual"]), false));
  if (kind === "command") form.append(field("if-match", "If-Match", "version", make("input", { class: "mono", placeholder: 'any, or "v42"', spellcheck: "false" }), false));
  form.append(field("deadline", "Deadline", "ms", make("input", { inputmode: "numeric", placeholder: "10000" }), false));
  form.append(make("div", { class: "wide send" }, make("button", { class: "primary", type: "submit" }, "Send"), make("span", { class: "muted" }, make("kbd", {}, "Ctrl"), " ", make("kbd", {}, "Enter"))));
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  return form;
}

/** One operation: what it is, a form to try it, its schema, and the same call as code. */
function show(page: Page, entry: Entry): void {
  const { operation, path } = entry;
  const kind = operation["x-sheaf-kind"];
  const main = document.getElementById("main");
  const answer = make("section", { class: "card", "aria-label": "Response", "aria-live": "polite" }, make("h3", {}, "Response"), make("p", { class: "empty" }, "Send the request to see the answer."));
  const form = formOf(entry);
  const samples = samplesCard(page, entry);
  form.addEventListener("input", samples.refresh);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void send(page, entry, answer).then(samples.refresh);
  });
  const title = make("div", { class: "title" }, make("h2", {}, operation.operationId),
    make("div", { class: "row" }, make("span", { class: "chip info" }, kind), make("code", {}, `${kind === "query" ? "GET" : "POST"} ${path}`)));
  const ask = make("section", { class: "card", "aria-label": "Request" }, make("h3", {}, "Try it"), make("div", { class: "in" }, form));
  main?.replaceChildren(make("div", { class: "view" }, title, make("div", {}, ask, answer), make("div", {}, schemaCard(page.doc, operation), samples.card)));
  samples.refresh();
  document.title = `${operation.operationId} · ${page.doc.info.title}`;
}

function navigate(page: Page): void {
  const entries = entriesOf(page.doc);
  const wanted = decodeURIComponent(location.hash.slice(1));
  const entry = entries.find(({ operation }) => operation.operationId === wanted) ?? entries[0];
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#${entry?.operation.operationId}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (entry !== undefined) show(page, entry);
  else document.getElementById("main")?.replaceChildren(make("p", { class: "empty" }, "This application has no entities or services yet."));
}

function listOperations(page: Page): void {
  const filter = make("input", { type: "search", placeholder: "Filter", "aria-label": "Filter operations" });
  const list = make("div", {});
  const fill = (): void => {
    const word = filter.value.toLowerCase();
    list.replaceChildren(...page.doc.tags.flatMap((tag) => {
      const links = entriesOf(page.doc).filter(({ operation }) => operation.tags.includes(tag.name) && operation.operationId.toLowerCase().includes(word)).map(({ operation }) => {
        const get = operation["x-sheaf-kind"] === "query";
        return make("a", { href: `#${operation.operationId}` }, make("span", { class: "tag" }, get ? "GET" : "POST"), operation.summary);
      });
      return links.length === 0 ? [] : [make("h2", {}, tag.name, make("span", {}, tag["x-sheaf-kind"])), ...links];
    }));
  };
  filter.addEventListener("input", () => {
    fill();
    const current = list.querySelector(`a[href="${CSS.escape(location.hash)}"]`);
    current?.setAttribute("aria-current", "page");
  });
  fill();
  document.getElementById("nav")?.replaceChildren(filter, list);
}

/** Asks for a key when the gateway wants one. It is kept in memory and sent to this origin only. */
function askForKey(wrong: boolean): void {
  const form = make("form", { autocomplete: "off" });
  const key = make("input", { type: "password", placeholder: "sk_…", class: "mono", required: "" });
  form.append(field("token", "API key", "kept in this page's memory only", key, true), make("div", { class: "wide send" }, make("button", { class: "primary", type: "submit" }, "Open")));
  if (wrong) form.prepend(make("p", { class: "wide chip bad", role: "alert" }, "✕ That key is not in force."));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void start(key.value.trim());
  });
  const card = make("section", { class: "card" }, make("h3", {}, "This API asks for a key"), make("div", { class: "in" }, form));
  document.getElementById("main")?.replaceChildren(make("div", { class: "view" }, card));
  key.focus();
}

async function showReadiness(): Promise<void> {
  const chip = document.getElementById("ready");
  const ok = await fetch("/readyz").then((answer) => answer.ok, () => false);
  chip?.setAttribute("class", ok ? "chip ok" : "chip bad");
  if (chip !== null) chip.textContent = ok ? "✓ ready" : "✕ not ready";
}

function themes(): void {
  const button = document.getElementById("theme");
  const names = ["system", "light", "dark"];
  let at = Math.max(0, names.indexOf(localStorage.getItem("theme") ?? "system"));
  const apply = (): void => {
    const name = names[at] ?? "system";
    document.documentElement.dataset["theme"] = name;
    localStorage.setItem("theme", name);
    if (button !== null) button.textContent = `Theme: ${name}`;
  };
  button?.addEventListener("click", () => {
    at = (at + 1) % names.length;
    apply();
  });
  apply();
}

async function start(token: string): Promise<void> {
  void showReadiness();
  const answer = await fetch("/openapi.json", { headers: token === "" ? {} : { Authorization: `Bearer ${token}` } });
  if (answer.status === 401) return askForKey(token !== "");
  const page: Page = { doc: (await answer.json()) as Doc, token, session: "" };
  const heading = document.getElementById("app");
  if (heading !== null) heading.textContent = page.doc.info.title;
  listOperations(page);
  window.onhashchange = () => navigate(page);
  navigate(page);
}

const parts = [
  make, valueOf, entriesOf, inputMedia, follow, typeOf, rulesOf, schemaRows, schemaCard, jsonView, field, compact, requestOf, curlOf, cliOf,
  typescriptOf, samplesCard, showAnswer, send, choice, formOf, show, navigate, listOperations, askForKey, showReadiness, themes, start,
];

/** The text of the script. */
export const script = `"use strict";\nconst inShell = ${String(inShell)};\n${parts.map(String).join("\n\n")}\nthemes();\nvoid start("");\n`;

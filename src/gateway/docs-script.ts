// The program of the API page, which runs in the browser: the script that is served is these functions' own source text, which
// Node and the build have stripped of types. So they are checked and linted like any other code, and need no bundler. They
// may use each other and browser globals, nothing else of this module. All that comes from the document or an answer is set as
// text, never as markup.

import { callParts, ownOf, requestOf, samplesCard, takes } from "./docs-call.ts";
import { inputMedia, jsonView, make, schemaCard, schemaParts, type Doc, type Entry, type Page } from "./docs-schema.ts";

function entriesOf(doc: Doc): Entry[] {
  return Object.entries(doc.paths).flatMap(([path, { get, post, parameters = [] }]): Entry[] => {
    const operation = get ?? post;
    if (operation === undefined) return [];
    const method = get === undefined ? "POST" : "GET";
    return [{ path, method, operation, parameters: [...parameters, ...(operation.parameters ?? [])] }];
  });
}

function field(
  id: string,
  label: string,
  note: string,
  control: HTMLElement,
  wide: boolean,
  ...beside: HTMLElement[]
): HTMLElement {
  control.id = id;
  const controls = beside.length === 0 ? control : make("div", { class: "join" }, control, ...beside);
  return make(
    "div",
    { class: wide ? "wide" : "" },
    make("label", { for: id }, label, make("span", {}, note === "" ? "" : ` ${note}`)),
    controls,
  );
}

function showAnswer(card: HTMLElement, answer: Response, text: string, took: string): void {
  const good = answer.ok;
  const heads = make("dl", { class: "heads" });
  for (const name of [
    "etag",
    "sheaf-stale-ms",
    "idempotent-replayed",
    "retry-after",
    "sheaf-session",
    "x-request-id",
  ]) {
    const value = answer.headers.get(name);
    if (value !== null) heads.append(make("dt", {}, name), make("dd", { title: value }, value));
  }
  const status = make(
    "span",
    { class: good ? "chip ok" : answer.status < 500 ? "chip warn" : "chip bad" },
    `${good ? "✓" : "✕"} ${answer.status} ${answer.statusText}`,
  );
  card.replaceChildren(
    make("h3", {}, "Response", make("span", { class: "space" }), make("span", { class: "muted mono" }, took), status),
    heads,
    text === "" ? make("p", { class: "empty" }, "No output.") : jsonView(text),
  );
}

/** The body of an answer. Of one that does not end, what comes within two seconds. */
async function bodyOf(answer: Response): Promise<string> {
  if (answer.headers.get("content-type")?.startsWith("text/event-stream") !== true) return answer.text();
  const reader = answer.body?.getReader();
  setTimeout(() => void reader?.cancel(), 2_000);
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
    if (done) return text;
    text += decoder.decode(value, { stream: true });
    if (text.length > 100_000) void reader?.cancel();
  }
}

/** Sends what the form describes and shows what came of it. */
async function send(page: Page, entry: Entry, card: HTMLElement): Promise<void> {
  const { method, url, headers, body } = requestOf(page, entry);
  performance.clearResourceTimings();
  try {
    const answer = await fetch(url, { method, headers, ...(body !== "" && { body }) });
    const text = await bodyOf(answer);
    const timing = performance.getEntriesByType("resource").at(-1);
    page.session = answer.headers.get("sheaf-session") ?? page.session;
    showAnswer(card, answer, text, timing === undefined ? "" : `${timing.duration.toFixed(1)} ms`);
  } catch {
    card.replaceChildren(
      make("h3", {}, "Response"),
      make("p", { class: "empty" }, "No answer: the gateway could not be reached."),
    );
  }
}

function choice(options: string[]): HTMLSelectElement {
  return make(
    "select",
    {},
    ...options.map((option) => make("option", { value: option }, option === "" ? "default" : option)),
  );
}

function formOf(entry: Entry): HTMLFormElement {
  const { operation } = entry;
  const form = make("form", { autocomplete: "off", novalidate: "" });
  const input = inputMedia(operation);
  if (takes(entry, "Key"))
    form.append(
      field(
        "key",
        "Key",
        "",
        make("input", { class: "mono", value: `${operation.tags[0] ?? "key"}-1`, spellcheck: "false" }),
        true,
      ),
    );
  for (const { name, required, description = "", schema } of ownOf(entry)) {
    const control = make("input", { class: "mono", spellcheck: "false" });
    if (schema?.type === "integer") control.setAttribute("inputmode", "numeric");
    form.append(field(`own-${name}`, name, required === true ? `needed. ${description}` : description, control, true));
  }
  if (input !== undefined) {
    const text = make("textarea", { spellcheck: "false", rows: "6" });
    text.value = input.example === undefined ? "" : JSON.stringify(input.example, null, 2);
    form.append(field("input", "Input", "JSON", text, true));
  }
  if (takes(entry, "IdempotencyKey")) {
    const key = make("input", { class: "mono", placeholder: "none", spellcheck: "false" });
    const fresh = make("button", { type: "button" }, "New");
    fresh.addEventListener("click", () => {
      key.value = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) =>
        byte.toString(16).padStart(2, "0"),
      ).join("");
      form.dispatchEvent(new Event("input"));
    });
    form.append(field("idempotency", "Idempotency-Key", "repeats take effect once", key, true, fresh));
  }
  if (takes(entry, "Consistency"))
    form.append(
      field(
        "consistency",
        "Consistency",
        `default: ${operation["x-sheaf-consistency"] ?? "strong"}`,
        choice(["", "strong", "causal", "eventual"]),
        false,
      ),
    );
  if (takes(entry, "IfMatch"))
    form.append(
      field(
        "if-match",
        "If-Match",
        "version",
        make("input", { class: "mono", placeholder: 'any, or "v42"', spellcheck: "false" }),
        false,
      ),
    );
  if (takes(entry, "DeadlineMs"))
    form.append(
      field("deadline", "Deadline", "ms", make("input", { inputmode: "numeric", placeholder: "10000" }), false),
    );
  form.append(
    make(
      "div",
      { class: "wide send" },
      make("button", { class: "primary", type: "submit" }, "Send"),
      make("span", { class: "muted" }, make("kbd", {}, "Ctrl"), " ", make("kbd", {}, "Enter")),
    ),
  );
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  return form;
}

/** One operation: what it is, a form to try it, its schema, and the same call as code. */
function show(page: Page, entry: Entry): void {
  const { operation, path, method } = entry;
  const kind = operation["x-sheaf-kind"];
  const main = document.getElementById("main");
  const answer = make(
    "section",
    { class: "card", "aria-label": "Response", "aria-live": "polite" },
    make("h3", {}, "Response"),
    make("p", { class: "empty" }, "Send the request to see the answer."),
  );
  const form = formOf(entry);
  const samples = samplesCard(page, entry);
  form.addEventListener("input", samples.refresh);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void send(page, entry, answer).then(samples.refresh);
  });
  const title = make(
    "div",
    { class: "title" },
    make("h2", {}, operation.operationId),
    make("div", { class: "row" }, make("span", { class: "chip info" }, kind), make("code", {}, `${method} ${path}`)),
  );
  const ask = make(
    "section",
    { class: "card", "aria-label": "Request" },
    make("h3", {}, "Try it"),
    make("div", { class: "in" }, form),
  );
  main?.replaceChildren(
    make(
      "div",
      { class: "view" },
      title,
      make("div", {}, ask, answer),
      make("div", {}, schemaCard(page.doc, operation), samples.card),
    ),
  );
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
  else
    document
      .getElementById("main")
      ?.replaceChildren(make("p", { class: "empty" }, "This application has no entities or services yet."));
}

function listOperations(page: Page): void {
  const filter = make("input", { type: "search", placeholder: "Filter", "aria-label": "Filter operations" });
  const list = make("div", {});
  const fill = (): void => {
    const word = filter.value.toLowerCase();
    list.replaceChildren(
      ...page.doc.tags.flatMap((tag) => {
        const links = entriesOf(page.doc)
          .filter(
            ({ operation }) => operation.tags.includes(tag.name) && operation.operationId.toLowerCase().includes(word),
          )
          .map(({ operation, method }) =>
            make("a", { href: `#${operation.operationId}` }, make("span", { class: "tag" }, method), operation.summary),
          );
        return links.length === 0 ? [] : [make("h2", {}, tag.name, make("span", {}, tag["x-sheaf-kind"])), ...links];
      }),
    );
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
  form.append(
    field("token", "API key", "kept in this page's memory only", key, true),
    make("div", { class: "wide send" }, make("button", { class: "primary", type: "submit" }, "Open")),
  );
  if (wrong) form.prepend(make("p", { class: "wide chip bad", role: "alert" }, "✕ That key is not in force."));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void start(key.value.trim());
  });
  const card = make(
    "section",
    { class: "card" },
    make("h3", {}, "This API asks for a key"),
    make("div", { class: "in" }, form),
  );
  document.getElementById("main")?.replaceChildren(make("div", { class: "view" }, card));
  key.focus();
}

async function showReadiness(): Promise<void> {
  const chip = document.getElementById("ready");
  const ok = await fetch("/readyz").then(
    (answer) => answer.ok,
    () => false,
  );
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
  window.addEventListener("hashchange", () => navigate(page));
  navigate(page);
}

const parts = [
  ...schemaParts,
  ...callParts,
  entriesOf,
  field,
  showAnswer,
  bodyOf,
  send,
  choice,
  formOf,
  show,
  navigate,
  listOperations,
  askForKey,
  showReadiness,
  themes,
  start,
];

/** The text of the script. */
export const script = `"use strict";\n${parts.map(String).join("\n\n")}\nthemes();\nvoid start("");\n`;

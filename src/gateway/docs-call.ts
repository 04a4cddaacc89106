// The API page's calls: the request that the form describes, and the same as code. It runs in the browser; see docs-script.ts.

import { make, type Entry, type Page, type Parameter } from "./docs-schema.ts";

export function valueOf(id: string): string {
  const field = document.getElementById(id);
  return field instanceof HTMLInputElement || field instanceof HTMLSelectElement || field instanceof HTMLTextAreaElement
    ? field.value.trim()
    : "";
}

/** JSON without its spaces; anything else as it is. */
export function compact(text: string): string {
  try {
    return text === "" ? "" : JSON.stringify(JSON.parse(text));
  } catch {
    return text;
  }
}

/** Whether the operation takes the parameter of that name among those that many have. */
export function takes({ parameters }: Entry, name: string): boolean {
  return parameters.some(({ $ref }) => $ref === `#/components/parameters/${name}`);
}

/** The operation's own parameters. */
export function ownOf({ parameters }: Entry): (Parameter & { name: string })[] {
  return parameters.flatMap((one) =>
    one.schema === undefined || one.name === undefined ? [] : [{ ...one, name: one.name }],
  );
}

/** The request that the form describes. */
export function requestOf(
  page: Page,
  entry: Entry,
): { method: string; url: string; headers: Record<string, string>; body: string } {
  const { method } = entry;
  const input = compact(valueOf("input"));
  let url = entry.path.replace("{key}", encodeURIComponent(valueOf("key")));
  const query: string[] = [];
  const headers: Record<string, string> = {};
  const put = (name: string, value: string): void => {
    if (value !== "") headers[name] = value;
  };
  put("Authorization", page.token === "" ? "" : `Bearer ${page.token}`);
  put("Idempotency-Key", valueOf("idempotency"));
  put("If-Match", valueOf("if-match"));
  put("Sheaf-Consistency", valueOf("consistency"));
  put("Sheaf-Deadline-Ms", valueOf("deadline"));
  put("Sheaf-Session", takes(entry, "Session") ? page.session : "");
  for (const { name, in: place } of ownOf(entry)) {
    const value = valueOf(`own-${name}`);
    if (place === "header") put(name, value);
    else if (place === "path") url = url.replace(`{${name}}`, encodeURIComponent(value));
    else if (value !== "") query.push(`${name}=${encodeURIComponent(value)}`);
  }
  if (method === "GET" && input !== "") query.push(`input=${encodeURIComponent(input)}`);
  if (query.length > 0) url += `?${query.join("&")}`;
  const body = method === "GET" ? "" : input;
  put("Content-Type", body === "" ? "" : "application/json");
  return { method, url, headers, body };
}

export function inShell(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

export function curlOf(page: Page, entry: Entry): string {
  const { method, url, headers, body } = requestOf(page, entry);
  const lines = [`curl ${method === "GET" ? "" : `-X ${method} `}${inShell(location.origin + url)}`];
  for (const [name, value] of Object.entries(headers)) {
    if (name === "Authorization") lines.push('-H "Authorization: Bearer $SHEAF_TOKEN"');
    else if (name !== "Sheaf-Session") lines.push(`-H ${inShell(`${name}: ${value}`)}`);
  }
  if (body !== "") lines.push(`-d ${inShell(body)}`);
  return lines.join(" \\\n  ");
}

export function cliOf(entry: Entry): string {
  const { operation } = entry;
  const [name = "", member = ""] = operation.operationId.split(".");
  const isService = operation["x-sheaf-kind"] === "procedure";
  const target = isService ? `${name}/${member}` : `${name}/${valueOf("key") || "KEY"}/${member}`;
  const input = compact(valueOf("input"));
  return `sheaf call ${inShell(target)}${input === "" ? "" : ` ${inShell(input)}`}`;
}

export function typescriptOf(page: Page, entry: Entry): string {
  const { operation } = entry;
  const kind = operation["x-sheaf-kind"];
  const [name = "", member = ""] = operation.operationId.split(".");
  const type = name.charAt(0).toUpperCase() + name.slice(1);
  const options = [
    valueOf("idempotency") && `idempotencyKey: ${JSON.stringify(valueOf("idempotency"))}`,
    valueOf("consistency") && `consistency: ${JSON.stringify(valueOf("consistency"))}`,
    valueOf("deadline") && `deadlineMs: ${Number(valueOf("deadline"))}`,
  ]
    .filter(Boolean)
    .join(", ");
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

export function samplesCard(page: Page, entry: Entry): { card: HTMLElement; refresh: () => void } {
  const isCall = ["command", "query", "procedure"].includes(entry.operation["x-sheaf-kind"]);
  const makers: Record<string, () => string> = {
    curl: () => curlOf(page, entry),
    ...(isCall && { CLI: () => cliOf(entry), TypeScript: () => typescriptOf(page, entry) }),
  };
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
  return {
    card: make(
      "section",
      { class: "card", "aria-label": "As code" },
      make("h3", {}, "As code", make("span", { class: "space" }), ...tabs, copy),
      code,
    ),
    refresh,
  };
}

export const callParts = [valueOf, compact, takes, ownOf, requestOf, inShell, curlOf, cliOf, typescriptOf, samplesCard];

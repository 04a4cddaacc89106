// How the CLI finds a node and speaks to it: plain HTTP to the gateway and the admin API, nothing else.
// A flag beats the environment, which beats the node of the data folder.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { catalogue, type ErrorCode, type Issue, type Outcome, type Retry, SheafError } from "../base/index.ts";
import { readAdminToken, readNodeFiles } from "./node-file.ts";
import type { Context } from "./context.ts";

export type RemoteOptions = {
  readonly url?: string;
  readonly admin?: string;
  readonly data: string;
  readonly tokenFile?: string;
};

export type Ask = {
  readonly method?: "GET" | "POST" | "PUT" | "DELETE";
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Milliseconds until the answer must be there; 15 s when absent. */
  readonly patienceMs?: number;
};

export type Answer = { readonly status: number; readonly headers: Headers; readonly body: unknown };

/** One listener of a node, or of one node after another: a node where nothing listens is passed over. */
export interface Remote {
  /** Of the node that answered last, or that is asked first. */
  readonly url: string;
  /** Rejects with the SheafError that a problem+json answer carries, or UNREACHABLE, CALL_LOST, DEADLINE. */
  ask(path: string, ask?: Ask): Promise<Answer>;
}

export function gatewayOf(context: Context, options: RemoteOptions): Remote {
  return remote(locate(context, options, "gateway"), tokenOf(context, options));
}

export function adminOf(context: Context, options: RemoteOptions): Remote {
  return remote(locate(context, options, "admin"), tokenOf(context, options));
}

/** Where listeners are, at least one. Rejects UNREACHABLE when nothing says so. */
function locate(context: Context, options: RemoteOptions, which: "gateway" | "admin"): readonly string[] {
  const [flag, name] = which === "gateway" ? [options.url, "SHEAF_URL"] : [options.admin, "SHEAF_ADMIN_URL"];
  const given = flag ?? context.env[name];
  if (given !== undefined && given !== "") return given.split(",").map(checkUrl);
  const dir = resolve(context.cwd, options.data);
  const found = readNodeFiles(dir);
  if (found.length > 0) return found.map((node) => node[which]);
  throw new SheafError("UNREACHABLE", `no node runs on ${dir}`, {
    hint: `Start one with sheaf dev or sheaf start, or name one with ${which === "gateway" ? "--url" : "--admin"} or ${name}.`,
  });
}

export function tokenOf(context: Context, options: RemoteOptions): string | undefined {
  if (options.tokenFile !== undefined) {
    try {
      return readFileSync(resolve(context.cwd, options.tokenFile), "utf8").trim();
    } catch (error) {
      throw new SheafError("USAGE", `--token-file cannot be read: ${(error as Error).message}`);
    }
  }
  return context.env["SHEAF_TOKEN"] || readAdminToken(resolve(context.cwd, options.data));
}

function checkUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && (url.protocol === "http:" || url.protocol === "https:")) return text.replace(/\/+$/, "");
  throw new SheafError("USAGE", `"${text}" is not an http or https URL`);
}

export function remote(urls: readonly string[], token: string | undefined): Remote {
  let [url = ""] = urls;
  return {
    get url() {
      return url;
    },
    async ask(path, ask = {}) {
      for (const each of urls.slice(0, -1)) {
        try {
          const answer = await askAt(each, token, path, ask);
          url = each;
          return answer;
        } catch (error) {
          if (!(error instanceof SheafError) || error.code !== "UNREACHABLE") throw error;
        }
      }
      url = urls.at(-1) ?? "";
      return askAt(url, token, path, ask);
    },
  };
}

async function askAt(
  url: string,
  token: string | undefined,
  path: string,
  { method = "GET", body, headers = {}, patienceMs = 15_000 }: Ask,
): Promise<Answer> {
  const sent: Record<string, string> = { accept: "application/json", ...headers };
  if (token !== undefined) sent["authorization"] = `Bearer ${token}`;
  if (body !== undefined) sent["content-type"] = "application/json";
  const init: RequestInit = { method, headers: sent, signal: AbortSignal.timeout(patienceMs), redirect: "error" };
  if (body !== undefined) init.body = JSON.stringify(body);
  let response: Response;
  let text: string;
  try {
    response = await fetch(url + path, init);
    text = await response.text();
  } catch (error) {
    throw lost(url, error, method !== "GET", patienceMs);
  }
  const read = parse(text);
  if (!response.ok) throw problem(response, read, url);
  return { status: response.status, headers: response.headers, body: read };
}

function parse(text: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function lost(url: string, error: unknown, mayHaveRun: boolean, patienceMs: number): SheafError {
  const cause = (error as { cause?: { code?: string; message?: string } }).cause;
  if ((error as Error).name === "TimeoutError") {
    return new SheafError("DEADLINE", `${url} did not answer within ${patienceMs} ms`, {
      outcome: mayHaveRun ? "unknown" : "not-applied",
    });
  }
  if (["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"].includes(cause?.code ?? "")) {
    return new SheafError("UNREACHABLE", `nothing answers at ${url} (${cause?.code})`, {
      hint: "Is the node running? sheaf doctor looks at this machine.",
      cause: error,
    });
  }
  if (cause?.message === "bad port")
    return new SheafError("USAGE", `${url} has a port that HTTP clients refuse to use`);
  const why = cause?.message ?? (error as Error).message;
  return new SheafError("CALL_LOST", `the connection to ${url} broke: ${why}`, {
    outcome: mayHaveRun ? "unknown" : "not-applied",
    cause: error,
  });
}

type Problem = {
  readonly code?: string;
  readonly title?: string;
  readonly detail?: string;
  readonly retry?: Retry;
  readonly outcome?: Outcome;
  readonly retryAfterMs?: number;
  readonly hint?: string;
  readonly errors?: readonly { readonly pointer: string; readonly detail: string }[];
  readonly error?: string;
  readonly data?: unknown;
};

function problem(response: Response, body: unknown, url: string): SheafError {
  const found: Problem = typeof body === "object" && body !== null ? body : {};
  if (found.code === undefined || !Object.hasOwn(catalogue, found.code)) {
    const code: ErrorCode =
      response.status === 404 ? "NOT_FOUND" : response.status === 401 ? "UNAUTHENTICATED" : "INTERNAL";
    return new SheafError(code, `${url} answered HTTP ${response.status}, not as a Sheaf node does`);
  }
  return new SheafError(found.code as ErrorCode, found.detail ?? found.title, {
    retry: found.retry,
    outcome: found.outcome,
    retryAfterMs: found.retryAfterMs,
    hint: found.hint ?? hintFor(found.code),
    issues: found.errors?.map(issueOf),
    name: found.error,
    data: found.data,
  });
}

/** What the node says is missing of its answer. */
export function warningsOf({ headers }: Answer): readonly string[] {
  const given = parse(headers.get("sheaf-warnings") ?? "[]");
  return Array.isArray(given) ? given.filter((one) => typeof one === "string") : [];
}

/** The other way round from RFC 6901. */
function issueOf({ pointer, detail }: { readonly pointer: string; readonly detail: string }): Issue {
  const steps = pointer.split("/").slice(1);
  return { path: steps.map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~")), message: detail };
}

function hintFor(code: string): string | undefined {
  if (code !== "UNAUTHENTICATED") return undefined;
  return "Give an API key with --token-file or SHEAF_TOKEN; sheaf key create makes one.";
}

/** What came of a change at all shards. Rejects when it was not made at all of them. */
export async function changed<T>(admin: Remote, path: string, ask: Ask): Promise<T> {
  const answer = await admin.ask(path, ask);
  const missing = warningsOf(answer);
  if (missing.length > 0)
    throw new SheafError("NOT_OWNER", missing.join("; "), {
      outcome: "unknown",
      hint: "It is not done at all shards. Do it again when they are served: sheaf status --shards",
    });
  return (answer.body as readonly T[])[0]!;
}

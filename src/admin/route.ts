// What a route of the admin API is, and what several of them share.

import { SheafError, type Limits } from "../base/index.ts";
import type { Endpoints, Keys, Schedules } from "../control/index.ts";
import { json, queryParameter, type Answer, type Incoming, type Method, type Node } from "../http/index.ts";
import type { Principal, Resource } from "../security/index.ts";
import type { Found, Operator } from "./operator.ts";

/** A request to the admin API; `segments` begin after `/admin/v1`. */
export type AdminAsk = { readonly request: Incoming; readonly segments: readonly string[] };

export type AdminRoute = {
  readonly method: Method;
  /** Below `/admin/v1`; `:x` is a segment. */
  readonly pattern: string;
  /** The operation's name in the document and in decisions. */
  readonly name: string;
  readonly summary: string;
  /** Query parameters, with their JSON Schemas. */
  readonly query?: Readonly<Record<string, Node>>;
  readonly body?: Node;
  /** JSON Schema of the answer; 204 when absent. */
  readonly answer?: Node;
  /** What is acted on, where that is finer than the operation. */
  readonly resource?: (ask: AdminAsk) => Resource;
  readonly run: (ask: AdminAsk, by: Principal) => Promise<Answer>;
};

export type Ports = {
  readonly operator: Operator;
  readonly keys: Keys;
  readonly endpoints: Endpoints;
  readonly schedules: Schedules;
  readonly limits: Limits;
};

const maxPage = 1000;
export const pageSize: Node = { type: "integer", minimum: 1, maximum: maxPage, default: 50 };

export function limitOf(request: Incoming): number {
  const given = queryParameter(request.url, "limit");
  if (given === undefined) return 50;
  if (!/^[1-9]\d{0,3}$/.test(given) || Number(given) > maxPage) {
    throw new SheafError("BAD_INPUT", "limit is out of range", {
      issues: [{ path: ["limit"], message: `a whole number from 1 to ${maxPage}` }],
    });
  }
  return Number(given);
}

/** The items as the body; what is missing of them in `Sheaf-Warnings`, a JSON list of sentences in ASCII. */
export function found<T>({ items, warnings }: Found<T>): Answer {
  const answer = json(items);
  if (warnings.length === 0) return answer;
  const escaped = JSON.stringify(warnings).replaceAll(
    /[^\x20-\x7e]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return { ...answer, headers: { ...answer.headers, "sheaf-warnings": escaped } };
}

// The routes of one listener as data: what exists, under which methods, and what to say where nothing does.

import { SheafError } from "../base/index.ts";

export type Method = "GET" | "POST" | "DELETE";
export type Route = { readonly method: Method; readonly pattern: string; readonly access: "open" | "guarded" };

/** What serves a route, with the segments that its pattern asks for; undefined stands for any that is not empty. */
type Entry<S> = { readonly route: Route; readonly parts: readonly (string | undefined)[]; readonly serve: S };
export type RouteTable<S> = Entry<S>[];

export const addRoute = <S>(table: RouteTable<S>, route: Route, serve: S): void => {
  const parts = route.pattern.slice(1).split("/");
  table.push({ route, parts: parts.map((part) => (part.startsWith(":") ? undefined : part)), serve });
};

function matches(parts: readonly (string | undefined)[], segments: readonly string[]): boolean {
  if (parts.length !== segments.length) return false;
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i];
    if (part === undefined ? segments[i] === "" : part !== segments[i]) return false;
  }
  return true;
}

/** What serves a method at an address; the route added first wins. HEAD is served as GET. */
export function served<S>(table: RouteTable<S>, method: string, segments: readonly string[]): S | undefined {
  const asked = method === "HEAD" ? "GET" : method;
  return table.find(({ route, parts }) => route.method === asked && matches(parts, segments))?.serve;
}

/** Methods that an address takes; empty when there is nothing. */
export function allowed(table: RouteTable<unknown>, segments: readonly string[]): string[] {
  const methods = new Set<string>();
  for (const { route, parts } of table) if (matches(parts, segments)) methods.add(route.method);
  if (methods.has("GET")) methods.add("HEAD");
  if (methods.size > 0) methods.add("OPTIONS");
  return [...methods];
}

/** WRONG_METHOD for an address that takes others. `data` is those, for the Allow header; it is not part of the problem. */
export const wrongMethod = (methods: readonly string[]): SheafError =>
  new SheafError("WRONG_METHOD", `this address takes ${methods.join(", ")}`, { data: methods });

/** Why nothing serves an address whose methods are these. */
export const notServed = (methods: readonly string[]): SheafError =>
  methods.length > 0 ? wrongMethod(methods) : new SheafError("NOT_FOUND");

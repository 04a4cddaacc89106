// The routes of one listener as data: what exists, under which methods, and what to say where nothing does.

import { SheafError } from "../base/index.ts";

export type Method = "GET" | "POST" | "DELETE";
export type Route = { readonly method: Method; readonly pattern: string; readonly access: "open" | "guarded" };

const matches = (pattern: string, segments: readonly string[]): boolean => {
  const parts = pattern.slice(1).split("/");
  return (
    parts.length === segments.length &&
    parts.every((part, i) => (part.startsWith(":") ? segments[i] !== "" : part === segments[i]))
  );
};

/** Methods that an address takes; empty when there is nothing. */
export function allowed(routes: readonly Route[], segments: readonly string[]): string[] {
  const methods = new Set<string>();
  for (const route of routes) if (matches(route.pattern, segments)) methods.add(route.method);
  if (methods.has("GET")) methods.add("HEAD");
  if (methods.size > 0) methods.add("OPTIONS");
  return [...methods];
}

/** WRONG_METHOD for an address that takes others. `data` is those, for the Allow header; it is not part of the problem. */
export const wrongMethod = (methods: readonly string[]): SheafError =>
  new SheafError("WRONG_METHOD", `this address takes ${methods.join(", ")}`, { data: methods });

export function notServed(routes: readonly Route[], segments: readonly string[]): SheafError {
  const methods = allowed(routes, segments);
  if (methods.length > 0) return wrongMethod(methods);
  return new SheafError("NOT_FOUND");
}

// Liveness and readiness, as Kubernetes asks them. Alive means only that the event loop turns; ready means that every check holds.

import { json, type Edge } from "./edge.ts";
import { queryParameter } from "./fields.ts";

export type Readiness = { readonly ok: boolean; readonly checks: Readonly<Record<string, string>> };

/** Adds `/livez` and `/readyz`: 200 or 503, plain text, or with `?verbose` each check by name as JSON. */
export function probes(edge: Edge, ready: () => Readiness): void {
  const text = (ok: boolean): { status: number; headers: Record<string, string>; body: string } => ({
    status: ok ? 200 : 503,
    headers: { "content-type": "text/plain; charset=utf-8" },
    body: ok ? "ok\n" : "not ready\n",
  });
  const verbose = (url: string): boolean => queryParameter(url, "verbose") !== undefined;
  edge.open("GET", "/livez", ({ request }) =>
    verbose(request.url) ? json({ ok: true, checks: { loop: "ok" } }) : text(true),
  );
  edge.open("GET", "/readyz", ({ request }) => {
    const { ok, checks } = ready();
    return verbose(request.url) ? json({ ok, checks }, ok ? 200 : 503) : text(ok);
  });
}

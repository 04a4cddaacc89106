// What browsers must not be tricked into: calling a listener under a name that is not its own (DNS rebinding), and calling it from
// a page of a foreign origin. Cross-origin calls (CORS) are off but for origins on the allow-list.

import { SheafError } from "../base/index.ts";
import type { Incoming } from "./incoming.ts";

export type OriginRules = {
  /** Host names that requests may be addressed to, without port; any when absent. */
  readonly hosts?: readonly string[] | undefined;
  /** Origins of foreign pages that may call, such as `https://app.example`. None when absent. */
  readonly origins?: readonly string[] | undefined;
};

/** Names of this machine, for `hosts`. */
export const loopbackHosts: readonly string[] = ["localhost", "127.0.0.1", "[::1]"];

const exposed = "ETag, Idempotent-Replayed, Retry-After, Sheaf-Session, Sheaf-Stale-Ms, X-Request-Id";
const accepted =
  "Authorization, Content-Type, Idempotency-Key, If-Match, Sheaf-Consistency, Sheaf-Deadline-Ms, Sheaf-Session, Traceparent, X-Request-Id";

/** Throws FORBIDDEN for a host name that is not ours, or a page that may not call. */
export function checkOrigin(request: Pick<Incoming, "authority" | "header">, options: OriginRules): void {
  const origin = request.header("origin");
  if (origin === undefined && options.hosts === undefined) return;
  const address = request.authority;
  if (options.hosts !== undefined) {
    const name = address.replace(/:\d+$/, "").toLowerCase();
    if (!options.hosts.includes(name) && !(name.endsWith(".localhost") && options.hosts.includes("localhost"))) {
      throw new SheafError("FORBIDDEN", "this listener does not answer to that host name", {
        hint: "Call it as localhost, or allow the name in the configuration.",
      });
    }
  }
  if (origin === undefined || options.origins?.includes(origin) === true) return;
  if (origin !== `http://${address}` && origin !== `https://${address}`) {
    throw new SheafError("FORBIDDEN", "pages of that origin may not call this listener", {
      hint: "Allow the origin in the configuration.",
    });
  }
}

/** What an answer to an allowed foreign page carries; nothing for anybody else. */
export function corsHeaders(request: Pick<Incoming, "header">, rules: OriginRules): Readonly<Record<string, string>> {
  if (rules.origins === undefined) return {};
  const origin = request.header("origin");
  if (origin === undefined || !rules.origins.includes(origin)) return { vary: "Origin" };
  return { vary: "Origin", "access-control-allow-origin": origin, "access-control-expose-headers": exposed };
}

/** What an answer to OPTIONS carries besides: browsers heed it only beside an allowed origin. */
export const preflightHeaders = (methods: string): Readonly<Record<string, string>> => ({
  allow: methods,
  "access-control-allow-methods": methods,
  "access-control-allow-headers": accepted,
  "access-control-max-age": "600",
});

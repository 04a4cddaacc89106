// Who calls, how that is found out, and who decides what they may do. The gateway and the admin API ask through these.

import type { Crypto } from "../host/index.ts";
import { sameSecret } from "./secret.ts";

/** Who calls, as authentication found it. `id` is what handlers see and what is journaled. */
export type Principal = { readonly id: string; readonly roles: readonly string[] };

/** Sheaf itself, as the caller of what is its own. */
export const system: Principal = { id: "sheaf", roles: ["system"] };

/** What a caller presented. */
export type Credentials = {
  /** The token of `Authorization: Bearer`. */
  readonly bearer: string | undefined;
};

/** Why credentials were refused. For logs; callers are told only that they were. */
export type Refusal = "missing" | "malformed" | "unknown" | "wrong" | "expired" | "revoked";

export type Authentication =
  | { readonly ok: true; readonly principal: Principal }
  | { readonly ok: false; readonly reason: Refusal };

export interface Authenticator {
  /** Rejects with SheafError when it cannot tell: nobody is let in because a look-up failed. */
  authenticate(credentials: Credentials): Authentication | Promise<Authentication>;
}

/** Knows one secret token as one principal, and leaves every other credential to `next`. */
export function tokenAuthenticator(
  token: string,
  principal: Principal,
  crypto: Crypto,
  next: Authenticator,
): Authenticator {
  const answer: Authentication = { ok: true, principal };
  return {
    authenticate: (credentials) =>
      credentials.bearer !== undefined && sameSecret(crypto, credentials.bearer, token)
        ? answer
        : next.authenticate(credentials),
  };
}

/** Lets everybody in as one principal: for a laptop, where the listener is bound to loopback. */
export function openAuthenticator(principal: Principal): Authenticator {
  const answer: Authentication = { ok: true, principal };
  return { authenticate: () => answer };
}

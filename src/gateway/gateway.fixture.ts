// A bank behind a gateway, with a port in place of the runtime: what reached it is kept, what it answers is the test's choice.

import { z } from "zod";
import { defaultLimits, type Limits } from "../base/index.ts";
import { fixtureHost, type FixtureHost } from "../http/http.fixture.ts";
import type { Edge } from "../http/index.ts";
import { contract, entity, service } from "../model/index.ts";
import type { Call, Reply } from "../rpc/index.ts";
import { openAuthenticator, rolePolicy } from "../security/index.ts";
import { gateway, type GatewayOptions } from "./index.ts";

const cents = z.number().int();
export const Account = entity("account", {
  state: z.object({ cents }),
  commands: {
    deposit: { input: z.object({ cents: cents.positive() }), output: z.object({ cents }) },
    withdraw: {
      input: z.object({ cents: cents.positive() }),
      output: z.object({ cents }),
      errors: { INSUFFICIENT: z.object({ short: cents }) },
    },
    close: {},
  },
  queries: {
    balance: { output: cents, consistency: "causal" },
    find: { input: z.string().optional(), output: z.array(z.string()) },
  },
});
export const Rates = service("rates", {
  procedures: { quote: { input: z.object({ pair: z.string() }), output: z.object({ rate: z.number() }) }, refresh: {} },
});
export const bank = contract("bank", { entities: [Account], services: [Rates] });

export type Bench = {
  readonly host: FixtureHost;
  readonly http: Edge;
  readonly calls: Call[];
  /** What the next calls answer. */
  answer: (call: Call) => Promise<Reply>;
  readonly fetch: (path: string, init?: RequestInit) => Promise<Response>;
  readonly post: (path: string, body: unknown, headers?: Record<string, string>) => Promise<Response>;
};

export function bench(options: Partial<Omit<GatewayOptions, "limits">> & { limits?: Partial<Limits> } = {}): Bench {
  const host = fixtureHost();
  const { limits, ...given } = options;
  const made: Bench = {
    host,
    calls: [],
    answer: async () => ({ output: { cents: 5 }, version: 42 }),
    http: gateway({
      host,
      calls: {
        call: (call) => {
          made.calls.push(call);
          return made.answer(call);
        },
      },
      contract: () => bank,
      limits: { ...defaultLimits, ...limits },
      authenticator: openAuthenticator({ id: "dev", roles: ["admin"] }),
      policy: rolePolicy(),
      shards: 8,
      ready: () => ({ ok: true, checks: { shards: "64 of 64" } }),
      ...given,
    }),
    fetch: async (path, init) => await made.http.fetch(new Request(`http://localhost:4000${path}`, init)),
    post: (path, body, headers = {}) =>
      made.fetch(path, {
        method: "POST",
        body: JSON.stringify(body),
        headers: { "content-type": "application/json", ...headers },
      }),
  };
  return made;
}

export type ProblemBody = {
  status: number;
  code: string;
  retry: string;
  outcome: string;
  detail: string;
  hint?: string;
  type: string;
  title: string;
  instance: string;
  error?: string;
  data?: unknown;
  errors?: { pointer: string; detail: string }[];
  retryAfterMs?: number;
};

export const problem = async (response: Response): Promise<ProblemBody> => (await response.json()) as ProblemBody;

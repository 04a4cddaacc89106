// A bank behind a real listener, HTTP and WebSocket on one port, with a port of the test's own in place of the runtime.

import { defaultLimits, type Limits } from "../base/index.ts";
import { Account, bank, Rates } from "../gateway/gateway.fixture.ts";
import { gateway, sockets, type Sockets } from "../gateway/index.ts";
import { listen, realHost, socketServer, type SocketServer } from "../platform/index.ts";
import type { Calls } from "../rpc/index.ts";
import { type Authenticator, rolePolicy } from "../security/index.ts";

export { Account, bank, Rates };

export type Town = {
  readonly url: string;
  readonly sockets: Sockets;
  readonly server: SocketServer;
  /** Requests seen besides upgrades. */
  readonly requests: string[];
  stop(): Promise<void>;
};

const onlyKey: Authenticator = {
  authenticate: ({ bearer }) =>
    bearer === "key" ? { ok: true, principal: { id: "me", roles: ["app"] } } : { ok: false, reason: "unknown" },
};

export async function town(
  calls: Calls,
  dir: string,
  given: { limits?: Partial<Limits>; upgrades?: boolean } = {},
): Promise<Town> {
  const host = realHost({ dir, log: { debug() {}, info() {}, warn() {}, error() {} } });
  const limits = { ...defaultLimits, ...given.limits };
  const shared = { host, calls, contract: () => bank, limits, authenticator: onlyKey, policy: rolePolicy() };
  const edge = gateway({ ...shared, shards: 8, ready: () => ({ ok: true, checks: {} }) });
  const open = sockets({ ...shared, cluster: "0f".repeat(16) });
  const server = socketServer({ limits, open: (pipe) => open.open(pipe) });
  const requests: string[] = [];
  const listener = await listen({
    port: 0,
    answer: (request) => {
      requests.push(request.url);
      return edge.answer(request);
    },
    onUpgrade: given.upgrades === false ? undefined : server.onUpgrade,
    limits,
  });
  return {
    url: listener.url,
    sockets: open,
    server,
    requests,
    async stop() {
      server.close();
      await listener.close(0);
      host.close();
    },
  };
}

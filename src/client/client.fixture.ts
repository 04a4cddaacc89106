// A bank behind a real listener, HTTP and WebSocket on one port, with a port of the test's own in place of the runtime.

import { type AddressInfo } from "node:net";
import { createServer, type Server } from "node:http";
import { getRequestListener } from "@hono/node-server";
import { defaultLimits, type Limits } from "../base/index.ts";
import { Account, bank, Rates } from "../gateway/gateway.fixture.ts";
import { gateway, sockets, type Sockets } from "../gateway/index.ts";
import { realHost, socketServer, type SocketServer } from "../platform/index.ts";
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
  const edge = gateway({ ...shared, ready: () => ({ ok: true, checks: {} }) });
  const open = sockets({ ...shared, cluster: "0f".repeat(16) });
  const server = socketServer({ limits, open: (pipe) => open.open(pipe) });
  const requests: string[] = [];
  const serve = getRequestListener((request: Request) => edge.fetch(request));
  const http: Server = createServer((request, response) => {
    requests.push(request.url ?? "");
    void serve(request, response);
  });
  http.on(
    "upgrade",
    given.upgrades === false
      ? (_, socket) => void socket.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
      : server.onUpgrade,
  );
  await new Promise<void>((resolve) => void http.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    sockets: open,
    server,
    requests,
    async stop() {
      server.close();
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
      host.close();
    },
  };
}

// The two listeners of a node: the gateway for callers, over HTTP and WebSocket, and the admin listener for operators.

import { setTimeout as sleep } from "node:timers/promises";
import { adminApi } from "../admin/index.ts";
import { type Limits, SheafError } from "../base/index.ts";
import type { Endpoints, Keys, Schedules } from "../control/index.ts";
import { gateway, sockets } from "../gateway/index.ts";
import { loopbackHosts } from "../http/index.ts";
import type { AppContractShape } from "../model/index.ts";
import type { Node } from "../node/index.ts";
import { listen, type Listener, type ListenOptions, type RealHost, socketServer } from "../platform/index.ts";
import { openAuthenticator, rolePolicy } from "../security/index.ts";
import type { Port, ServerOptions } from "./server-options.ts";

export type Parts = {
  readonly options: ServerOptions;
  readonly host: RealHost;
  readonly node: Node;
  readonly keys: Keys;
  readonly endpoints: Endpoints;
  readonly schedules: Schedules;
  readonly limits: Limits;
  /** The secret that opens the admin API on this machine. */
  readonly adminToken: string;
};

export type OpenedGateway = Opened & {
  /** Callers are told to go elsewhere; those that stay are answered. */
  leave(): void;
};

export type Opened = {
  readonly url: string;
  /** Says so when another port than usual was taken. */ readonly note: string | undefined;
  close(): Promise<void>;
};

/** How long calls under way may take to finish when the listener closes. */
const graceMs = 5_000;
/** How long callers may take to hear that they are to go. */
const leaveMs = 2_000;

/** How many ports after the usual one are tried. */
const tries = 50;

export async function openGateway({ options, host, node, keys, limits }: Parts): Promise<OpenedGateway> {
  const reveal = options.mode === "dev";
  const contract = (): AppContractShape => node.app.contract;
  const shared = {
    host,
    calls: node,
    contract,
    limits,
    authenticator: options.insecure ? openAuthenticator({ id: "local", roles: ["app"] }) : keys,
    policy: rolePolicy(),
    reveal,
    joinSessions: (tokens: readonly string[]) => node.joinSessions(tokens),
  };
  const http = gateway({
    ...shared,
    shards: node.cluster.shards,
    ready: () => node.ready(),
    ...(options.insecure && { hosts: loopbackHosts }),
  });
  const sessions = sockets({
    ...shared,
    cluster: node.cluster.id,
  });
  const upgrades = socketServer({ limits, open: (pipe) => sessions.open(pipe) });
  const listener = await openNear(options.port, "--port", {
    host: options.host,
    answer: http.answer,
    onUpgrade: options.insecure ? ownNamesOnly(upgrades.onUpgrade) : upgrades.onUpgrade,
    limits,
  });
  return {
    ...told(listener, options.port),
    leave() {
      sessions.drain();
      http.drain();
      listener.leave();
    },
    async close() {
      sessions.drain();
      http.drain();
      const closed = listener.close(graceMs);
      // Callers that are told to go elsewhere go once they are owed nothing. To close before that would lose what they had sent
      // before they heard; who does not go stands still.
      const began = performance.now();
      const within = (ms: number): boolean => performance.now() < began + ms;
      while ((sessions.inFlight > 0 && within(graceMs)) || (sessions.size > 0 && within(leaveMs))) await sleep(10);
      sessions.close();
      upgrades.close();
      await closed;
    },
  };
}

export async function openAdmin(parts: Parts): Promise<Opened> {
  const { options, host, node, keys, endpoints, schedules, limits, adminToken } = parts;
  const metrics = (): string => {
    node.measure();
    return host.meter.render();
  };
  const shared = { host, keys, endpoints, schedules, adminToken, limits };
  const http = adminApi({ ...shared, operator: node, policy: rolePolicy(), metrics });
  const listener = await openNear(options.adminPort, "--admin-port", {
    host: "127.0.0.1",
    answer: http.answer,
    limits,
  });
  return { ...told(listener, options.adminPort), close: () => listener.close() };
}

type OnUpgrade = NonNullable<ListenOptions["onUpgrade"]>;

/** Where everybody is let in, a page under a foreign name that points here (DNS rebinding) is not. */
function ownNamesOnly(onUpgrade: OnUpgrade): OnUpgrade {
  return (request, socket, head) => {
    const name = (request.headers.host ?? "").replace(/:\d+$/, "").toLowerCase();
    if (loopbackHosts.includes(name)) return onUpgrade(request, socket, head);
    socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  };
}

/** A port that the user named is taken or refused; the usual one gives way to the next free. */
async function openNear(port: Port, option: string, options: Omit<ListenOptions, "port" | "tries">): Promise<Listener> {
  try {
    return await listen({ ...options, port: port.number, tries: port.explicit ? 0 : tries });
  } catch (error) {
    if (!(error instanceof SheafError) || error.code !== "IN_USE") throw error;
    throw new SheafError("IN_USE", error.message, {
      hint: `Choose another with ${option}; 0 takes any.`,
      cause: error,
    });
  }
}

function told(listener: Listener, port: Port): { url: string; note: string | undefined } {
  const moved = !port.explicit && listener.port !== port.number;
  return { url: listener.url, note: moved ? `port ${port.number} is taken; using ${listener.port}` : undefined };
}

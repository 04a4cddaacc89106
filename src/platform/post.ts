// One HTTP request to a service outside, over the machine's own network: no redirects, no proxies, no cookies, and no way to addresses
// that nobody offers a service at. A host's name is resolved once, and what it leads to is judged before a connection is made to just
// that address, so that a name which leads elsewhere the next time gains nothing.

import { lookup } from "node:dns";
import http from "node:http";
import https from "node:https";
import { BlockList, isIP, type LookupFunction } from "node:net";
import { SheafError, type Tick } from "../base/index.ts";
import type { Post, PostAnswer, PostRequest } from "../gateway/index.ts";
import { abortSignal } from "../rpc/index.ts";

/** A connection that takes longer is not made. */
const connectMs = 3_000;
const mostHeaderBytes = 16 * 1024;
/** Connections per address, and how long one that is not used is kept. */
const mostSockets = 256;
const idleMs = 4_000;

const listOf = (v4: readonly string[], v6: readonly string[]): BlockList => {
  const list = new BlockList();
  const add = (net: string, family: "ipv4" | "ipv6"): void => {
    const [base = "", bits = ""] = net.split("/");
    list.addSubnet(base, Number(bits), family);
  };
  for (const net of v4) add(net, "ipv4");
  for (const net of v6) add(net, "ipv6");
  return list;
};

/** Nobody offers a service there: unspecified, link-local (where clouds keep their machines' credentials), multicast, reserved, and
 *  IPv6 that carries an IPv4 address through a translator. */
const never = listOf(
  ["0.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "224.0.0.0/4", "240.0.0.0/4", "100.100.100.200/32"],
  ["::/128", "fe80::/10", "ff00::/8", "fd00:ec2::254/128", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"],
);
const local = listOf(
  ["10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15"],
  ["::1/128", "fc00::/7", "fec0::/10"],
);

/** Whether a service may be at an address. */
export function mayReach(address: string, isPrivate: boolean): boolean {
  const family = isIP(address) === 6 ? "ipv6" : "ipv4";
  if (isIP(address) === 0 || never.check(address, family)) return false;
  return isPrivate || !local.check(address, family);
}

const forbidden = (host: string, address: string): SheafError =>
  new SheafError("UNREACHABLE", `${host} leads to ${address}, where no outside service may be`, {
    retry: "never",
    hint: "a service of a private network is registered with: sheaf endpoint add --private",
  });

/** Resolves names, and hands on only addresses that may be reached. */
const judged =
  (isPrivate: boolean): LookupFunction =>
  (hostname, options, callback) =>
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, "", 4);
      const found = addresses.filter(({ address }) => mayReach(address, isPrivate));
      const [first] = found;
      if (!first) return callback(forbidden(hostname, addresses[0]?.address ?? "nowhere"), "", 4);
      if (options.all) callback(null, found);
      else callback(null, first.address, first.family);
    });

export type Poster = { readonly post: Post; close(): void };

/** `tick` is the clock that deadlines are on. */
export function outwardPost(tick: () => Tick): Poster {
  const agents = new Map<string, http.Agent>();
  const agentFor = (protocol: string, isPrivate: boolean): http.Agent => {
    const name = `${protocol} ${isPrivate}`;
    const make = protocol === "https:" ? https.Agent : http.Agent;
    const agent =
      agents.get(name) ??
      new make({
        keepAlive: true,
        timeout: idleMs,
        maxSockets: mostSockets,
        lookup: judged(isPrivate),
      });
    agents.set(name, agent);
    return agent;
  };
  return {
    post: async (request) => {
      const url = new URL(request.url);
      const host = url.hostname.replace(/^\[|\]$/g, "");
      // An address needs no look-up, so it is judged here.
      if (isIP(host) !== 0 && !mayReach(host, request.private)) throw forbidden(url.host, host);
      return send(url, request, agentFor(url.protocol, request.private), tick);
    },
    close() {
      for (const agent of agents.values()) agent.destroy();
    },
  };
}

function send(url: URL, request: PostRequest, agent: http.Agent, tick: () => Tick): Promise<PostAnswer> {
  const { body, headers, signal } = request;
  const { promise, resolve, reject } = Promise.withResolvers<PostAnswer>();
  /** Once a connection is there, the service may have been told something. */
  let connected = false;
  const outgoing = (url.protocol === "https:" ? https : http).request(url, {
    method: "POST",
    headers: { ...headers, "content-length": String(Buffer.byteLength(body)), "user-agent": "sheaf" },
    agent,
    maxHeaderSize: mostHeaderBytes,
    ...(signal && { signal: abortSignal(signal) }),
  });
  const outcome = (): "unknown" | "not-applied" => (connected ? "unknown" : "not-applied");
  const give = (error: SheafError): void => {
    reject(error);
    outgoing.destroy();
  };
  const late = setTimeout(
    () => give(new SheafError("DEADLINE", `${url.host} did not answer in time`, { outcome: outcome() })),
    Math.max(0, request.deadline - tick()),
  );
  const unconnected = setTimeout(() => {
    if (!connected) give(new SheafError("UNREACHABLE", `no connection to ${url.host} within ${connectMs} ms`));
  }, connectMs);
  outgoing.on("socket", (socket) => {
    if (!socket.connecting) connected = true;
    else socket.once(url.protocol === "https:" ? "secureConnect" : "connect", () => (connected = true));
  });
  outgoing.on("error", (error) => reject(signal?.aborted ? cancelled(outcome()) : lost(url.host, error, outcome())));
  outgoing.on("response", (incoming) => {
    collect(incoming, request.maxReplyBytes).then(resolve, (error: unknown) => {
      give(error instanceof SheafError ? error : lost(url.host, error as Error, "unknown"));
    });
  });
  outgoing.end(body);
  return promise.finally(() => {
    clearTimeout(late);
    clearTimeout(unconnected);
  });
}

const cancelled = (outcome: "unknown" | "not-applied"): SheafError =>
  new SheafError("CANCELLED", "the caller gave up", { outcome });

function lost(host: string, error: Error, outcome: "unknown" | "not-applied"): SheafError {
  if (error instanceof SheafError) return error;
  const code = outcome === "unknown" ? "CALL_LOST" : "UNREACHABLE";
  return new SheafError(code, `${host}: ${error.message}`, { cause: error });
}

async function collect(incoming: http.IncomingMessage, maxBytes: number): Promise<PostAnswer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes)
      throw new SheafError("TOO_LARGE", `the answer is over ${maxBytes} bytes`, { outcome: "unknown", retry: "never" });
    chunks.push(chunk);
  }
  return {
    status: incoming.statusCode ?? 0,
    type: incoming.headers["content-type"] ?? "",
    body: new Uint8Array(Buffer.concat(chunks)),
  };
}

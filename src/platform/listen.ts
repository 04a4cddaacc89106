// A real listener: node:http underneath, an edge on top. Everything that only a socket can get wrong is decided
// here: how long a client may take, how many there may be, and which requests are refused before anybody reads them.
//
// H1. A request that two readers could read differently (two Host headers, an odd target or coding) is refused with 400 and its connection
//     is closed. Node's parser refuses the rest of that family: both lengths, bad chunks, bare line ends.
// H2. Slow clients hold a connection, never a request: headers and whole requests have deadlines that are checked every second.
// H3. After close() no new request is taken; those under way finish, or are cut off when the grace is over.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { SheafError, type Limits, type Millis } from "../base/index.ts";
import type { Answer, Incoming } from "../http/index.ts";
import { Exchange } from "./http-exchange.ts";

export type ListenOptions = {
  /** 0 takes any free port. */
  readonly port: number;
  /** When the port is taken, how many after it to try. 0 when absent. */
  readonly tries?: number | undefined;
  /** Address to bind; loopback when absent. */
  readonly host?: string | undefined;
  readonly answer: (request: Incoming) => Promise<Answer>;
  /** Takes over a connection that asks to become a WebSocket; without it such requests are refused. */
  readonly onUpgrade?: ((request: IncomingMessage, socket: Duplex, head: Buffer) => void) | undefined;
  readonly limits: Pick<Limits, "maxConnections" | "headersTimeoutMs" | "requestTimeoutMs">;
};

export type Listener = {
  readonly url: string;
  readonly port: number;
  /** From now on every answer ends its connection, so that clients go elsewhere before the listener closes. */
  leave(): void;
  /** Stops taking requests; resolves when those under way are answered, or cut off after `graceMs` (default 5,000). */
  close(graceMs?: Millis): Promise<void>;
};

const maxHeaderBytes = 16 * 1024;
/** Longer than the idle time of common load balancers would be kinder; shorter frees what slow clients hold. */
const keepAliveMs = 15_000;
const checkEveryMs = 1_000;
const sweepEveryMs = 20;

/** Why a request is refused unread, or undefined. */
function odd(request: IncomingMessage): string | undefined {
  let hosts = 0;
  const { rawHeaders, url = "", headers } = request;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i];
    if (name?.length === 4 && name.toLowerCase() === "host") hosts++;
  }
  if (hosts !== 1 || !/^[\w.~:[\]%-]+$/.test(headers.host ?? "")) return "a request names exactly one Host";
  const coding = headers["transfer-encoding"];
  // The parser takes a body in an unknown coding for no body at all, and what follows for another request.
  if (coding !== undefined && coding.toLowerCase() !== "chunked") return "the transfer encoding is not chunked";
  if (url.charCodeAt(0) !== 0x2f || url.startsWith("//")) return "the request target is a path";
  // The parser lets these through in a target; proxies disagree about what they mean.
  if (/[\\#\s\u0080-\uffff]/.test(url)) return "the request target holds characters that must be percent-encoded";
  return undefined;
}

const problemText = (status: number, code: string, detail: string): string =>
  JSON.stringify({
    type: `urn:sheaf:error:${code}`,
    title: detail,
    status,
    detail,
    instance: "about:blank",
    code,
    retry: "never",
    outcome: "not-applied",
  });

const refusals: Readonly<Record<string, readonly [number, string, string, string]>> = {
  HPE_HEADER_OVERFLOW: [
    431,
    "Request Header Fields Too Large",
    "TOO_LARGE",
    `the request's headers are over ${maxHeaderBytes} bytes`,
  ],
  ERR_HTTP_REQUEST_TIMEOUT: [408, "Request Timeout", "DEADLINE", "the request took too long to arrive"],
};
const malformed: readonly [number, string, string, string] = [
  400,
  "Bad Request",
  "MALFORMED",
  "the request is not valid HTTP",
];

const broken: Answer = {
  status: 500,
  headers: { "content-type": "application/problem+json" },
  body: problemText(500, "INTERNAL", "the request failed inside"),
};

/** Writes a refusal on a connection that has no response object, and closes it. */
function refuseRaw(socket: Duplex, [status, phrase, code, detail]: readonly [number, string, string, string]): void {
  if (!socket.writable) return void socket.destroy();
  const body = problemText(status, code, detail);
  socket.end(
    `HTTP/1.1 ${status} ${phrase}\r\nConnection: close\r\nContent-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}

function refuse(response: ServerResponse, detail: string): void {
  const body = problemText(400, "MALFORMED", detail);
  response.writeHead(400, {
    "Content-Type": "application/problem+json",
    "Content-Length": Buffer.byteLength(body),
    Connection: "close",
  });
  response.end(body);
}

async function serve(exchange: Exchange, { answer }: ListenOptions): Promise<void> {
  try {
    const given = await answer(exchange);
    if (given.stream === undefined) exchange.write(given);
    else await exchange.stream(given);
  } catch {
    exchange.abandon(broken);
  }
}

function serverFor(options: ListenOptions, isLeaving: () => boolean): Server {
  const { limits, onUpgrade } = options;
  const server = createServer({
    maxHeaderSize: maxHeaderBytes,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    connectionsCheckingInterval: Math.min(checkEveryMs, limits.headersTimeoutMs),
    keepAliveTimeout: keepAliveMs,
    noDelay: true,
    // A field that is sent twice must not be read as its first value by us and as its last by a proxy.
    joinDuplicateHeaders: true,
  });
  server.maxConnections = limits.maxConnections;
  server.on("request", (request, response) => {
    const why = odd(request);
    if (why !== undefined) return refuse(response, why);
    if (isLeaving()) response.shouldKeepAlive = false;
    void serve(new Exchange(request, response), options);
  });
  // Whether the body is wanted is known only when somebody reads it; until then the client is not told to go on.
  server.on("checkExpectation", (_, response) => {
    response.writeHead(417, { "Content-Length": 0, Connection: "close" });
    response.end();
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket) =>
    refuseRaw(socket, refusals[error.code ?? ""] ?? malformed),
  );
  server.on("upgrade", (request, socket, head) => {
    socket.on("error", () => socket.destroy());
    const why = odd(request);
    if (why !== undefined) return refuseRaw(socket, [400, "Bad Request", "MALFORMED", why]);
    if (onUpgrade === undefined)
      return refuseRaw(socket, [400, "Bad Request", "MALFORMED", "this listener does not upgrade connections"]);
    onUpgrade(request, socket, head);
  });
  return server;
}

function bind(server: Server, port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => reject(error);
    server.once("error", failed);
    server.listen({ port, host, backlog: 1024 }, () => {
      server.off("error", failed);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

async function bindNear(server: Server, options: ListenOptions, host: string): Promise<number> {
  const last = options.port === 0 ? 0 : Math.min(options.port + (options.tries ?? 0), 65_535);
  for (let port = options.port; ; port++) {
    try {
      return await bind(server, port, host);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === "EADDRINUSE" && port < last) continue;
      if (code === "EADDRINUSE")
        throw new SheafError("IN_USE", `port ${port} on ${host} is taken`, {
          hint: "Choose another with --port.",
          cause: error,
        });
      throw new SheafError("USAGE", `cannot listen on ${host}:${port}: ${(error as Error).message}`, { cause: error });
    }
  }
}

/** Opens a listener. Rejects with IN_USE when the port, and those after it that may be tried, are taken. */
export async function listen(options: ListenOptions): Promise<Listener> {
  const host = options.host ?? "127.0.0.1";
  let leaving = false;
  const server = serverFor(options, () => leaving);
  const port = await bindNear(server, options, host);
  const upgraded = new Set<Duplex>();
  server.on("upgrade", (_, socket) => {
    upgraded.add(socket);
    socket.once("close", () => upgraded.delete(socket));
  });
  let closing: Promise<void> | undefined;
  const close = (graceMs: Millis): Promise<void> =>
    new Promise((resolve) => {
      // A connection becomes idle when its last answer is out; then it ends instead of waiting for another request.
      const sweep = setInterval(() => server.closeIdleConnections(), sweepEveryMs);
      const cut = setTimeout(() => {
        server.closeAllConnections();
        for (const socket of upgraded) socket.destroy();
      }, graceMs);
      server.close(() => {
        clearTimeout(cut);
        clearInterval(sweep);
        resolve();
      });
    });
  const shown = host === "0.0.0.0" || host === "::" ? "localhost" : host.includes(":") ? `[${host}]` : host;
  return {
    url: `http://${shown}:${port}`,
    port,
    leave: () => void (leaving = true),
    close: (graceMs = 5_000) => (closing ??= close(graceMs)),
  };
}

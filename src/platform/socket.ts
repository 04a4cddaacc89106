// WebSocket connections on a node:http server, by `ws` (RFC 6455): upgrade requests in, pipes out.
//
// Compression is off: a few bytes in can be gigabytes out. A message is at most one request long. A caller that does not
// answer pings is gone, also when it is merely not reading.

import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type RawData, type WebSocket, WebSocketServer } from "ws";
import type { Limits, Millis } from "../base/index.ts";
import { checkOrigin, type OriginRules } from "../http/index.ts";
import type { Pipe, PipeEnd } from "../rpc/index.ts";

export type SocketServerOptions = OriginRules & {
  readonly limits: Pick<Limits, "maxRequestBytes" | "maxConnections">;
  /** Begins a session on each connection. */
  open(pipe: Pipe): PipeEnd;
  /** Path that callers connect to. */
  readonly path?: string | undefined;
  /** Between pings; a connection that is silent from one to the next is cut. */
  readonly heartbeatMs?: Millis | undefined;
};

export interface SocketServer {
  /** Handler of node:http's `upgrade` event. Never throws. */
  readonly onUpgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
  readonly size: number;
  /** Cuts every connection. */
  close(): void;
}

export function socketServer(options: SocketServerOptions): SocketServer {
  const { limits, path = "/connect", heartbeatMs = 15_000 } = options;
  const server = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: limits.maxRequestBytes,
    clientTracking: false,
  });
  const silent = new Map<WebSocket, boolean>();
  const beat = setInterval(() => {
    for (const [socket, wasSilent] of silent) {
      if (wasSilent) {
        socket.terminate();
        continue;
      }
      silent.set(socket, true);
      socket.ping();
    }
  }, heartbeatMs);
  beat.unref();

  const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    socket.on("error", () => socket.destroy());
    const refusal = refusalOf(request, path, options, silent.size >= limits.maxConnections);
    if (refusal !== undefined)
      return void socket.end(`HTTP/1.1 ${refusal}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    server.handleUpgrade(request, socket, head, (ws) => {
      silent.set(ws, false);
      const heard = (): void => void silent.set(ws, false);
      ws.on("pong", heard);
      ws.on("message", heard);
      ws.on("close", () => silent.delete(ws));
      attach(ws, socket, options.open);
    });
  };
  return {
    onUpgrade,
    get size() {
      return silent.size;
    },
    close() {
      clearInterval(beat);
      for (const socket of silent.keys()) socket.terminate();
    },
  };
}

function refusalOf(request: IncomingMessage, path: string, rules: OriginRules, full: boolean): string | undefined {
  if (request.url?.split("?", 1)[0] !== path) return "404 Not Found";
  const { origin, host = "" } = request.headers;
  try {
    checkOrigin({ authority: host, header: (name) => (name === "origin" ? origin : undefined) }, rules);
  } catch {
    return "403 Forbidden";
  }
  return full ? "503 Service Unavailable" : undefined;
}

function attach(ws: WebSocket, socket: Duplex, open: (pipe: Pipe) => PipeEnd): void {
  // Runs after a write is over, so never before there is a session.
  const sent = (error?: Error | null): void => {
    if ((error === undefined || error === null) && ws.bufferedAmount === 0) session.drained();
  };
  const session = open({
    send(message) {
      if (ws.readyState !== ws.OPEN) return;
      ws.send(message, sent);
    },
    unsentBytes: () => ws.bufferedAmount,
    pause: () => ws.pause(),
    resume: () => ws.resume(),
    close(why) {
      // A reason is at most 123 bytes. Whoever does not take the goodbye is cut off.
      ws.close(1000, why.replace(/[^\x20-\x7e]/g, "?").slice(0, 123));
      setTimeout(() => ws.terminate(), 1000).unref();
    },
  });
  ws.on("message", (bytes: RawData, binary: boolean) => {
    if (binary) session.message(bytes as Buffer);
    else session.message(new Uint8Array(0));
  });
  ws.on("error", () => socket.destroy());
  ws.on("close", (_code, reason) => session.closed(reason.toString() || "the connection was closed"));
}

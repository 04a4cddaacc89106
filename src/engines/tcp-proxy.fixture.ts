// A proxy in user space between a client and a server, for tests of what a network does: it passes bytes on, holds them,
// loses them, or breaks the connection. Each direction is told apart: "up" is from client to server, "down" the other.

import { once } from "node:events";
import { createServer, connect, type AddressInfo, type NetConnectOpts, type Socket } from "node:net";

export type Way = "up" | "down";

/** What becomes of the bytes of one direction of one connection. */
type Valve = {
  /** `pass` forwards, `hold` keeps them for later, `lose` throws them away. */
  mode: "pass" | "hold" | "lose";
  readonly kept: Buffer[];
  readonly to: Socket;
  /** Nothing more will come. */
  over: boolean;
  /** How many bytes pass before the connection is cut. */
  left: number;
};

export type Proxied = {
  /** Counts connections, from 1. */
  readonly number: number;
  /** Keeps what comes this way until `release`. The connection seems alive and says nothing: a stall. */
  hold(way: Way): void;
  /** Sends on what was held, and what comes after. */
  release(way: Way): void;
  /** Throws away what comes this way from now on: a black hole. */
  lose(way: Way): void;
  /** Breaks the connection at both ends. What was held is lost. */
  cut(): void;
  /** Passes `count` more bytes this way, then cuts. */
  cutAfter(way: Way, count: number): void;
  /** Calls `fn` with each piece that comes this way, before it is passed on. */
  onBytes(way: Way, fn: (bytes: Buffer) => void): void;
};

export type TcpProxy = {
  readonly port: number;
  /** Those that are open now, in the order they came. */
  connections(): readonly Proxied[];
  /** Calls `fn` for each new connection, before any byte of it is passed on. */
  onConnection(fn: (connection: Proxied) => void): void;
  /** Breaks all that are open. */
  cutAll(): void;
  /** While refusing, a new connection is reset at once: a host without a server. */
  refuse(refusing: boolean): void;
  close(): Promise<void>;
};

/** Listens on 127.0.0.1, on a port of its own, and connects to `target` for each client. */
export async function tcpProxy(target: NetConnectOpts): Promise<TcpProxy> {
  const open = new Set<Proxied>();
  const listeners: ((connection: Proxied) => void)[] = [];
  let refusing = false;
  let count = 0;
  let closed: Promise<void> | undefined;

  const server = createServer((client) => {
    if (refusing) return void client.on("error", () => {}).resetAndDestroy();
    const connection = join(client, connect(target), ++count, () => open.delete(connection));
    open.add(connection);
    for (const listener of listeners) listener(connection);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cutAll = (): void => {
    for (const connection of open) connection.cut();
  };
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => [...open],
    onConnection: (fn) => void listeners.push(fn),
    cutAll,
    refuse: (value) => void (refusing = value),
    close: () =>
      (closed ??= new Promise<void>((resolve) => {
        server.close(() => resolve());
        cutAll();
      })),
  };
}

/** `target` is being connected to: what is written to it meanwhile waits in its own buffer. */
function join(client: Socket, target: Socket, number: number, gone: () => void): Proxied {
  const valves: Record<Way, Valve> = {
    up: { mode: "pass", kept: [], to: target, over: false, left: Number.POSITIVE_INFINITY },
    down: { mode: "pass", kept: [], to: client, over: false, left: Number.POSITIVE_INFINITY },
  };
  const heard: Record<Way, ((bytes: Buffer) => void)[]> = { up: [], down: [] };

  function cut(): void {
    // An orderly end, so that what was passed before still arrives.
    for (const socket of [client, target]) socket.destroySoon();
    gone();
  }
  function carry(way: Way, from: Socket): void {
    const valve = valves[way];
    from.setNoDelay(true);
    from.on("data", (bytes: Buffer) => {
      for (const fn of heard[way]) fn(bytes);
      if (bytes.length > valve.left) return void valve.to.write(bytes.subarray(0, valve.left), cut);
      valve.left -= bytes.length;
      if (valve.mode === "pass") valve.to.write(bytes);
      else if (valve.mode === "hold") valve.kept.push(bytes);
    });
    from.on("error", () => {});
    // An end that would overtake what is held is held too.
    from.on("close", () => {
      valve.over = true;
      if (valve.mode === "pass") valve.to.destroySoon();
      gone();
    });
  }
  carry("up", client);
  carry("down", target);

  return {
    number,
    hold: (way) => void (valves[way].mode = "hold"),
    release(way) {
      const valve = valves[way];
      valve.mode = "pass";
      for (const bytes of valve.kept.splice(0)) valve.to.write(bytes);
      if (valve.over) valve.to.destroySoon();
    },
    lose: (way) => void (valves[way].mode = "lose"),
    cut,
    cutAfter: (way, left) => void (valves[way].left = left),
    onBytes: (way, fn) => void heard[way].push(fn),
  };
}

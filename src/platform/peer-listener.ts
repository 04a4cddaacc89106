// Lets other nodes in: TLS 1.3 with certificates of this cluster on both sides, or plain TCP between nodes on one machine.
//
// S1. A session begins only on a connection whose certificate the cluster's root has signed, that is valid now, and that names a
//     node of this cluster. Resumption is off: a resumed connection shows no certificate.
// S3. Nobody learns more than why he was refused, and nothing he sends reaches a session.

import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import { type Limits, SheafError } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import type { Pipe } from "../rpc/index.ts";
import type { ClusterCa } from "./cluster-ca.ts";
import type { CertifiedIdentity, PeerIdentity, PlainIdentity } from "./identity.ts";
import { serveJoin } from "./join-desk.ts";
import { MalformedMessage } from "./message-reader.ts";
import { Door } from "./peer-door.ts";
import { controlKind, type PeerEnd, PeerPipe } from "./peer-pipe.ts";
import {
  joinProtocol,
  keepTrust,
  loopbackAddress,
  peerOf,
  peerProtocol,
  plainPeer,
  plainName,
  secureContextOf,
  type Trust,
} from "./peer-trust.ts";

/** `maxRecordBytes` bounds one message, `maxConnections` the peers, `headersTimeoutMs` the time until one is accepted. */
export type PeerLimits = Pick<Limits, "maxRecordBytes" | "maxConnections" | "headersTimeoutMs">;

export type ListenPeersOptions = {
  /** Address to bind; loopback when absent, and always for a plain identity. */
  readonly host?: string | undefined;
  /** 0 takes any free port. */
  readonly port: number;
  readonly identity: PeerIdentity;
  /** Begins a session with a node that has shown who it is. May send at once. */
  readonly open: (pipe: Pipe, peer: string) => PeerEnd;
  readonly limits: PeerLimits;
  readonly world: Pick<Host, "clock" | "log">;
  /** Answers newcomers, and renewals of those who joined; nobody can join here without it. */
  readonly issuer?: ClusterCa | undefined;
};

export type PeerListener = {
  readonly port: number;
  /** Peers connected. */
  readonly peers: number;
  /** Connections that have not shown who they are. */
  readonly strangers: number;
  /** Stops listening and says goodbye to every peer. Resolves when all sockets are closed, a second later at most. */
  close(why?: string): Promise<void>;
};

/** A handshake takes milliseconds, and nodes of one cluster are not this many at once. */
const maxStrangers = 256;

/** Listens for other nodes. Rejects with IN_USE when the port is taken, USAGE when the address cannot be bound. */
export async function listenPeers(options: ListenPeersOptions): Promise<PeerListener> {
  const { identity, host = "127.0.0.1", limits, world } = options;
  const door = new Door({
    maxStrangers,
    maxPeers: limits.maxConnections,
    strangerMs: limits.headersTimeoutMs,
    world,
  });
  const server = identity.kind === "plain" ? plainServer(door, identity, options) : tlsServer(door, identity, options);
  server.on("connection", (socket: Socket) => door.enter(socket));
  const port = await bind(server, options.port, host);
  return {
    port,
    get peers() {
      return door.peers;
    },
    get strangers() {
      return door.strangers;
    },
    close: (why = "the node is stopping") =>
      new Promise((resolve) => {
        server.close(() => resolve());
        door.close(why);
      }),
  };
}

function bind(server: Server, port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const taken = cause.code === "EADDRINUSE";
      const says = `the address for other nodes, ${host}:${port}: ${taken ? "it is taken" : cause.message}`;
      reject(new SheafError(taken ? "IN_USE" : "USAGE", says, { cause }));
    });
    server.listen({ port, host, backlog: 1024 }, () => {
      server.removeAllListeners("error");
      // Being out of file descriptors passes, and until then the connections that are there go on.
      server.on("error", () => {});
      resolve((server.address() as AddressInfo).port);
    });
  });
}

function tlsServer(door: Door, identity: CertifiedIdentity, options: ListenPeersOptions): Server {
  const { issuer, limits, world } = options;
  const server = createTlsServer({
    ...secureContextOf(identity),
    requestCert: true,
    // `peerOf` does, before anything else happens: newcomers have no certificate yet, and who is refused is told why.
    rejectUnauthorized: false,
    ALPNProtocols: issuer === undefined ? [peerProtocol] : [peerProtocol, joinProtocol],
    handshakeTimeout: limits.headersTimeoutMs,
  });
  const stopWatching = identity.watch(() => server.setSecureContext(secureContextOf(identity)));
  server.on("close", stopWatching);
  server.on("tlsClientError", (error, socket) => {
    door.refused(socket, error.message);
    socket.destroy();
  });
  server.on("secureConnection", (socket: TLSSocket) => {
    if (socket.alpnProtocol === joinProtocol && issuer !== undefined) return serveJoin(socket, issuer, world);
    if (socket.alpnProtocol !== peerProtocol) return void socket.destroy();
    // What watches over the connection once it is trusted.
    const held: { trust?: Trust } = {};
    const pipe = new PeerPipe(socket, {
      maxMessageBytes: limits.maxRecordBytes,
      control(kind, content) {
        if (kind === controlKind.renewed && held.trust !== undefined) held.trust.renewed(content);
        else throw new MalformedMessage(`no control message of kind ${kind} belongs here`);
      },
      over() {
        held.trust?.stop();
        door.leave(pipe);
      },
    });
    const peer = peerOf(socket, identity, { clock: world.clock });
    if ("refusal" in peer) return refuse(door, socket, pipe, peer.refusal);
    held.trust = keepTrust({ pipe, socket, identity, ...peer, clock: world.clock });
    accept(door, socket, pipe, peer.name, options);
  });
  return server;
}

/** Each side says in clear who it is and is believed: whoever can use this machine's loopback is trusted. */
function plainServer(door: Door, identity: PlainIdentity, options: ListenPeersOptions): Server {
  const { host = "127.0.0.1", limits } = options;
  if (!loopbackAddress.test(host))
    throw new SheafError("USAGE", `without certificates nodes speak over loopback only, not on ${host}`);
  return createTcpServer((socket) => {
    if (!loopbackAddress.test(socket.remoteAddress ?? "")) return void socket.destroy();
    let known = false;
    const pipe = new PeerPipe(socket, {
      maxMessageBytes: limits.maxRecordBytes,
      control(kind, content) {
        if (kind !== controlKind.hello || known) throw new MalformedMessage("a connection begins with one hello");
        known = true;
        const peer = plainPeer(content, { cluster: identity.cluster });
        if ("refusal" in peer) return refuse(door, socket, pipe, peer.refusal);
        accept(door, socket, pipe, peer.name, options);
      },
      over: () => door.leave(pipe),
    });
  });
}

function refuse(door: Door, socket: Socket, pipe: PeerPipe, why: string): void {
  door.refused(socket, why);
  pipe.end(why, "untrusted");
}

function accept(door: Door, socket: Socket, pipe: PeerPipe, peer: string, options: ListenPeersOptions): void {
  if (!door.admit(socket, pipe)) return pipe.close("this node has as many peers as it may have");
  const { identity } = options;
  // Until this comes the other side knows only that it accepts us: TLS 1.3 does not tell it whether we accept it.
  pipe.sendControl(controlKind.welcome, identity.kind === "plain" ? plainName(identity) : undefined);
  pipe.begin(options.open(pipe, peer));
}

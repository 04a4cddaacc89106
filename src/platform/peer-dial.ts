// Connects to another node, over TLS 1.3 with certificates of this cluster on both sides, or plain TCP on one machine.
//
// U1. Exactly one of `opened` and `failed` is said, unless the attempt is given up first, and never before the caller has what it
//     gives up with.
// U2. `opened` means that both sides have accepted each other. A handshake alone does not: in TLS 1.3 the side that connects
//     finishes before its own certificate was looked at.

import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { type Millis, SheafError } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import type { Pipe } from "../rpc/index.ts";
import type { CertifiedIdentity, PeerIdentity } from "./identity.ts";
import { MalformedMessage } from "./message-reader.ts";
import type { PeerLimits } from "./peer-listener.ts";
import { controlKind, type PeerEnd, type PeerLoss, PeerPipe } from "./peer-pipe.ts";
import {
  keepTrust,
  loopbackAddress,
  peerOf,
  peerProtocol,
  plainName,
  plainPeer,
  secureContextOf,
  type Trust,
} from "./peer-trust.ts";

export type DialPeerOptions = {
  readonly host: string;
  readonly port: number;
  readonly identity: PeerIdentity;
  /** The only node that will do; any of the cluster when absent. */
  readonly expect?: string | undefined;
  readonly limits: Pick<PeerLimits, "maxRecordBytes" | "headersTimeoutMs">;
  readonly world: Pick<Host, "clock">;
  /** Until both sides have accepted each other; `limits.headersTimeoutMs` when absent. */
  readonly timeoutMs?: Millis | undefined;
};

/** What becomes of an attempt (U1). */
export type PeerDialEnd = {
  opened(pipe: Pipe, peer: string): PeerEnd;
  /** UNREACHABLE, or UNTRUSTED when either side refuses the other's certificate; `loss` tells more finely. */
  failed(error: SheafError, loss: PeerLoss): void;
};

/** Tries to connect. Returns what gives the attempt up, silently; it does nothing once the connection is open. */
export function dialPeer(options: DialPeerOptions, end: PeerDialEnd): () => void {
  const attempt = new Attempt(options, end);
  return () => attempt.giveUp();
}

class Attempt {
  readonly #options: DialPeerOptions;
  readonly #end: PeerDialEnd;
  readonly #socket: Socket;
  readonly #pipe: PeerPipe;
  readonly #stopWaiting: () => void;
  #stage: "trying" | "open" | "over" = "trying";
  #trust: Trust | undefined;
  /** Who is at the other end, once its certificate has shown it. */
  #peer: string | undefined;

  constructor(options: DialPeerOptions, end: PeerDialEnd) {
    const { identity, limits, world, timeoutMs = limits.headersTimeoutMs } = options;
    this.#options = options;
    this.#end = end;
    this.#socket = identity.kind === "plain" ? this.#connectPlain() : this.#connectTls(identity);
    this.#pipe = new PeerPipe(this.#socket, {
      maxMessageBytes: limits.maxRecordBytes,
      control: (kind, content) => this.#control(kind, content),
      over: (why, loss) => this.#over(why, loss),
    });
    const timer = world.clock.after(timeoutMs, () => this.#pipe.cut(`no answer within ${timeoutMs} ms`, "silent"));
    this.#stopWaiting = () => timer.cancel();
  }

  giveUp(): void {
    if (this.#stage !== "trying") return;
    this.#stage = "over";
    this.#pipe.cut("given up", "closed");
  }

  #connectPlain(): Socket {
    const { host, port, identity } = this.#options;
    const socket = connectTcp({ host, port });
    if (!loopbackAddress.test(host)) {
      socket.destroy(new Error("without certificates nodes speak over loopback only"));
      return socket;
    }
    socket.once("connect", () => this.#pipe.sendControl(controlKind.hello, plainName(identity)));
    return socket;
  }

  #connectTls(identity: CertifiedIdentity): TLSSocket {
    const { host, port } = this.#options;
    const socket = connectTls({
      ...secureContextOf(identity),
      host,
      port,
      ALPNProtocols: [peerProtocol],
      // Certificates name nodes, not hosts: `peerOf` looks at that before anything is sent.
      checkServerIdentity: () => undefined,
    });
    socket.once("secureConnect", () => {
      const { expect: name, world } = this.#options;
      const peer =
        socket.alpnProtocol === peerProtocol
          ? peerOf(socket, identity, { name, clock: world.clock })
          : { refusal: "it does not speak to nodes" };
      if ("refusal" in peer) return this.#pipe.end(peer.refusal, "untrusted");
      this.#peer = peer.name;
      this.#trust = keepTrust({ pipe: this.#pipe, socket, identity, ...peer, clock: world.clock });
    });
    return socket;
  }

  #control(kind: number, content: Buffer): void {
    if (kind === controlKind.welcome && this.#stage === "trying") return this.#welcome(content);
    if (kind === controlKind.renewed && this.#trust !== undefined) return this.#trust.renewed(content);
    throw new MalformedMessage(`no control message of kind ${kind} belongs here`);
  }

  #welcome(content: Buffer): void {
    const { identity, expect: name } = this.#options;
    if (identity.kind === "plain") {
      const peer = plainPeer(content, { cluster: identity.cluster, name });
      if ("refusal" in peer) return this.#pipe.end(peer.refusal, "untrusted");
      this.#peer = peer.name;
    }
    if (this.#peer === undefined) throw new MalformedMessage("a welcome came before a certificate");
    this.#stopWaiting();
    this.#stage = "open";
    this.#pipe.begin(this.#end.opened(this.#pipe, this.#peer));
  }

  #over(why: string, loss: PeerLoss): void {
    this.#stopWaiting();
    this.#trust?.stop();
    if (this.#stage !== "trying") return;
    this.#stage = "over";
    const { host, port } = this.#options;
    const code = loss === "untrusted" ? "UNTRUSTED" : "UNREACHABLE";
    this.#end.failed(new SheafError(code, `no connection to the node at ${host}:${port}: ${why}`), loss);
  }
}

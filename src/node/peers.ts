// The connections of one node with the others: to pass calls on, to hear whether they live, and to answer what they pass on.
//
// N1. Two nodes keep one connection, over which both call: the one that the node with the lower id has dialled (after RFC 4271 §6.8).
// N2. The other dials as well where it has none, and keeps that for its own calls alone until the one above is there. So neither
//     waits for the other, each finds out at once when the other is gone, and a node that knows only of its own is met half way.

import { type Limits, type Millis, SheafError } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { type Calls, Line, Peer, type PeerDial, type PeerOptions, type PeerState } from "../rpc/index.ts";
import { type Pipe, type PipeEnd, respond, type Responder } from "../rpc/index.ts";
import type { HelloFrame } from "../wire/index.ts";

export type PeersOptions = {
  readonly host: Host;
  readonly limits: Limits;
  readonly dial: PeerDial;
  /** Id of the cluster, and of this node. */
  readonly cluster: string;
  readonly self: string;
  readonly beatMs: Millis;
  /** Carries out what another node passes on, here or not at all. */
  readonly calls: Calls;
  changed(node: string, state: PeerState): void;
  heard(node: string): void;
};

/** What nodes add to a request or an answer, at most. */
const envelopeBytes = 64 * 1024;

/** Calls under way on one connection between nodes. */
const maxInFlight = 8192;

const nodePrincipal = { id: "node", roles: ["node"] };

/** What a node says in WELCOME, so that nobody takes it for another that used its address. */
const nameOf = (cluster: string, node: string): string => `${cluster}/${node}`;

export class Peers {
  readonly #options: PeersOptions;
  readonly #out = new Map<string, Peer>();
  /** To nodes that are not wanted any more, until they have answered what they were sent. */
  readonly #retired = new Set<Peer>();
  readonly #in = new Set<Responder>();
  /** Connections from nodes with lower ids, over which this one may call, and does not yet. */
  readonly #offered = new Map<string, Line>();
  #closed = false;
  #deserted: () => void = () => {};

  constructor(options: PeersOptions) {
    this.#options = options;
  }

  /** The connection to a node, if it is wanted. */
  get(node: string): Peer | undefined {
    return this.#out.get(node);
  }

  get nodes(): Iterable<string> {
    return this.#out.keys();
  }

  /** Keeps connections to exactly these nodes. */
  want(members: readonly { readonly id: string; readonly peer: string }[]): void {
    if (this.#closed) return;
    const { self, changed, heard } = this.#options;
    const wanted = new Map(members.filter(({ id }) => id !== self).map(({ id, peer }) => [id, peer]));
    for (const [id, peer] of this.#out) {
      if (wanted.has(id)) continue;
      this.#out.delete(id);
      this.#retired.add(peer);
      peer.retire(() => this.#retired.delete(peer));
    }
    for (const [node, address] of wanted) {
      if (this.#out.has(node)) continue;
      const tell = (state: PeerState): void => {
        if (this.#out.get(node) === peer) changed(node, state);
      };
      const peer = this.#peer(node, address, tell, () => heard(node), this.#way(node));
      this.#out.set(node, peer);
    }
  }

  /** Asks each for a sign of life as seldom as `restMs` allows, and at every beat where it allows nothing. Returns those whose
   *  connections are open and rest. */
  rest(restMs: (node: string) => Millis | undefined): readonly string[] {
    const resting: string[] = [];
    for (const [node, peer] of this.#out) {
      peer.rest(restMs(node));
      if (peer.resting) resting.push(node);
    }
    return resting;
  }

  /** Dials a node that is none of those wanted, to see whether it lives. */
  probe(node: string, address: string, changed: (state: PeerState) => void): { close(): void } {
    return this.#peer(node, address, changed, () => {}, { dial: this.#options.dial });
  }

  /** Over a connection that the node has made, or one of its own. */
  #way(node: string): Pick<PeerOptions, "dial" | "both"> {
    const { dial, self } = this.#options;
    if (self < node)
      return {
        both: true,
        dial: (address, end) => dial(address, { ...end, opened: (pipe) => this.#shared(pipe, end) }),
      };
    return {
      dial: (address, end) => {
        const line = this.#offered.get(node);
        if (!line) return dial(address, end);
        this.#offered.delete(node);
        line.ask((pipe) => end.opened(pipe));
        return () => {};
      },
    };
  }

  #shared(pipe: Pipe, end: Parameters<PeerDial>[1]): PipeEnd {
    const line: Line = new Line(pipe, (way) => this.#respond(way, line));
    line.ask((way) => end.opened(way));
    return line;
  }

  #peer(
    node: string,
    address: string,
    changed: (state: PeerState) => void,
    heard: () => void,
    way: Pick<PeerOptions, "dial" | "both">,
  ): Peer {
    const { host, limits, cluster, self, beatMs } = this.#options;
    const expects = nameOf(cluster, node);
    return new Peer({
      ...way,
      clock: host.clock,
      address,
      self,
      node,
      app: "node",
      expects,
      limits,
      beatMs,
      changed,
      heard,
    });
  }

  /** Answers a connection that another node has made. */
  accept(pipe: Pipe): PipeEnd {
    const line: Line = new Line(pipe, (way) => this.#respond(way, line));
    line.answer();
    return line;
  }

  #respond(pipe: Pipe, line: Line): Responder {
    const { host, limits, cluster, self, calls } = this.#options;
    const responder = respond(pipe, {
      clock: host.clock,
      calls,
      cluster: nameOf(cluster, self),
      limits: {
        ...limits,
        maxRequestBytes: limits.maxRequestBytes + envelopeBytes,
        maxReplyBytes: limits.maxRecordBytes - envelopeBytes,
        maxInFlight,
      },
      accept: (hello) => {
        this.#offer(hello, line);
        return nodePrincipal;
      },
      recheckMs: 24 * 60 * 60_000,
      helloMs: limits.headersTimeoutMs,
      permit: () => {},
      ended: (ended) => {
        this.#in.delete(ended);
        for (const [node, offered] of this.#offered) if (offered === line) this.#offered.delete(node);
        if (this.#in.size === 0) this.#deserted();
      },
      expose: (error) => error,
      between: self,
    });
    this.#in.add(responder);
    if (this.#closed) responder.drain();
    return responder;
  }

  /** A node that is called over its own connection might be called back over it (N1). */
  #offer({ issuer: node, both }: HelloFrame, line: Line): void {
    if (!both || !line.unused || node >= this.#options.self || this.#closed) return;
    this.#offered.set(node, line);
    this.#out.get(node)?.move();
  }

  /** Tells those who call this node to go elsewhere, and waits until they are owed nothing, but not for those who stand
   *  still: what they sent before they heard is answered. */
  async close(patienceMs: Millis): Promise<void> {
    this.#closed = true;
    for (const peer of [...this.#out.values(), ...this.#retired]) peer.close();
    this.#out.clear();
    for (const responder of this.#in) responder.drain();
    if (this.#in.size > 0)
      await new Promise<void>((resolve) => {
        const timer = this.#options.host.clock.after(patienceMs, resolve);
        this.#deserted = () => (timer.cancel(), resolve());
      });
    for (const responder of this.#in) responder.end(new SheafError("STOPPING"));
  }
}

// The connections of one node with the others: one out to each, to pass calls on and to hear whether it lives; and those that
// others have made, answered by this node alone.

import { type Limits, type Millis, SheafError } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { type Calls, Peer, type PeerDial, type PeerState, type Pipe, type PipeEnd, respond } from "../rpc/index.ts";
import type { Responder } from "../rpc/index.ts";

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
      const peer = this.#dial(node, address, tell, () => heard(node));
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
    return this.#dial(node, address, changed, () => {});
  }

  #dial(node: string, address: string, changed: (state: PeerState) => void, heard: () => void): Peer {
    const { host, limits, dial, cluster, self, beatMs } = this.#options;
    const expects = nameOf(cluster, node);
    return new Peer({
      clock: host.clock,
      dial,
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
      accept: () => nodePrincipal,
      recheckMs: 24 * 60 * 60_000,
      helloMs: limits.headersTimeoutMs,
      permit: () => {},
      ended: (ended) => {
        this.#in.delete(ended);
        if (this.#in.size === 0) this.#deserted();
      },
      expose: (error) => error,
      between: self,
    });
    this.#in.add(responder);
    if (this.#closed) responder.drain();
    return responder;
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

// The places that a listener has: few and for a short time for those who have not shown who they are, many for peers.
//
// S2. When all places for strangers are taken, the one that came first goes: idle sockets cannot keep nodes out, nor take
//     memory without bound. None stays longer than its time, however busy it looks.

import type { Socket } from "node:net";
import type { Millis, Tick } from "../base/index.ts";
import type { Host, Timer } from "../host/index.ts";
import type { PeerPipe } from "./peer-pipe.ts";

export type DoorOptions = {
  readonly maxStrangers: number;
  readonly maxPeers: number;
  readonly strangerMs: Millis;
  readonly world: Pick<Host, "clock" | "log">;
};

type Stranger = { readonly socket: Socket; readonly timer: Timer };

const keyOf = (socket: Socket): string => `${socket.remoteAddress} ${socket.remotePort}`;
const quietMs: Millis = 1_000;
/** While a cluster forms, nodes dial each other before all of them can know each other: what settles by itself is no warning. */
const formingMs: Millis = 10_000;

export class Door {
  readonly #options: DoorOptions;
  /** By address and port, in the order in which they came: the socket under a TLS socket has the same ones. */
  readonly #strangers = new Map<string, Stranger>();
  readonly #peers = new Set<PeerPipe>();
  readonly #openedAt: Tick;
  #saidAt: Tick = Number.NEGATIVE_INFINITY;
  #unsaid = 0;

  constructor(options: DoorOptions) {
    this.#options = options;
    this.#openedAt = options.world.clock.tick();
  }

  get peers(): number {
    return this.#peers.size;
  }

  get strangers(): number {
    return this.#strangers.size;
  }

  /** Someone connected (S2). */
  enter(socket: Socket): void {
    const { maxStrangers, strangerMs, world } = this.#options;
    socket.on("error", () => socket.destroy());
    const key = keyOf(socket);
    const timer = world.clock.after(strangerMs, () => socket.destroy());
    this.#strangers.set(key, { socket, timer });
    socket.once("close", () => {
      timer.cancel();
      if (this.#strangers.get(key)?.socket === socket) this.#strangers.delete(key);
    });
    for (const [oldest, stranger] of this.#strangers) {
      if (this.#strangers.size <= maxStrangers) break;
      this.#strangers.delete(oldest);
      stranger.socket.destroy();
    }
  }

  /** This one has shown who it is. False when there are as many peers as there may be. */
  admit(socket: Socket, pipe: PeerPipe): boolean {
    if (this.#peers.size >= this.#options.maxPeers) return false;
    this.#strangers.get(keyOf(socket))?.timer.cancel();
    this.#strangers.delete(keyOf(socket));
    this.#peers.add(pipe);
    return true;
  }

  /** Says in the log who was refused and why: once a second at most, and how many there were meanwhile. In the first seconds it is
   *  no warning; if it goes on, those are counted in the first one. */
  refused(socket: Socket, why: string): void {
    const { clock, log } = this.#options.world;
    const from = socket.remoteAddress;
    this.#unsaid++;
    if (clock.tick() - this.#openedAt < formingMs) return log.debug("peer refused", { from, why });
    if (clock.tick() - this.#saidAt < quietMs) return;
    log.warn("peer refused", { from, why, count: this.#unsaid });
    this.#saidAt = clock.tick();
    this.#unsaid = 0;
  }

  leave(pipe: PeerPipe): void {
    this.#peers.delete(pipe);
  }

  /** Sends everybody away. */
  close(why: string): void {
    for (const { socket, timer } of this.#strangers.values()) {
      timer.cancel();
      socket.destroy();
    }
    for (const pipe of this.#peers) pipe.close(why);
  }
}

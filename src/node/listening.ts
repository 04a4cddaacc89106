// How a node hears of the others: some it asks at every beat, the others rest (see `Watch`), and what one does not hear all
// look at.

import type { Millis, Tick } from "../base/index.ts";
import { type Members, mostAccused, Watch } from "../cluster/index.ts";
import type { Timing, View, Why } from "../cluster/index.ts";
import type { Peers } from "./peers.ts";

/** Why a member that is dead will not come back under this id. */
const over: ReadonlySet<Why | undefined> = new Set<Why>(["left", "superseded"]);

/** Has another node look whether these live. */
export type Tell = (node: string, ids: readonly string[], withinMs: Millis) => Promise<unknown>;

export class Listening {
  readonly #watch: Watch;
  readonly #timing: Timing;
  readonly #members: Members;
  readonly #peers: Peers;
  readonly #tell: Tell;
  /** Version of the view by which it was last worked out whom to be connected to. */
  #met = 0;

  constructor(self: string, timing: Timing, members: Members, peers: Peers, tell: Tell) {
    this.#watch = new Watch(self, timing);
    this.#timing = timing;
    this.#members = members;
    this.#peers = peers;
    this.#tell = tell;
  }

  /** Keeps connections to all who are there, and watches the neighbours among them. */
  meet({ version, members }: View): void {
    if (this.#met === version) return;
    this.#met = version;
    this.#peers.want(members.filter(({ why }) => !over.has(why)).map(({ member }) => member));
    this.#watch.among(members.filter(({ standing }) => standing !== "dead").map(({ member }) => member.id));
  }

  /** Whoever rests is heard as long as its connection is open and no neighbour of its says otherwise. */
  beat(now: Tick): void {
    for (const id of this.#peers.rest((node) => this.#watch.restMs(node, now))) this.#members.heard(id, now);
  }

  /** Has everyone look whether these live, if this node has just ceased to hear them. */
  tellOf(unheard: readonly string[]): void {
    const news = this.#watch.toTell(unheard);
    if (news.length === 0) return;
    for (const node of this.#peers.nodes)
      if (!unheard.includes(node)) this.#tell(node, news, this.#timing.leaseMs).catch(() => {});
  }

  /** Somebody does not hear these, names in a message of any release: are they heard here? */
  lookAt(given: unknown, now: Tick): void {
    if (!Array.isArray(given)) return;
    const ids = given.filter((id) => typeof id === "string").slice(0, mostAccused);
    if (ids.length === 0) return;
    this.#watch.named(ids, now);
    this.beat(now);
  }
}

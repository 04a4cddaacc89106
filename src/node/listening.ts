// How a node hears of the others: some it asks at every beat, the others rest (see `Watch`), and what one does not hear all
// look at.

import type { Millis, Tick } from "../base/index.ts";
import { type Members, mostAccused, type Still, Watch } from "../cluster/index.ts";
import type { Timing, View, Why } from "../cluster/index.ts";
import type { Peers } from "./peers.ts";

/** Why a member that is dead will not come back under this id. */
const over: ReadonlySet<Why | undefined> = new Set<Why>(["left", "superseded"]);

/** Has another node look whether some live: their ids, and what is seen of each here. An earlier release reads the ids alone. */
export type Tell = (node: string, of: readonly (string | Still)[], withinMs: Millis) => Promise<unknown>;

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

  /** Whose beats are to be read at the next look at the registry. */
  lookFor(now: Tick): readonly string[] {
    return [...new Set([...this.#members.lookFor(now), ...this.#watch.watched(now)])];
  }

  /** Has everyone look at those whom this node finds still, and has not been told of. */
  tellNews(now: Tick): void {
    const still = this.#members.still(now);
    const ids = still.map(({ id }) => id);
    const news = new Set(this.#watch.toTell(ids, now));
    if (news.size === 0) return;
    const of = [...news, ...still.filter(({ id }) => news.has(id))];
    for (const node of this.#peers.nodes)
      if (!ids.includes(node)) this.#tell(node, of, this.#timing.leaseMs).catch(() => {});
  }

  /** Somebody finds these still, in a message of any release: what is heard and seen of them here? Whether that was news. */
  lookAt(given: unknown, now: Tick): boolean {
    if (!Array.isArray(given)) return false;
    const ids = given.filter((id) => typeof id === "string").slice(0, mostAccused);
    if (ids.length === 0) return false;
    for (const { id, beat, forMs } of given.filter(isStill)) this.#members.stood(id, beat, forMs, now);
    const isNews = this.#watch.named(ids, now);
    this.beat(now);
    return isNews;
  }
}

const isStill = (given: unknown): given is Still => {
  const { id, beat, forMs } = (given ?? {}) as Record<string, unknown>;
  return typeof id === "string" && Number.isSafeInteger(beat) && typeof forMs === "number" && forMs >= 0;
};

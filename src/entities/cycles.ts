// Commands that wait for each other on several nodes: each holds an entity that a call of the next one waits for. What a node
// sees of itself is refused as it comes (`Entities`); this finds the rest, before their deadlines. Who has waited for a while asks
// from node to node who waits for what he himself waits for, in the manner of Chandy, Misra and Haas (1983).
//
// W1. Nobody is refused but who waits for himself: he is still in line behind the same command when the last answer has come,
//     so that everybody in between, each of whom waits for the next, has waited all the time.
// W2. Of several who find the same at once, one is refused first: who waits for the command with the greatest name. The others
//     are when they find it again.

import type { Millis } from "../base/index.ts";
import type { Clock, Timer } from "../host/index.ts";
import type { Link } from "../rpc/index.ts";
import type { Attempt } from "./attempt.ts";
import type { Mailbox } from "./mailbox.ts";

/** What the commands in line behind a command are part of: for each its commands up the chain, outermost first. */
export type Chains = readonly (readonly Link[])[];

/** Asks a node who is in line there behind a command that runs. */
export type AskWaiting = (node: string, link: Link) => Promise<Chains>;

const sweepMs: Millis = 100;
/** Sweeps after which somebody who waits asks for the first time, and twice as many each time after. */
const firstAsk = 2;
/** Who asks at once: a slow entity that many wait for is no reason for a storm. */
const mostAsking = 64;
/** Commands that one question goes by, and chains that one node answers it with. */
const mostAsked = 256;
const mostChains = 256;

type Watched = { sweeps: number; nextAsk: number; asking: boolean; found: boolean };

export class Cycles {
  readonly #clock: Clock;
  readonly #self: string;
  readonly #ask: AskWaiting;
  readonly #refuse: (attempt: Attempt) => void;
  readonly #watched = new Map<Attempt, Watched>();
  #asking = 0;
  #timer: Timer | undefined;

  /** `self`: id of this node. */
  constructor(clock: Clock, self: string, ask: AskWaiting, refuse: (attempt: Attempt) => void) {
    this.#clock = clock;
    this.#self = self;
    this.#ask = ask;
    this.#refuse = refuse;
  }

  /** A call made inside another command is in line for an entity. */
  watch(attempt: Attempt): void {
    this.#watched.set(attempt, { sweeps: 0, nextAsk: firstAsk, asking: false, found: false });
    this.#timer ??= this.#clock.after(sweepMs, () => this.#sweep());
  }

  close(): void {
    this.#timer?.cancel();
    this.#watched.clear();
  }

  #sweep(): void {
    for (const [attempt, watched] of this.#watched) {
      if (attempt.phase !== "waiting") this.#watched.delete(attempt);
      else if (++watched.sweeps >= watched.nextAsk && !watched.asking && this.#asking < mostAsking)
        void this.#look(attempt, watched);
    }
    this.#timer = this.#watched.size === 0 ? undefined : this.#clock.after(sweepMs, () => this.#sweep());
  }

  async #look(attempt: Attempt, watched: Watched): Promise<void> {
    const holder = holderBefore(attempt);
    if (holder === undefined) return;
    watched.asking = true;
    this.#asking++;
    const own = this.#nameOf(holder);
    const cycle = await this.#cycle(own, this.#commandsOf(attempt));
    this.#asking--;
    watched.asking = false;
    watched.nextAsk = watched.sweeps * 2;
    const wasFound = watched.found;
    watched.found = cycle !== undefined;
    if (cycle === undefined || attempt.phase !== "waiting" || holderBefore(attempt) !== holder) return; // W1
    const isFirst = cycle.every((name) => name <= own);
    if (isFirst || wasFound) this.#refuse(attempt); // W2
  }

  /** Names of the commands of a cycle that `own` is part of, if these wait for it: breadth first, so the shortest. */
  async #cycle(own: string, waiting: readonly Link[]): Promise<readonly string[] | undefined> {
    const met = new Set<string>([own]);
    let next = waiting.map((link) => ({ link, path: [own] }));
    while (next.length > 0) {
      const asked = next.filter(({ link: { op } }) => met.size < mostAsked && !met.has(op) && met.add(op));
      next = [];
      const answers = await Promise.all(asked.map(({ link }) => this.#behind(link)));
      for (const [i, chains] of answers.entries()) {
        const { link, path } = asked[i]!;
        const longer = [...path, link.op];
        for (const chain of chains) {
          if (chain.some(({ op }) => op === own)) return longer;
          next.push(...chain.map((further) => ({ link: further, path: longer })));
        }
      }
    }
    return undefined;
  }

  /** Nobody is known to wait where the node cannot be asked, or runs a release that does not tell. */
  #behind(link: Link): Promise<Chains> {
    const node = link.op.slice(link.op.indexOf("@") + 1);
    return this.#ask(node, link).catch(() => []);
  }

  /** Who is in line behind this command, if it runs here. */
  chainsBehind({ op }: Link, box: Mailbox | undefined): Chains {
    if (box?.running === undefined || this.#nameOf(box.running) !== op) return [];
    const inside = box.queue.filter(({ phase, task }) => phase === "waiting" && task.call.chain !== undefined);
    return inside.slice(0, mostChains).map((attempt) => this.#commandsOf(attempt));
  }

  #nameOf({ task }: Attempt): string {
    return `${task.number}@${this.#self}`;
  }

  /** The commands around a call, by the names that all nodes know them by: the others hold nothing that anybody waits for. */
  #commandsOf({ task }: Attempt): readonly Link[] {
    const commands = (task.call.chain ?? []).filter(({ key }) => key !== "");
    return commands.map(({ op, type, key }) => ({ op: op.includes("@") ? op : `${op}@${this.#self}`, type, key }));
  }
}

const holderBefore = ({ hot }: Attempt): Attempt | undefined => (hot?.mailbox as Mailbox | undefined)?.running;

/** What another node has asked; undefined where it is not what nodes say. */
export function readLink(value: unknown): Link | undefined {
  const { op, type, key } = (value ?? {}) as Partial<Record<string, unknown>>;
  return typeof op === "string" && typeof type === "string" && typeof key === "string" ? { op, type, key } : undefined;
}

/** What another node has answered. */
export const readChains = (value: unknown): Chains =>
  listOf(value).map((chain) => listOf(chain).flatMap((link) => readLink(link) ?? []));

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

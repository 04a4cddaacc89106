// The network between simulated nodes: connections that deliver in order, each way with its own delays, that break when a
// node dies, and that carry nothing while the way is cut. What was sent on a cut way arrives when it is mended, as TCP
// would send it again, unless the connection was given up meanwhile.

import type { Millis } from "../base/index.ts";
import type { PeerDial, Pipe, PipeEnd } from "../rpc/index.ts";
import type { Random } from "./random.ts";
import type { Schedule } from "./schedule.ts";
import type { Weather } from "./weather.ts";

export interface Network {
  /** Connections that a node makes; `alive` says whether it still runs. */
  dialer(from: string, alive: () => boolean): PeerDial;
  /** This node now answers at its address; returns how it ends, as when the process dies. */
  listen(address: string, accept: (pipe: Pipe) => PipeEnd): () => void;
}

export type NetworkOptions = { readonly schedule: Schedule; readonly random: Random; readonly weather: Weather };

/** The way from one node to another, as weather names it. */
export const wayOf = (from: string, to: string): string => `${from}>${to}`;

type Side = {
  readonly name: string;
  end: PipeEnd | undefined;
  open: boolean;
  /** What is on its way to this side, in order. */
  readonly inbox: (() => void)[];
  paused: boolean;
};

/** How long a cut way is before it is looked at again. */
const lookAgainMs: Millis = 1;

export function createNetwork({ schedule, random, weather }: NetworkOptions): Network {
  const listeners = new Map<string, (pipe: Pipe) => PipeEnd>();
  const delay = (): Millis => 0.05 + random.float() * random.float() * 2;

  /** Runs what arrives at `to`, in order, each when the way there is open. */
  const arrive = (from: Side, to: Side, run: () => void): void => {
    to.inbox.push(run);
    if (to.inbox.length > 1) return;
    const next = (): void => {
      if (weather.cutBetween.has(wayOf(from.name, to.name)) || to.paused) {
        if (to.open) schedule.after(lookAgainMs, wayOf(from.name, to.name), next);
        else to.inbox.length = 0;
        return;
      }
      to.inbox[0]?.();
      to.inbox.shift();
      if (to.inbox.length > 0) schedule.after(delay() / 4, wayOf(from.name, to.name), next);
    };
    schedule.after(delay(), wayOf(from.name, to.name), next);
  };

  const shut = (side: Side, why: string): void => {
    if (!side.open) return;
    side.open = false;
    side.end?.closed(why);
  };

  const pipe = (here: Side, there: Side): Pipe => ({
    send(message) {
      if (!here.open) return;
      const copy = message.slice();
      arrive(here, there, () => {
        if (there.open) there.end?.message(copy);
      });
    },
    unsentBytes: () => 0,
    pause: () => void (here.paused = true),
    resume: () => void (here.paused = false),
    close(why) {
      if (!here.open) return;
      here.open = false;
      arrive(here, there, () => shut(there, why));
      schedule.after(0, `${here.name}:closed`, () => here.end?.closed(why));
    },
  });

  /** Ends of connections at each node, with the end across. */
  const ends = new Map<string, Map<Side, Side>>();
  const endsOf = (name: string): Map<Side, Side> => {
    const known = ends.get(name) ?? new Map<Side, Side>();
    ends.set(name, known);
    return known;
  };
  const side = (name: string): Side => ({ name, end: undefined, open: true, inbox: [], paused: false });

  const connect = (from: string, address: string, accept: (pipe: Pipe) => PipeEnd): { near: Side; far: Side } => {
    const [near, far] = [side(from), side(address)];
    endsOf(from).set(near, far);
    endsOf(address).set(far, near);
    far.end = accept(pipe(far, near));
    return { near, far };
  };

  return {
    dialer: (from, alive) => (address, end) => {
      let over = false;
      const cut = (): boolean =>
        weather.cutBetween.has(wayOf(from, address)) || weather.cutBetween.has(wayOf(address, from));
      const attempt = (): void => {
        if (over || !alive()) return;
        if (cut()) return void schedule.after(lookAgainMs, wayOf(from, address), attempt);
        const accept = listeners.get(address);
        if (!accept) {
          over = true;
          return end.failed("nothing listens there", true);
        }
        const { near, far } = connect(from, address, accept);
        schedule.after(delay(), wayOf(address, from), () => {
          if (over || !near.open || !alive()) return shut(far, "given up");
          over = true;
          if (!far.open) return end.failed("the other side died", false);
          near.end = end.opened(pipe(near, far));
        });
      };
      schedule.after(delay(), wayOf(from, address), attempt);
      return () => void (over = true);
    },
    listen(address, accept) {
      listeners.set(address, accept);
      return () => {
        listeners.delete(address);
        for (const [mine, other] of endsOf(address)) {
          mine.open = false;
          arrive(mine, other, () => shut(other, "the other side died"));
        }
        ends.delete(address);
      };
    },
  };
}

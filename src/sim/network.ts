// The network between simulated nodes: connections that deliver in order, each way with its own delays, that break when a
// node dies, and that carry nothing while the way is cut. What was sent on a cut way arrives when it is mended, as TCP
// would send it again, unless the connection was given up meanwhile. A paused node is connected to and sent to, and reads
// when it goes on.

import type { Millis } from "../base/index.ts";
import type { PeerDial, Pipe, PipeEnd } from "../rpc/index.ts";
import type { Random } from "./random.ts";
import type { Schedule } from "./schedule.ts";
import type { Weather } from "./weather.ts";

/** A node as the network sees it. */
export type Station = {
  readonly name: string;
  alive(): boolean;
  /** Hands something to the node, when it runs. */
  deliver(act: () => void): void;
};

export interface Network {
  /** Connections that a node makes. */
  dialer(from: Station): PeerDial;
  /** This node now answers at its name; returns how it ends, as when the process dies. */
  listen(station: Station, accept: (pipe: Pipe) => PipeEnd): () => void;
}

export type NetworkOptions = { readonly schedule: Schedule; readonly random: Random; readonly weather: Weather };

/** The way from one node to another, as weather names it. */
export const wayOf = (from: string, to: string): string => `${from}>${to}`;

type Side = {
  readonly name: string;
  readonly station: Station;
  end: PipeEnd | undefined;
  open: boolean;
  /** What is on its way to this side, in order. */
  readonly inbox: (() => void)[];
  paused: boolean;
};

type Listener = { readonly station: Station; readonly accept: (pipe: Pipe) => PipeEnd };

/** How long a cut way is before it is looked at again. */
const lookAgainMs: Millis = 2;
/** Of dials over a way that lags. */
const chanceOfLostDial = 0.3;

export function createNetwork({ schedule, random, weather }: NetworkOptions): Network {
  const listeners = new Map<string, Listener>();
  const delay = (): Millis => 0.05 + random.float() * random.float() * 2;
  const lag = (way: string): Millis => {
    const most = weather.lagBetween.get(way);
    return most === undefined ? 0 : most * random.float();
  };

  /** Runs what arrives at `to`, in order, each when the way there is open. */
  const arrive = (from: Side, to: Side, run: () => void): void => {
    to.inbox.push(run);
    if (to.inbox.length > 1) return;
    const way = wayOf(from.name, to.name);
    const next = (): void => {
      if (!to.station.alive()) return void (to.inbox.length = 0);
      if (weather.cutBetween.has(way) || to.paused) {
        if (to.open) schedule.after(lookAgainMs, way, next);
        else to.inbox.length = 0;
        return;
      }
      to.station.deliver(() => {
        to.inbox.shift()?.();
        if (to.inbox.length > 0) schedule.after(delay() / 4, way, next);
      });
    };
    schedule.after(delay() + lag(way), way, next);
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
      schedule.after(0, `${here.name}:closed`, () => here.station.deliver(() => here.end?.closed(why)));
    },
  });

  /** Ends of connections at each node, with the end across. */
  const ends = new Map<string, Map<Side, Side>>();
  const endsOf = (name: string): Map<Side, Side> => {
    const known = ends.get(name) ?? new Map<Side, Side>();
    ends.set(name, known);
    return known;
  };
  const side = (station: Station): Side => ({
    name: station.name,
    station,
    end: undefined,
    open: true,
    inbox: [],
    paused: false,
  });

  /** The other machine accepts the connection; its process hears of that when it runs. */
  const connect = (from: Station, { station, accept }: Listener): { near: Side; far: Side } => {
    const [near, far] = [side(from), side(station)];
    endsOf(near.name).set(near, far);
    endsOf(far.name).set(far, near);
    station.deliver(() => {
      if (far.open) far.end = accept(pipe(far, near));
    });
    return { near, far };
  };

  return {
    dialer: (from) => (address, end) => {
      const [there, back] = [wayOf(from.name, address), wayOf(address, from.name)];
      let over = false;
      const fail = (why: string, refused: boolean): void =>
        from.deliver(() => {
          if (over) return;
          over = true;
          end.failed(why, refused);
        });
      const attempt = (): void => {
        if (over || !from.alive()) return;
        if (weather.cutBetween.has(there) || weather.cutBetween.has(back))
          return void schedule.after(lookAgainMs, there, attempt);
        if (weather.lagBetween.has(there) && random.chance(chanceOfLostDial)) return fail("the dial was lost", false);
        const listener = listeners.get(address);
        if (!listener) return fail("nothing listens there", true);
        const { near, far } = connect(from, listener);
        schedule.after(delay() + lag(back), back, () => {
          const opened = (): void => {
            if (over || !near.open) return arrive(near, far, () => shut(far, "given up"));
            over = true;
            if (!far.open) return end.failed("the other side died", false);
            near.end = end.opened(pipe(near, far));
          };
          if (from.alive()) from.deliver(opened);
          else arrive(near, far, () => shut(far, "given up"));
        });
      };
      schedule.after(delay() + lag(there), there, attempt);
      return () => void (over = true);
    },
    listen(station, accept) {
      const address = station.name;
      const listener = { station, accept };
      listeners.set(address, listener);
      return () => {
        if (listeners.get(address) === listener) listeners.delete(address);
        for (const [mine, other] of endsOf(address)) {
          if (mine.station !== station) continue;
          endsOf(address).delete(mine);
          mine.open = false;
          arrive(mine, other, () => shut(other, "the other side died"));
        }
      };
    },
  };
}

// The faults that strike, each as what is done and how it is undone. A fault that cannot be had here says why: it is never
// left out in silence.

import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "../../src/sim/random.ts";
import type { Disk } from "./disk.ts";
import type { Servers } from "./engine.ts";
import type { Nodes, TorturedNode } from "./nodes.ts";
import type { World } from "./private-world.ts";

export type Scene = {
  readonly world: World;
  readonly nodes: Nodes;
  readonly servers: Servers;
  /** Undefined where there is none; then `noDisk` says why. */
  readonly disk: Disk | undefined;
  readonly noDisk: string;
  readonly random: Random;
  /** How far ahead a node's clock was at most. */
  clocksAheadMs: number;
  /** Around what takes the files away under whoever reads the journals. */
  readonly eyesShut: (during: () => Promise<void>) => Promise<void>;
};

export type Fault = {
  readonly says: string;
  /** No call that any node might take may fail while it lasts, unless it runs out of time. */
  readonly silent?: true;
  /** It takes shards from a node: somebody must have taken over. */
  readonly moves?: true;
  /** Why it cannot be had; undefined when it can. */
  missing(scene: Scene): string | undefined;
  /** Resolves when all is as it was. */
  strike(scene: Scene): Promise<void>;
};

const hourMs = 3_600_000;

/** How long most faults last: long enough to be noticed and acted upon, and at times longer than that. */
const lasting = ({ random }: Scene): Promise<void> => sleep(1_500 + random.float() * 2_500);
const pick = ({ nodes, random }: Scene): TorturedNode => random.pick(nodes.all);
const pair = ({ nodes, random }: Scene): readonly [number, number] => {
  const one = random.below(nodes.all.length);
  return [one, (one + 1 + random.below(nodes.all.length - 1)) % nodes.all.length];
};
const never = (): undefined => undefined;
const noCables = ({ world }: Scene): string | undefined => (world.cables === undefined ? world.why : undefined);
const noDisk = ({ disk, noDisk }: Scene): string | undefined => (disk === undefined ? noDisk : undefined);

const crashes: Readonly<Record<string, Fault>> = {
  kill: {
    says: "kill -9 of a node; it is started again",
    moves: true,
    missing: never,
    async strike(scene) {
      const node = pick(scene);
      await node.kill();
      await lasting(scene);
      await node.start();
    },
  },
  pause: {
    says: "a node stands still (SIGSTOP) and goes on (SIGCONT)",
    missing: never,
    async strike(scene) {
      const node = pick(scene);
      node.signal("SIGSTOP");
      await lasting(scene);
      node.signal("SIGCONT");
    },
  },
  rolling: {
    says: "every node in turn is stopped in good order and started again",
    silent: true,
    missing: never,
    async strike({ nodes }) {
      for (const node of nodes.all) {
        await node.stop();
        await node.start();
      }
    },
  },
  outage: {
    says: "kill -9 of all nodes at once; they are started again",
    moves: true,
    missing: never,
    async strike({ nodes }) {
      await Promise.all(nodes.all.map((node) => node.kill()));
      await Promise.all(nodes.all.map((node) => node.start()));
    },
  },
};

const cuts: Readonly<Record<string, Fault>> = {
  "one-way": {
    says: "what one node sends to another is lost; the other way it arrives",
    missing: noCables,
    async strike(scene) {
      scene.world.cables!.oneWay(...pair(scene));
      await lasting(scene);
      scene.world.cables!.heal();
    },
  },
  apart: {
    says: "two nodes cannot talk to each other; both reach everybody else",
    missing: noCables,
    async strike(scene) {
      scene.world.cables!.apart(...pair(scene));
      await lasting(scene);
      scene.world.cables!.heal();
    },
  },
  cut: {
    says: "a node's cable is pulled",
    missing: noCables,
    async strike(scene) {
      scene.world.cables!.cut(scene.random.below(scene.nodes.all.length));
      await lasting(scene);
      scene.world.cables!.heal();
    },
  },
  flap: {
    says: "a node's cable is pulled and put back, six times within six seconds",
    missing: noCables,
    async strike({ world, nodes, random }) {
      const at = random.below(nodes.all.length);
      for (let times = 0; times < 6; times++) {
        world.cables!.cut(at);
        await sleep(500);
        world.cables!.heal();
        await sleep(500);
      }
    },
  },
  "no-engine": {
    says: "a node does not reach the engine; everybody else does",
    missing: (scene) => noCables(scene) ?? (scene.servers.remote ? undefined : "this engine is a file, not a server"),
    async strike(scene) {
      scene.world.cables!.fromEngine(scene.random.below(scene.nodes.all.length));
      await lasting(scene);
      scene.world.cables!.heal();
    },
  },
};

const losses: Readonly<Record<string, Fault>> = {
  engine: {
    says: "the engine's server, or the one of them that leads, is killed and started again",
    missing: ({ servers }) => (servers.crashOne === undefined ? "this engine has no server" : undefined),
    async strike(scene) {
      await scene.servers.crashOne!();
      await sleep(500 + scene.random.float() * 1_500);
      await scene.servers.revive();
    },
  },
  full: {
    says: "the disk of engine and nodes is full, and has room again",
    missing: noDisk,
    async strike(scene) {
      scene.disk!.fill();
      await lasting(scene);
      scene.disk!.empty();
      await scene.servers.revive();
    },
  },
  stall: {
    says: "every write and sync of engine and nodes hangs",
    missing: noDisk,
    async strike(scene) {
      const ms = 1_500 + scene.random.float() * 2_000;
      scene.disk!.stall(ms);
      await sleep(ms);
      await scene.servers.revive();
    },
  },
  power: {
    says: "engine and nodes lose power: only what had reached the disk is there when they start again",
    moves: true,
    missing: noDisk,
    strike: ({ nodes, servers, disk, eyesShut }) =>
      eyesShut(async () => {
        await Promise.all([...nodes.all.map((node) => node.kill()), servers.crash()]);
        await disk!.powerCut();
        await servers.revive();
        await Promise.all(nodes.all.map((node) => node.start()));
      }),
  },
};

const clocks: Readonly<Record<string, Fault>> = {
  clock: {
    says: "a node's wall clock jumps ahead, by up to an hour, jumps back as far, runs ten times too fast, and is set right",
    missing: never,
    async strike(scene) {
      const { clock } = pick(scene);
      // Beyond where any clock has been: journals remember, and would not notice. Some hours short of what certificates bear.
      const jumpMs = scene.clocksAheadMs > 8 * hourMs ? 100 : scene.random.pick([100, 5_000, hourMs / 12, hourMs]);
      const aheadMs = scene.clocksAheadMs + jumpMs;
      for (const wrong of [
        { offsetMs: aheadMs, rate: 1 },
        { offsetMs: -jumpMs, rate: 1 },
        { offsetMs: aheadMs, rate: 10 },
      ]) {
        await clock.set(wrong);
        await sleep(1_000);
        scene.clocksAheadMs = Math.max(scene.clocksAheadMs, clock.aheadMs());
      }
      await clock.set({ offsetMs: 0, rate: 1 });
    },
  },
};

/** What can strike, by name. */
export const faults: Readonly<Record<string, Fault>> = { ...crashes, ...cuts, ...losses, ...clocks };

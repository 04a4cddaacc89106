// A world of our own inside this machine: network and mounts that no other process sees and that are gone with us, however we
// end. In it every node has an address of its own on one bridge, and cables can be cut one by one.
//
// Needs root. Where the machine does not allow it `worldOf` says why, and all nodes share the loopback interface.

import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import process from "node:process";

/** In the environment of the process that `enterPrivateWorld` started. */
const inside = "SHEAF_TORTURE_INSIDE";
const why = "SHEAF_TORTURE_NO_WORLD";

/** Words before a command that end it with the process that runs it, where there are such. */
export const tied: readonly string[] = process.platform === "linux" ? ["setpriv", "--pdeathsig", "KILL"] : [];

/** Runs this same command again in a private world, and resolves with its exit code; undefined inside. Where there can be
 *  none it is run again all the same: away from the terminal, whose Ctrl-C is for us alone and not for nodes and servers. */
export async function enterPrivateWorld(): Promise<number | undefined> {
  if (process.env[inside] !== undefined || process.env[why] !== undefined) return undefined;
  const flags = ["--net", "--mount", "--propagation", "private"];
  const tried = spawnSync("unshare", [...flags, "ip", "link", "add", "try", "type", "bridge"], { encoding: "utf8" });
  const refused = (tried.error?.message ?? tried.stderr.trim().split("\n")[0]) || "unshare failed";
  const [words, found] =
    tried.status === 0 ? [[...tied, "unshare", ...flags], { [inside]: "1" }] : [[], { [why]: refused }];
  const [command, ...rest] = [...words, process.execPath, ...process.argv.slice(1)] as [string, ...string[]];
  const child = spawn(command, rest, { stdio: "inherit", detached: true, env: { ...process.env, ...found } });
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => void child.kill(signal));
  const [code, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
  return code ?? 128 + constants.signals[signal ?? "SIGKILL"];
}

export const run = (command: string, ...args: readonly string[]): string =>
  execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

/** Where one node runs. */
export interface Place {
  /** Under which it is reached. */
  readonly address: string;
  /** Words before a command that is to run there. */
  readonly enter: readonly string[];
}

/** What can be done to the cables between nodes; all of it undone by `heal`. */
export interface Cables {
  /** Nothing reaches the node, and nothing leaves it. */
  cut(at: number): void;
  /** What one node sends to another is lost; the other way it arrives. */
  oneWay(from: number, to: number): void;
  /** Two nodes cannot talk to each other; both reach everybody else. */
  apart(one: number, other: number): void;
  /** The node does not reach the engine's servers; everybody else does. */
  fromEngine(at: number): void;
  heal(): void;
}

export interface World {
  readonly places: readonly Place[];
  /** For servers that nodes reach over the network. */
  readonly engineAddress: string;
  /** Undefined where the machine allows none; then `why` says why. */
  readonly cables: Cables | undefined;
  readonly why: string;
  close(): void;
}

const addressOf = (at: number): string => `10.77.0.${11 + at}`;
const engineAddress = "10.77.0.1";
/** Of callers: another than the engine's, so that the way to it can be cut alone. */
const callersAddress = "10.77.0.2";

/** Lays the cables for `nodes` nodes. */
export function worldOf(nodes: number): World {
  if (process.env[inside] === undefined) {
    const places = Array.from({ length: nodes }, () => ({ address: "127.0.0.1", enter: [] }));
    const reason = `this machine gives no private network: ${process.env[why]}`;
    return { places, engineAddress: "127.0.0.1", cables: undefined, why: reason, close() {} };
  }
  run("ip", "link", "set", "lo", "up");
  run("ip", "link", "add", "bridge", "type", "bridge");
  for (const address of [engineAddress, callersAddress]) run("ip", "address", "add", `${address}/24`, "dev", "bridge");
  run("ip", "link", "set", "bridge", "up");
  run("ip", "route", "change", "10.77.0.0/24", "dev", "bridge", "src", callersAddress);
  const holders = Array.from({ length: nodes }, (_, at) => layCable(at));
  const insideOf = (at: number): readonly string[] => ["nsenter", `--net=/proc/${holders[at]!.pid}/ns/net`];
  const places = holders.map((_, at) => ({ address: addressOf(at), enter: insideOf(at) }));
  return {
    places,
    engineAddress,
    cables: cablesOf(insideOf),
    why: "",
    close: () => holders.forEach((holder) => holder.kill("SIGKILL")),
  };
}

/** A namespace that lives as long as the process that holds it, with one end of a cable; the other end is at the bridge. */
function layCable(at: number): ChildProcess {
  const [command, ...words] = [...tied, "unshare", "--net", "sleep", "infinity"];
  const holder = spawn(command, words, { stdio: "ignore" });
  const own = run("readlink", "/proc/self/ns/net");
  // Its namespace is its own only once `unshare` has run.
  while (spawnSync("readlink", [`/proc/${holder.pid}/ns/net`], { encoding: "utf8" }).stdout === own);
  const enter = ["nsenter", `--net=/proc/${holder.pid}/ns/net`] as const;
  const within = (...args: string[]): string => run(enter[0], enter[1], "ip", ...args);
  run("ip", "link", "add", `node${at}`, "type", "veth", "peer", "name", `inner${at}`);
  run("ip", "link", "set", `inner${at}`, "netns", String(holder.pid));
  run("ip", "link", "set", `node${at}`, "master", "bridge", "up");
  within("link", "set", "lo", "up");
  within("address", "add", `${addressOf(at)}/24`, "dev", `inner${at}`);
  within("link", "set", `inner${at}`, "up");
  return holder;
}

function cablesOf(insideOf: (at: number) => readonly string[]): Cables {
  const healing: (() => void)[] = [];
  const black = (at: number, target: string): void => {
    const [command = "", ...words] = insideOf(at);
    run(command, ...words, "ip", "route", "add", "blackhole", `${target}/32`);
    healing.push(() => void run(command, ...words, "ip", "route", "del", "blackhole", `${target}/32`));
  };
  return {
    cut(at) {
      run("ip", "link", "set", `node${at}`, "down");
      healing.push(() => void run("ip", "link", "set", `node${at}`, "up"));
    },
    oneWay: (from, to) => black(from, addressOf(to)),
    apart(one, other) {
      for (const at of [one, other]) {
        run("bridge", "link", "set", "dev", `node${at}`, "isolated", "on");
        healing.push(() => void run("bridge", "link", "set", "dev", `node${at}`, "isolated", "off"));
      }
    },
    fromEngine: (at) => black(at, engineAddress),
    heal() {
      for (const undo of healing.splice(0).toReversed()) undo();
    },
  };
}

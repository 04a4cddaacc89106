// Checks of this machine and of the data folder. They read, and write one small file of their own that they remove.

import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fdatasyncSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeSync,
} from "node:fs";
import { totalmem } from "node:os";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { getHeapStatistics } from "node:v8";
import { type Finding, finding } from "./findings.ts";
import type { Context } from "./context.ts";
import type { RemoteOptions } from "./remote.ts";

export function machineChecks(context: Context, options: RemoteOptions): Finding[] {
  const folder = resolve(context.cwd, options.data);
  return [node(), memory(), openFiles(), watches(), ...dataFolder(folder)].filter((found) => found !== undefined);
}

function node(): Finding {
  const major = Number(process.versions.node.split(".")[0]);
  const found = `${process.version} at ${process.execPath}`;
  return major >= 24
    ? finding("ok", "Node version", found)
    : finding("bad", "Node version", found, "install Node 24 or newer");
}

const GiB = 1024 ** 3;
const gib = (bytes: number): string => `${(bytes / GiB).toFixed(1)} GiB`;

/** In a container V8 may size its heap by the machine rather than by the limit, and be killed instead of collecting. */
function memory(): Finding {
  const limit = Math.min(process.constrainedMemory() || Infinity, totalmem());
  const heap = getHeapStatistics().heap_size_limit;
  const found = `${gib(limit)} for this process, heap limit ${gib(heap)}`;
  if (heap <= limit * 0.9) return finding("ok", "memory", found);
  return finding(
    "warn",
    "memory",
    found,
    `set NODE_OPTIONS=--max-old-space-size=${Math.floor((limit * 0.7) / 1024 ** 2)}`,
  );
}

function readNumber(path: string, pattern = /(\d+)/): number | undefined {
  try {
    const match = pattern.exec(readFileSync(path, "utf8"));
    return match === null ? undefined : Number(match[1]);
  } catch {
    return undefined;
  }
}

function openFiles(): Finding | undefined {
  const limit = readNumber("/proc/self/limits", /Max open files\s+(\d+)/);
  if (limit === undefined) return undefined;
  return limit >= 4096
    ? finding("ok", "open files", `${limit} allowed`)
    : finding("warn", "open files", `${limit} allowed`, "raise it: ulimit -n 65536");
}

function watches(): Finding | undefined {
  const limit = readNumber("/proc/sys/fs/inotify/max_user_watches");
  if (limit === undefined) return undefined;
  if (limit >= 8192) return finding("ok", "file watches", `${limit} allowed`);
  return finding(
    "warn",
    "file watches",
    `${limit} allowed`,
    "raise fs.inotify.max_user_watches, or sheaf dev may not see a save",
  );
}

/** f_type of statfs(2): file systems on which a lock or an fsync may not mean what it says, or that do not last. */
const unusual: Readonly<Record<number, readonly ["bad" | "warn", string]>> = {
  0x6969: ["bad", "NFS"],
  0xff534d42: ["bad", "CIFS"],
  0xfe534d42: ["bad", "SMB"],
  0x01021994: ["warn", "tmpfs"],
  0x794c7630: ["warn", "overlayfs"],
};

function dataFolder(folder: string): Finding[] {
  const there = nearestThere(folder);
  try {
    accessSync(there, constants.W_OK | constants.X_OK);
  } catch {
    return [
      finding(
        "bad",
        "data folder",
        `${folder} cannot be written`,
        "make it writable for this user, or choose another with --data",
      ),
    ];
  }
  const system = statfsSync(there);
  const [state, name] = unusual[system.type >>> 0] ?? ["ok", "local"];
  const free = system.bavail * system.bsize;
  const kind = {
    bad: "put it on a local disk: locks and fsync are not reliable here",
    warn: "fine to try things out; what is here does not survive the machine or the container",
    ok: null,
  };
  return [
    finding("ok", "data folder", existsSync(folder) ? folder : `${folder} (not made yet)`),
    finding(state, "file system", name, kind[state]),
    free > GiB
      ? finding("ok", "free space", gib(free))
      : finding(free > GiB / 10 ? "warn" : "bad", "free space", gib(free), "make room: a full disk stops all writes"),
    syncTime(there),
  ];
}

function nearestThere(folder: string): string {
  let at = folder;
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  return at;
}

/** What every durable command waits for at least. */
function syncTime(folder: string): Finding {
  const path = join(folder, `.sheaf-doctor-${process.pid}`);
  const times: number[] = [];
  const bytes = Buffer.alloc(512, 120);
  try {
    const fd = openSync(path, "wx");
    try {
      for (let i = 0; i < 15; i++) {
        const began = performance.now();
        writeSync(fd, bytes);
        fdatasyncSync(fd);
        times.push(performance.now() - began);
      }
    } finally {
      closeSync(fd);
      rmSync(path, { force: true });
    }
  } catch (error) {
    return finding("bad", "sync latency", (error as Error).message, "the data folder cannot be written");
  }
  const median = times.sort((a, b) => a - b)[Math.floor(times.length / 2)]!;
  const found = `${median.toFixed(2)} ms to write and sync 512 bytes`;
  if (median < 0.02)
    return finding(
      "warn",
      "sync latency",
      found,
      "too fast to be true for a disk: a lost machine may lose what was acknowledged",
    );
  return median < 20
    ? finding("ok", "sync latency", found)
    : finding("warn", "sync latency", found, "every command waits for this; use a faster disk");
}

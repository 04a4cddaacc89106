// A disk of our own, in one file: an ext4 image mounted in our private world. It can be filled, stalled, and lose its power.
//
// K1. What `powerCut` leaves is what had reached the disk at one instant: the image is copied until nothing was written to it
//     during a whole copy. What the kernel had not yet been asked to write (fsync), or not yet got to, is not in it.

import { execFile, spawn } from "node:child_process";
import { renameSync, statfsSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { run } from "./private-world.ts";

export interface Disk {
  /** Where it is mounted. */
  readonly path: string;
  /** Leaves no room at all. */
  fill(): void;
  empty(): void;
  /** Every write and sync waits for so long. It goes on by itself, whatever becomes of us. */
  stall(ms: number): void;
  /** Everything that writes to it has been killed: puts a disk in its place that holds what had reached it. */
  powerCut(): Promise<void>;
  /** Everything written so far is on the disk. */
  sync(): void;
  close(): void;
}

const ballast = "ballast";
const execute = promisify(execFile);

/** Mounts a new disk of so many bytes at `folder`/disk. Throws where the machine does not allow it. */
export function diskIn(folder: string, bytes: number): Disk {
  const [image, copy] = [join(folder, "disk.img"), join(folder, "copy.img")];
  const path = join(folder, "disk");
  run("truncate", "--size", String(bytes), image);
  // Nothing is left for the kernel to write later of its own accord.
  run("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", image);
  const mount = (): void => void run("mount", "-o", "loop", image, path);
  run("mkdir", path);
  mount();
  run("chmod", "777", path);
  return {
    path,
    fill() {
      const { bavail, bsize } = statfsSync(path);
      run("fallocate", "--length", String(bavail * bsize - bsize * 64), join(path, ballast));
      // The last blocks, where fallocate needs some itself.
      try {
        for (let rest = 0; ; rest++) writeFileSync(join(path, `${ballast}.${rest}`), Buffer.alloc(bsize));
      } catch {
        // Full.
      }
    },
    empty() {
      run("sh", "-c", `rm -f '${path}/${ballast}'*`);
    },
    stall(ms) {
      const script = `sleep ${ms / 1000}; fsfreeze --unfreeze '${path}'`;
      spawn("sh", ["-c", script], { detached: true, stdio: "ignore" }).unref();
      run("fsfreeze", "--freeze", path);
    },
    async powerCut() {
      const device = basename(run("losetup", "--noheadings", "--output", "NAME", "--associated", image).trim());
      // Requests to write, and sectors written (the kernel's Documentation/block/stat).
      const written = (): string =>
        readFileSync(`/sys/block/${device}/stat`, "utf8").trim().split(/\s+/).slice(4, 7).join();
      for (let tries = 0; ; tries++) {
        const before = written();
        await execute("cp", ["--sparse=always", image, copy]);
        if (written() === before) break;
        if (tries > 20) throw new Error("the disk is still written to");
      }
      run("umount", "--lazy", path);
      renameSync(copy, image);
      mount();
    },
    sync: () => void run("sync", "--file-system", path),
    close: () => void run("umount", "--lazy", path),
  };
}

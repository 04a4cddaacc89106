// Ends a process that stands still (SIGSTOP, a suspended job) while it holds the write lock of journal.db: no other process
// could write until it goes on, which may be never. What it had not committed is lost, as by a crash.
//
// H1. Killed is only who the kernel names as holder of the write lock of this very file; who has put itself down here as a
//     writer of it, with the start time that the kernel tells of it now; who runs as the same user; and who was seen standing
//     still with the lock for all of `stillMs`, look after look. Between two looks far apart anything may have been: whoever
//     was stopped himself meanwhile, or did not want the lock, begins to look anew.
// H2. Who is merely slow, waits for the disk, or is held by a debugger is never killed.
//
// On Linux, by /proc: see proc_locks(5) and proc_pid_stat(5). Elsewhere nobody is found, and nobody is killed.

import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { journalFile } from "./journal-file.ts";

const folder = "writers";
/** WAL_WRITE_LOCK: the first byte of the locks in the -shm file (https://sqlite.org/walformat.html). */
const writeLockByte = 120;
/** Longer than any pause of a process that is well, shorter than the patience of whoever waits for an append. */
const stillMs = 500;
const lookEveryMs = 100;
/** Looks further apart say nothing of the time between them. */
const mostApartMs = 250;

type Holder = { readonly pid: number; /** In ticks since the machine started. */ readonly startedAt: string };

export type LockWatch = {
  /** The lock was refused just now. Says so, once, when its holder has been killed for it. */
  refused(): string | undefined;
  /** The lock was had. */
  had(): void;
  close(): void;
};

/** State and start time of a process; undefined when there is none, or no /proc. */
function processAt(pid: number): { readonly state: string; readonly startedAt: string } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The name before it may hold anything, blanks and brackets too.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return { state: fields[0] ?? "", startedAt: fields[19] ?? "" };
  } catch {
    return undefined;
  }
}

/** Whether /proc counts processes as `kill` does here: a container may be given that of the machine. */
function isOurProc(): boolean {
  try {
    return readlinkSync("/proc/self") === String(process.pid);
  } catch {
    return false;
  }
}

/** Who holds the write lock of the file with these locks, as the kernel says. */
function holderOf(path: string): number | undefined {
  const { dev, ino } = statSync(path, { bigint: true });
  const [major, minor] = [((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn), (dev & 0xffn) | ((dev >> 12n) & ~0xffn)];
  const hex = (part: bigint): string => part.toString(16).padStart(2, "0");
  const file = `${hex(major)}:${hex(minor)}:${ino}`;
  for (const line of readFileSync("/proc/locks", "latin1").split("\n")) {
    const [, kind, , access, pid, of, first, last] = line.split(/\s+/);
    if (kind !== "POSIX" || access !== "WRITE" || of !== file) continue;
    if (Number(first) <= writeLockByte && (last === "EOF" || Number(last) >= writeLockByte)) return Number(pid);
  }
  return undefined;
}

export function watchLock(dir: string): LockWatch {
  const own = isOurProc() ? processAt(process.pid) : undefined;
  const place = join(dir, folder);
  const mine = join(place, String(process.pid));
  if (own !== undefined) putDown(place, mine, own.startedAt);
  let nextLook: number | undefined;
  let suspect: (Holder & { readonly since: number; seenAt: number }) | undefined;

  /** The holder, when it stands still and is one of us (H1, H2). */
  function stillHolder(): Holder | undefined {
    if (own === undefined) return undefined;
    try {
      const pid = holderOf(join(dir, `${journalFile}-shm`));
      if (pid === undefined || pid === process.pid) return undefined;
      const { state, startedAt } = processAt(pid) ?? {};
      const isOurs = readFileSync(join(place, String(pid)), "latin1") === startedAt;
      const isSameUser = statSync(`/proc/${pid}`).uid === process.getuid?.();
      return state === "T" && isOurs && isSameUser ? { pid, startedAt } : undefined;
    } catch {
      return undefined;
    }
  }

  return {
    refused() {
      const now = performance.now();
      nextLook ??= now + lookEveryMs;
      if (own === undefined || now < nextLook) return undefined;
      nextLook = now + lookEveryMs;
      const holder = stillHolder();
      const isSame = suspect?.pid === holder?.pid && suspect?.startedAt === holder?.startedAt;
      if (holder === undefined || suspect === undefined || !isSame || now - suspect.seenAt > mostApartMs) {
        suspect = holder && { ...holder, since: now, seenAt: now };
        return undefined;
      }
      suspect.seenAt = now;
      if (now - suspect.since < stillMs) return undefined;
      suspect = undefined;
      try {
        process.kill(holder.pid, "SIGKILL");
      } catch {
        return undefined;
      }
      return `process ${holder.pid} stood still with the write lock of ${join(dir, journalFile)} and was killed`;
    },
    had() {
      nextLook = undefined;
      suspect = undefined;
    },
    close() {
      if (own !== undefined) rmSync(mine, { force: true });
    },
  };
}

/** Puts this process down as a writer, and strikes out those that are gone. A disk that has no room for it keeps nobody from
 *  writing: then this process is never killed. */
function putDown(place: string, mine: string, startedAt: string): void {
  try {
    mkdirSync(place, { recursive: true });
    for (const name of readdirSync(place))
      if (processAt(Number(name))?.startedAt !== readFileSync(join(place, name), "latin1"))
        rmSync(join(place, name), { force: true });
    writeFileSync(mine, startedAt);
  } catch {
    // Nobody depends on it.
  }
}
